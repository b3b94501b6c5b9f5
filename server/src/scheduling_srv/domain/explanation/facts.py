"""The facts about a job and its runs that an explanation uses. Instants are epoch ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduling_srv.domain.intervals import IntervalLogs
from scheduling_srv.domain.pause import NOT_PAUSED, Pauses
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import Run, RunOrigin
from scheduling_srv.domain.run_rules import MissedRule
from scheduling_srv.domain.timetable import Timetable

DEFAULT_MISSED = MissedRule(60_000, latest=True)


class Emitted(NamedTuple):
    """An attempt on the jobs topic."""

    nominal: int
    attempt: int
    at: int
    origin: RunOrigin
    seq: int
    type: str


class TopicRead(NamedTuple):
    """What the jobs topic has of a job."""

    since: int
    until: int
    """Records up to then were looked at."""
    whole: bool
    """From `since` to the end: nothing is missing."""
    emitted: Sequence[Emitted] = ()
    fault: str = ""
    """Why it could not be read."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job that lives."""

    seq: int
    timetable: Timetable
    created: int = 0
    """0: not known."""
    updated: int = 0
    """When its definition last changed; not after `created`: it never has."""
    asked: Properties = field(default_factory=Properties)
    parallel: int = 0
    pauses: Pauses = NOT_PAUSED
    counted: int = 0
    """Runs that have counted for `max_runs`."""
    next: int | None = None
    """Nominal time of its next occurrence."""

    @property
    def recurs(self) -> bool:
        """Whether it has more than one occurrence."""
        return self.timetable.recurrence is not None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known."""

    job_id: str
    at: int | None
    """The instant that is asked for; None: the last or the next run."""
    now: int
    job: JobFacts | None
    """None: no job with this id lives."""
    runs: Sequence[Run] = ()
    """Open ones, and those of the history."""
    logs: IntervalLogs = field(default_factory=IntervalLogs)
    missed: MissedRule = DEFAULT_MISSED
    """Of jobs that say nothing else."""
    read: TopicRead | None = None
    """None: the topic was not read."""
