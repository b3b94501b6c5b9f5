"""For consumers of `queuedJob`, besides Kafka and protobuf. It imports nothing of the service.

Kafka hands a record to a consumer at least once. `Occurrences` makes a worker do a run once.
"""

from scheduling_srv.client.occurrences import Occurrences, Outcome, occurrence_id

__all__ = ["Occurrences", "Outcome", "occurrence_id"]
