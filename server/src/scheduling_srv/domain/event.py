"""Events of jobs and runs, as watchers get them. Instants are epoch ms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class EventKind(IntEnum):
    """The kind of an event. The numbers are those of scheduling.v1."""

    CREATED = 1
    DELETED = 2
    QUEUED = 3
    DONE = 4
    FAILED = 5
    TIMED_OUT = 6
    FINALLY_FAILED = 7
    SKIPPED = 8
    MISSED = 9
    PAUSED = 10
    RESUMED = 11
    CANCELLED = 12
    HEARTBEAT = 13


class EventRun(NamedTuple):
    """The run that an event is about."""

    run_id: str
    nominal: int
    origin: str
    """`schedule`, `manual` or `backfill`."""
    attempt: int
    instance: int
    """By which a worker answers; 0: it is not known."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job or a run."""

    id: str
    """The same for each re-send."""
    kind: EventKind
    time: int
    job_id: str = ""
    """Empty: it is about a type, or the job is not known."""
    type: str = ""
    """Empty: it is not known."""
    labels: Mapping[str, str] = field(default_factory=dict)
    run: EventRun | None = None
    count: int = 1
    """How many runs it is about."""
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events. All conditions that are set apply."""

    job_id: str = ""
    type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[EventKind] = frozenset()
    types: frozenset[str] = frozenset()
    """The types that the caller may see; empty: all."""

    def matches(self, event: Event) -> bool:
        """Whether a watcher wants it. An unknown type or label matches no filter for it."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.job_id or event.job_id == self.job_id)
            and (not self.type or event.type == self.type)
            and (not self.types or event.type in self.types)
            and all(event.labels.get(name) == value for name, value in self.labels.items())
        )
