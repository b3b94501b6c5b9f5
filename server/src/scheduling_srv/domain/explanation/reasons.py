"""The reasons that an explanation is made of. Instants are epoch ms, durations ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from scheduling_srv.domain.explanation.facts import TopicRead
from scheduling_srv.domain.intervals import EndedPause, Farewell, Outage
from scheduling_srv.domain.pause import Pause
from scheduling_srv.domain.run import Run, RunOrigin


class Verdict(IntEnum):
    """The reason in one word. The numbers are those of scheduling.v1."""

    UNKNOWN = 0
    EMITTED = 1
    HELD = 2
    SKIPPED_BY_OVERLAP = 3
    PAUSED = 4
    MISSED = 5
    PAST_DEADLINE = 6
    ENDED = 7
    NOT_SCHEDULED = 8
    UPCOMING = 9


@dataclass(frozen=True, slots=True)
class WasEmitted:
    """A run was emitted."""

    nominal: int
    at: int | None
    """None: it is not known."""
    late: int | None
    """Since it was due; None: it is not known."""
    owner: str
    attempt: int
    origin: RunOrigin


@dataclass(frozen=True, slots=True)
class CameTo:
    """How a run stands, or how it ended."""

    run: Run


@dataclass(frozen=True, slots=True)
class DelayedByJitter:
    """The run was due later than its nominal time."""

    delay: int


@dataclass(frozen=True, slots=True)
class MayHaveWaited:
    """`parallel` may have held the run."""

    parallel: int


@dataclass(frozen=True, slots=True)
class IsHeld:
    """A limit holds the run."""

    run: Run
    parallel: int


@dataclass(frozen=True, slots=True)
class IsPaused:
    """The job, or its type, is paused."""

    pause: Pause
    of_type: bool
    passes: bool
    """The run has passed; else it starts when the pause ends."""


@dataclass(frozen=True, slots=True)
class WasPaused:
    """A pause that has ended."""

    ended: EndedPause


@dataclass(frozen=True, slots=True)
class OverlappedWith:
    """An earlier run was open; None: it is not known which one."""

    run: Run | None


@dataclass(frozen=True, slots=True)
class WasAway:
    """No owner staged runs."""

    outage: Outage


@dataclass(frozen=True, slots=True)
class WasMissed:
    """Runs of an outage that are older than this window do not start; None: it is not known."""

    window: int | None


@dataclass(frozen=True, slots=True)
class CouldNotStart:
    """The start deadline passed."""

    deadline: int | None
    """None: it is not known."""


@dataclass(frozen=True, slots=True)
class HasEnded:
    """The job has no further runs."""

    why: Farewell
    at: int
    """When it ended, or its `end_time`."""


@dataclass(frozen=True, slots=True)
class IsNotScheduled:
    """The schedule does not name the instant."""

    at: int
    words: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An occurrence beside the instant."""

    occurrence: int
    is_after: bool
    remark: str


@dataclass(frozen=True, slots=True)
class CameLater:
    """The job was created after the instant."""

    created: int


@dataclass(frozen=True, slots=True)
class HasChanged:
    """The definition was changed after the instant."""

    updated: int


@dataclass(frozen=True, slots=True)
class IsDue:
    """The run is still to come."""

    nominal: int
    remark: str


@dataclass(frozen=True, slots=True)
class IsOnItsWay:
    """The run has just come due."""

    nominal: int


@dataclass(frozen=True, slots=True)
class NoSuchJob:
    """Nothing knows the job."""


@dataclass(frozen=True, slots=True)
class WasNotFound:
    """No record of the run was found."""

    nominal: int
    read: TopicRead | None


Reason: TypeAlias = (
    WasEmitted
    | CameTo
    | DelayedByJitter
    | MayHaveWaited
    | IsHeld
    | IsPaused
    | WasPaused
    | OverlappedWith
    | WasAway
    | WasMissed
    | CouldNotStart
    | HasEnded
    | IsNotScheduled
    | Neighbour
    | CameLater
    | HasChanged
    | IsDue
    | IsOnItsWay
    | NoSuchJob
    | WasNotFound
)


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a job ran, ran late, or did not run."""

    verdict: Verdict
    reasons: Sequence[Reason]
    """The most important first."""
    is_certain: bool = True
    """Else the jobs topic may know better."""
    nominal: int | None = None
    """The instant that was looked for in the records."""
    run: Run | None = None
    late: int | None = None
    """How late the run was emitted."""
    owner: str = ""
    before: int | None = None
    """The nominal time before the instant."""
    after: int | None = None
