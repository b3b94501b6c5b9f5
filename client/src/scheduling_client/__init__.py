"""For programs that talk to scheduling-srv: workers and clients. It imports nothing of the server.

`Worker` does the runs of jobs by functions. Without it, `Occurrences` makes a worker do a run once:
Kafka hands a record to a consumer at least once. `wire` holds the messages and stubs; `schedules`
reads the texts of schedules.
"""

from typing import TYPE_CHECKING, Any

from scheduling_client.occurrences import Occurrences, Outcome, occurrence_id

if TYPE_CHECKING:
    from scheduling_client.worker import Discard, Retry, Run, Worker

__all__ = ["Discard", "Occurrences", "Outcome", "Retry", "Run", "Worker", "occurrence_id"]

_WORKER = ("Discard", "Retry", "Run", "Worker")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Of the worker, which imports Kafka and gRPC: only for programs that name it."""
    if name in _WORKER:
        from scheduling_client import worker  # noqa: PLC0415

        return getattr(worker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
