"""For programs that talk to scheduling-srv: workers and clients. It imports nothing of the server.

`Client` and `AsyncClient` create, show and change jobs. Kafka hands a record to a consumer at least
once: `Occurrences` makes a worker do a run once. `wire` holds the messages and stubs; `schedules`
reads the texts of schedules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from scheduling_client.occurrences import Occurrences, Outcome, occurrence_id

if TYPE_CHECKING:
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
        Retry,
    )
    from scheduling_client.api.triggers import Schedule, at, cron, every, now

_PLACES = {
    "async_client": "AsyncClient",
    "client": "Client",
    "errors": "SchedulingError",
    "jobs": """
        Backoff Filter Job JobSpec JobState Missed MissedRuns Order Overlap Payload Priority Retry
    """,
    "triggers": "Schedule at cron every now",
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """A worker that needs no client does not import gRPC."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api.{_MODULES[name]}"), name)


__all__ = [
    "AsyncClient",
    "Backoff",
    "Client",
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
    "Schedule",
    "SchedulingError",
    "at",
    "cron",
    "every",
    "now",
    "occurrence_id",
]
