"""What becomes of a run that is due: the rules of jobs of scheduling.v1, in their order.

Lua decides the same while it stages (docs/decisions/0030); both are tested against each other.
Instants are epoch ms, durations ms.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple, Self

from scheduling_client.schedules.recurrence import MOST_COUNTED, Every, Recurrence, passed


class Overlap(IntEnum):
    """What a due run does while an earlier one of its job is open. The numbers are stored."""

    ALLOW = 0
    SKIP = 1
    ONE = 2
    """The first one waits, later ones are skipped."""


class RunKind(IntEnum):
    """The kinds of runs that wait for their start. The numbers are stored."""

    NEXT = 0
    """The next occurrence of the schedule."""
    RETRY = 1
    MISSED = 2
    """The next occurrence, settled: it was due in time, or stands for those of an outage."""
    KEPT = 3
    """An occurrence that waits by itself: another one comes after it."""
    MANUAL = 4
    BACKFILL = 5

    @property
    def scheduled(self) -> bool:
        """Whether it is the first attempt at an occurrence of the schedule."""
        return self in {RunKind.NEXT, RunKind.MISSED, RunKind.KEPT}


class RunRules(NamedTuple):
    """The rules of a job. 0 is "none" for each."""

    overlap: Overlap = Overlap.ALLOW
    start_deadline: int = 0
    max_runs: int = 0
    end: int = 0
    """No occurrence of a recurring job is after it."""


class DueRun(NamedTuple):
    """A run that is due."""

    kind: RunKind
    due: int
    """Its nominal time and its jitter, or the time of its retry."""


class Situation(NamedTuple):
    """How the job of a due run stands."""

    now: int
    paused: bool = False
    """The job, or its type."""
    open_runs: int = 0
    """Other runs of the job that are running, held, or waiting for a retry."""
    waits: bool = False
    """A run of the job waits for the end of an open one."""
    places: bool = True
    """`parallel` allows one more run of its type."""


class Verdict(Enum):
    """What becomes of a due run."""

    START = "start"
    HOLD = "hold"
    """Until `parallel` allows it."""
    PASS = "pass"  # noqa: S105 - not a password
    """Rest until the pause ends; then this occurrence and those after it have passed."""
    REST = "rest"
    """Rest until the pause ends, then start."""
    WAIT = "wait"
    """Rest until the open run ends, then start."""
    SKIP_LATE = "past its start deadline"
    SKIP_OPEN = "an earlier run is open"


def decide(run: DueRun, rules: RunRules, at: Situation, *, recurring: bool = True) -> Verdict:
    """The first rule that applies."""
    if at.paused and run.kind is not RunKind.MANUAL:
        return Verdict.PASS if recurring and run.kind is RunKind.NEXT else Verdict.REST
    if run.kind.scheduled and 0 < rules.start_deadline < at.now - run.due:
        return Verdict.SKIP_LATE
    if run.kind.scheduled and at.open_runs and rules.overlap is not Overlap.ALLOW:
        skips = rules.overlap is Overlap.SKIP or at.waits
        return Verdict.SKIP_OPEN if skips else Verdict.WAIT
    return Verdict.START if at.places else Verdict.HOLD


class RunCount(NamedTuple):
    """How many runs of the schedule were emitted, and the nominal time of the last one."""

    counted: int = 0
    nominal: int = 0

    def after(self, nominal: int) -> Self:
        """With one more run. A run that is staged again after a rebuild counts once."""
        if self.counted and nominal == self.nominal:
            return self
        return type(self)(self.counted + 1, nominal)


def is_finished(rules: RunRules, counted: int, following: int | None) -> bool:
    """Whether a recurring job has no further occurrence. `following` is the nominal time of one."""
    if following is None or 0 < rules.max_runs <= counted:
        return True
    return 0 < rules.end < following


class MissedRule(NamedTuple):
    """What becomes of occurrences that an outage has delayed."""

    window: int | None
    """Those so long before the end of the outage all run; None: all of them."""
    latest: bool
    """Of older ones the latest runs."""


class MadeUp(NamedTuple):
    """Where a job goes on after an outage."""

    nominal: int | None
    """The next occurrence that runs; None: there is none."""
    kind: RunKind
    """MISSED for the latest of the older ones, else NEXT."""
    missed: int
    """How many occurrences do not run."""


def make_up(
    recurrence: Recurrence,
    due: int,
    resumed_at: int,
    rule: MissedRule,
    most: int = MOST_COUNTED,
) -> MadeUp:
    """What runs of the occurrences from `due`, which is one, to the end of an outage.

    At most `most` runs are made up for, whatever the window.
    """
    cutoff = _nth_before(recurrence, due, resumed_at, most)
    if rule.window is not None:
        cutoff = max(cutoff, resumed_at - rule.window)
    if due >= cutoff:
        return MadeUp(due, RunKind.NEXT, 0)
    latest = recurrence.latest_before(cutoff, due)
    older = passed(recurrence, due, latest)
    if rule.latest:
        return MadeUp(latest, RunKind.MISSED, older.number - 1)
    return MadeUp(older.next, RunKind.NEXT, older.number)


def _nth_before(recurrence: Recurrence, due: int, resumed_at: int, most: int) -> int:
    """The earliest of the last `most` occurrences up to an instant, at least `due`."""
    latest = recurrence.latest_before(resumed_at + 1, due)
    if isinstance(recurrence, Every):
        return max(due, latest - (most - 1) * recurrence.period)
    for _ in range(most - 1):
        if latest <= due:
            break
        latest = recurrence.latest_before(latest, due)
    return latest
