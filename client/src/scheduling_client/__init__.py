"""For programs that talk to scheduling-srv: workers and clients. It imports nothing of the server.

Kafka hands a record to a consumer at least once. `Occurrences` makes a worker do a run once.
`wire` holds the messages and stubs; `schedules` reads the texts of schedules.
"""

from scheduling_client.occurrences import Occurrences, Outcome, occurrence_id

__all__ = ["Occurrences", "Outcome", "occurrence_id"]
