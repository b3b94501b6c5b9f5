"""Runs as callers of scheduling.v1 see them. Instants are epoch ms; 0: none, or not known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple, Self, TypeAlias

from scheduling_srv.domain.limits import Limits


class RunOrigin(IntEnum):
    """Why a run exists. As in the proto."""

    SCHEDULE = 1
    MANUAL = 2
    BACKFILL = 3

    @property
    def stored(self) -> int:
        """The number of the origin in stored data."""
        return self.value - 1

    @classmethod
    def of_stored(cls, number: int) -> RunOrigin:
        """The inverse of `stored`."""
        return cls(number + 1)


class RunState(IntEnum):
    """How a run stands. It is open in all states but ENDED. As in the proto."""

    HELD = 1
    """Due, and held by a limit or a pause."""
    RUNNING = 2
    """Emitted, and not answered."""
    RETRYING = 3
    """Failed, and waiting for its next attempt."""
    ENDED = 4


OPEN = frozenset(RunState) - {RunState.ENDED}
"""Of runs without a final outcome."""


class HeldBy(IntEnum):
    """What holds a run that is due. As in the proto."""

    NOTHING = 0
    PARALLEL = 1
    OVERLAP = 2
    PAUSE = 3
    TYPE_PAUSE = 4


class RunOutcome(IntEnum):
    """The final outcome of a run. As in the proto."""

    NONE = 0
    DONE = 1
    FAILED = 2
    TIMED_OUT = 3
    CANCELLED = 4
    SKIPPED = 5
    MISSED = 6
    REFUSED = 7


class PassedBy(StrEnum):
    """Why an occurrence has passed without a run. Stored as the `error` of a skipped run."""

    OVERLAP = "overlap"
    """An earlier run of its job was open."""
    DEADLINE = "start_deadline"
    """It could not start in time."""
    PAUSE = "pause"
    """Its job, or the type, was paused."""
    OUTAGE = "outage"
    """No owner staged it in time."""


FAILURES = frozenset({RunOutcome.FAILED, RunOutcome.TIMED_OUT})
"""Of runs that may be tried again."""
_MARKS = {RunOrigin.SCHEDULE: "", RunOrigin.MANUAL: "m", RunOrigin.BACKFILL: "b"}
_ORIGINS = {mark: origin for origin, mark in _MARKS.items()}
LARGEST = 1 << 48
"""Above every creation number and instant of a run."""
_NUMBER = "(0|[1-9][0-9]{0,14})"
_RUN_ID = re.compile(f"(.+)/{_NUMBER}/{_NUMBER}([mb]?)", re.DOTALL)


class RunId(NamedTuple):
    """Names a run: the same for all its attempts."""

    job_id: str
    seq: int
    """Creation number of its job."""
    nominal: int
    origin: RunOrigin = RunOrigin.SCHEDULE

    def __str__(self) -> str:
        return f"{self.job_id}/{self.seq}/{self.nominal}{_MARKS[self.origin]}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The inverse of `str`. None: no run has such an id."""
        found = _RUN_ID.fullmatch(text)
        if not found:
            return None
        job_id, seq, nominal, mark = found.groups()
        if max(int(seq), int(nominal)) >= LARGEST:
            return None
        return cls(job_id, int(seq), int(nominal), _ORIGINS[mark])


class Run(NamedTuple):
    """One due time of a job."""

    id: RunId
    type: str
    state: RunState
    held_by: HeldBy = HeldBy.NOTHING
    attempts: int = 0
    """Attempts that were emitted."""
    most: int = 1
    """Attempts that it has in all."""
    instance: int = 0
    started: int = 0
    """When the last attempt was emitted."""
    ended: int = 0
    retry: int = 0
    """When the next attempt is due, if it is RETRYING."""
    deadline: int = 0
    """When the attempt counts as failed, if it is RUNNING."""
    outcome: RunOutcome = RunOutcome.NONE
    error: str = ""
    """The worker's words about the last failure; of a skipped or missed run a `PassedBy`."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """All conditions that are set apply. Nothing set: all runs."""

    job_id: str = ""
    type: str = ""
    states: frozenset[RunState] = frozenset()
    outcomes: frozenset[RunOutcome] = frozenset()
    origins: frozenset[RunOrigin] = frozenset()
    nominal_from: int | None = None
    nominal_until: int | None = None
    """The first instant that does not count any more."""
    error: str = ""
    """The whole error."""


RunSelection: TypeAlias = Sequence[str] | RunFilter
"""Ids of runs, or which runs."""


class RunBulkCall(NamedTuple):
    """One step of a bulk call over runs."""

    selection: RunSelection
    dry_run: bool
    token: str
    within: Limits | None = None
    """Other runs count as missing; None: the caller has no limits."""


class RunRefusal(NamedTuple):
    """Why a run cannot be tried again."""

    run_id: str
    reason: str
    sentence: str


class RetryProgress(NamedTuple):
    """How far a step of RetryRuns came."""

    matched: int
    changed: int
    token: str
    """For the next step; empty: all is done."""
    refusals: Sequence[RunRefusal]


class RunPage(NamedTuple):
    """A page of runs."""

    runs: Sequence[Run]
    token: str
    """For the next page; empty: this was the last one. A page before it may be empty."""


class FailureGroup(NamedTuple):
    """Runs of a type that have failed with the same error."""

    type: str
    error: str
    number: int
    """How many there are."""
    last: int
    """When the last one ended."""
    last_run: RunId


class JobCounters(NamedTuple):
    """What the runs of a recurring job came to."""

    emitted: int = 0
    done: int = 0
    failed: int = 0
    timed_out: int = 0
    missed: int = 0
    skipped: int = 0
    counted: int = 0
    """Emitted runs that count for `max_runs`."""


class JobRuns(NamedTuple):
    """The runs of a job, as its status shows them."""

    counters: JobCounters = JobCounters()
    """Of a recurring job."""
    last: Run | None = None
    """The run that ended last."""
    open: Sequence[Run] = ()
    """Runs without a final outcome, 10 at most."""


class Upcoming(NamedTuple):
    """A run that will be due, or all those of a job up to an instant."""

    job_id: str
    type: str
    time: int
    """The first nominal time, or that of a retry."""
    number: int = 1
    """How many runs."""
    words: str = ""
    """The schedule in words, of a recurring job."""


class UpcomingRuns(NamedTuple):
    """The runs that are due until an instant, by time."""

    entries: Sequence[Upcoming]
    more: bool
    """Whether there is more before the instant."""
