"""For programs that talk to scheduling-srv: workers and clients. It imports nothing of the server.

`Client` and `AsyncClient` create, show and change jobs. `Worker` does the runs of jobs by
functions. Without it, `Occurrences` makes a worker do a run once: Kafka hands a record to a
consumer at least once. `wire` holds the messages and stubs; `schedules` reads the texts of
schedules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from scheduling_client.occurrences import Occurrences, Outcome, occurrence_id

if TYPE_CHECKING:
    from scheduling_client.api.access import Access
    from scheduling_client.api.async_client import AsyncClient
    from scheduling_client.api.client import Client
    from scheduling_client.api.errors import SchedulingError
    from scheduling_client.api.jobs import (
        Backoff,
        Filter,
        Job,
        JobSpec,
        JobState,
        Missed,
        MissedRuns,
        Order,
        Overlap,
        Payload,
        Priority,
        RetryPolicy,
    )
    from scheduling_client.api.triggers import Schedule, at, cron, every, now
    from scheduling_client.worker import Discard, Retry, Run, Worker

_PLACES = {
    "api.access": "Access",
    "api.async_client": "AsyncClient",
    "api.client": "Client",
    "api.errors": "SchedulingError",
    "api.jobs": """
        Backoff Filter Job JobSpec JobState Missed MissedRuns Order Overlap Payload Priority
        RetryPolicy
    """,
    "api.triggers": "Schedule at cron every now",
    "worker": "Discard Retry Run Worker",
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """A program imports gRPC and Kafka only if it names a part that needs them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = [
    "Access",
    "AsyncClient",
    "Backoff",
    "Client",
    "Discard",
    "Filter",
    "Job",
    "JobSpec",
    "JobState",
    "Missed",
    "MissedRuns",
    "Occurrences",
    "Order",
    "Outcome",
    "Overlap",
    "Payload",
    "Priority",
    "Retry",
    "RetryPolicy",
    "Run",
    "Schedule",
    "SchedulingError",
    "Worker",
    "at",
    "cron",
    "every",
    "now",
    "occurrence_id",
]
