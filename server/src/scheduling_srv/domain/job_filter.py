"""Which jobs a list of scheduling.v1 shows, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class JobState(IntEnum):
    """How a job stands. It is in one state; the first that applies counts. As in the proto."""

    PAUSED = 1
    """The job or its type is paused."""
    RUNNING = 2
    """A run of it is unanswered."""
    HELD = 3
    """A run of it is due, and held by a limit."""
    RETRYING = 4
    """A failed run of it waits for its next attempt."""
    WAITING = 5
    """It waits for its next due time."""


class ListOrder(IntEnum):
    """The order of a list. As in the proto."""

    CREATED = 1
    """By creation, the oldest first."""
    NEWEST = 2
    NEXT_DUE = 3
    """Held jobs first, then by the next due time. Jobs without one come last."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """All conditions that are set apply. Nothing set: all jobs. Instants are epoch ms."""

    type: str = ""
    creator: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """A job has all of them."""
    id_prefix: str = ""
    states: frozenset[JobState] = frozenset()
    """A job is in one of them; none: any."""
    due_from: int | None = None
    due_until: int | None = None
    """The first instant that does not count any more."""
