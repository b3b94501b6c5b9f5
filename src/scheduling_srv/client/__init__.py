"""What consumers of `queuedJob` need besides Kafka and protobuf; it imports nothing of the service.

Kafka hands a record to a consumer at least once. `Occurrences` makes a worker do a run once.
"""

from scheduling_srv.client.occurrences import Occurrences, Outcome, occurrence_id

__all__ = ["Occurrences", "Outcome", "occurrence_id"]
