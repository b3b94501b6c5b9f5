"""The sentences of explanations: the one place where they stand. Instants are epoch ms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never
from zoneinfo import ZoneInfo

from scheduling_client.schedules.durations import spoken_duration
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.preview import spoken_instant
from scheduling_srv.domain.explanation.facts import TopicRead
from scheduling_srv.domain.explanation.reasons import (
    CameLater,
    CameTo,
    CouldNotStart,
    DelayedByJitter,
    HasChanged,
    HasEnded,
    IsDue,
    IsHeld,
    IsNotScheduled,
    IsOnItsWay,
    IsPaused,
    MayHaveWaited,
    Neighbour,
    NoSuchJob,
    OverlappedWith,
    Reason,
    WasAway,
    WasEmitted,
    WasMissed,
    WasNotFound,
    WasPaused,
)
from scheduling_srv.domain.intervals import EndedPause, Farewell
from scheduling_srv.domain.pause import Pause
from scheduling_srv.domain.run import HeldBy, Run, RunOrigin, RunOutcome, RunState

ON_TIME_MS = 1_000
"""A run that is emitted so long after it was due is still on time."""
_RUNS = {
    RunOrigin.SCHEDULE: "The run of",
    RunOrigin.MANUAL: "The run by hand of",
    RunOrigin.BACKFILL: "The backfilled run of",
}
_HOLDERS = {
    HeldBy.OVERLAP: "An earlier run of its job is open.",
    HeldBy.PAUSE: "Its job is paused: it starts when the pause ends.",
    HeldBy.TYPE_PAUSE: "Its type is paused: it starts when the pause ends.",
}
_ENDS = {
    RunOutcome.DONE: "A worker has done it",
    RunOutcome.FAILED: "It failed",
    RunOutcome.TIMED_OUT: "No worker answered it in time: it failed",
    RunOutcome.CANCELLED: "A caller cancelled it",
    RunOutcome.SKIPPED: "It was skipped",
    RunOutcome.MISSED: "It was missed",
    RunOutcome.REFUSED: "Kafka refused its record",
}


def sentences(reasons: Sequence[Reason], place: ZoneInfo) -> list[str]:
    """The reasons in words, with times in a zone."""
    words = _Words(place)
    return [sentence for reason in reasons for sentence in words.of(reason)]


class _Words:
    """Says reasons in a zone."""

    def __init__(self, place: ZoneInfo) -> None:
        self.place = place

    def of(self, reason: Reason) -> Iterator[str]:  # noqa: C901, PLR0912 - one row for each reason
        """One or more sentences."""
        match reason:
            case WasEmitted():
                yield self._emitted(reason)
            case CameTo(run):
                yield from self._came_to(run)
            case DelayedByJitter(delay):
                yield f"The jitter of its job delayed it by {_length(delay)}."
            case MayHaveWaited(parallel):
                yield f"{_limit(parallel)} It may have waited for a place."
            case IsHeld():
                yield from self._held(reason)
            case IsPaused():
                yield from self._paused(reason)
            case WasPaused(ended):
                yield from self._was_paused(ended)
            case OverlappedWith(run):
                yield from self._overlapped(run)
            case WasAway(outage):
                since, until = self._at(outage.since), self._at(outage.until)
                away = f"The service emitted no runs from {since} to {until}"
                yield f"{away}: no replica was the owner."
            case WasMissed(window):
                yield _missed(window)
            case CouldNotStart(deadline):
                limit = f" of {_length(deadline)}" if deadline else ""
                yield f"It could not start within its start deadline{limit}."
            case HasEnded():
                yield self._ended(reason)
            case IsNotScheduled(at, words):
                yield f"The schedule is {words}. It has no run at {self._at(at)}."
            case Neighbour():
                yield from self._neighbour(reason)
            case CameLater(created):
                yield f"The job was created later, at {self._at(created)}."
            case HasChanged(updated):
                yield f"The definition changed at {self._at(updated)}."
                yield "The service keeps no earlier one."
            case IsDue(nominal, remark):
                yield f"It is due at {self._at(nominal)}."
                yield from _optional(remark)
            case IsOnItsWay(nominal):
                yield f"It came due at {self._at(nominal)}. It is not emitted yet."
            case NoSuchJob():
                yield "No job with this id is known."
            case WasNotFound(nominal, read):
                yield f"There is no record of a run at {self._at(nominal)}."
                yield from self._read(read)
            case _:
                assert_never(reason)

    def _at(self, instant: int) -> str:
        try:
            return spoken_instant(instant, self.place)
        except ScheduleError:  # no year has it
            return f"{instant} ms"

    def _emitted(self, was: WasEmitted) -> str:
        what = f"{_RUNS[was.origin]} {self._at(was.nominal)} was emitted"
        if was.at is None or was.late is None:
            return f"{what}."
        by = f" by {was.owner}" if was.owner else ""
        if was.attempt > 1:
            return f"{what}{by}; attempt {was.attempt} at {self._at(was.at)}."
        if was.origin is RunOrigin.BACKFILL or was.late >= ON_TIME_MS:
            late = "" if was.origin is RunOrigin.BACKFILL else f", {_length(was.late)} late"
            return f"{what} at {self._at(was.at)}{late}{by}."
        return f"{what} on time{by}."

    def _came_to(self, run: Run) -> Iterator[str]:
        attempts = f" after {run.attempts} attempts" if run.attempts > 1 else ""
        if run.state is RunState.ENDED:
            at = f" at {self._at(run.ended)}" if run.ended else ""
            error = f": {run.error}" if run.error and run.outcome is RunOutcome.FAILED else ""
            yield f"{_ENDS.get(run.outcome, 'It ended')}{attempts}{at}{error or '.'}"
        elif run.state is RunState.RETRYING:
            yield f"It failed, and its next attempt is due at {self._at(run.retry)}."
        else:
            yield f"It is running; a worker has to answer it by {self._at(run.deadline)}."

    def _held(self, held: IsHeld) -> Iterator[str]:
        run = held.run
        yield f"The run of {self._at(run.id.nominal)} is due, and held."
        yield _HOLDERS.get(run.held_by) or _limit(held.parallel)

    def _paused(self, paused: IsPaused) -> Iterator[str]:
        what = "The type of the job" if paused.of_type else "The job"
        pause = paused.pause
        yield f"{what} has been paused since {self._at(pause.since)}{_who(pause)}."
        yield (
            "Runs of the schedule that come due in a pause are skipped."
            if paused.passes
            else "No run starts before the pause ends."
        )

    def _was_paused(self, ended: EndedPause) -> Iterator[str]:
        if not ended.until:
            yield "The job, or its type, was paused."
            return
        what = "The type of the job" if ended.of_type else "The job"
        since, until = self._at(ended.pause.since), self._at(ended.until)
        yield f"{what} was paused from {since} to {until}{_who(ended.pause)}."

    def _overlapped(self, run: Run | None) -> Iterator[str]:
        yield "It was skipped: an earlier run of the job was open, and `overlap` forbids two."
        if run is not None:
            until = f", and ended at {self._at(run.ended)}" if run.ended else ", and is still open"
            yield f"That was the run of {self._at(run.id.nominal)}{until}."

    def _ended(self, ended: HasEnded) -> str:
        at = f" at {self._at(ended.at)}" if ended.at else ""
        if ended.why is Farewell.DELETED:
            return f"The job was deleted{at}."
        if ended.why is Farewell.MAX_RUNS:
            return f"The job ends after `max_runs` runs{at}."
        return f"The schedule of the job ended{at}: it has no run after that."

    def _neighbour(self, beside: Neighbour) -> Iterator[str]:
        order = "first run after" if beside.is_after else "last run before"
        yield f"The {order} it is that of {self._at(beside.occurrence)}."
        yield from _optional(beside.remark)

    def _read(self, read: TopicRead | None) -> Iterator[str]:
        if read is None:
            return
        if read.fault:
            yield f"The jobs topic could not be read: {read.fault}"
        elif read.whole:
            yield "The jobs topic has no record of it either."
        else:
            since, until = self._at(read.since), self._at(read.until)
            yield f"The jobs topic was read from {since} to {until}, and has no record of it there."


def _length(milliseconds: int) -> str:
    return spoken_duration(milliseconds)


def _limit(parallel: int) -> str:
    if parallel:
        return f"At most {parallel} runs of its type may be unanswered at a time."
    return "Too many runs of its type are unanswered."


def _missed(window: int | None) -> str:
    if window is None:
        return "It was missed in an outage."
    return f"After an outage only runs of the last {_length(window)} are made up for."


def _who(pause: Pause) -> str:
    by = f" by {pause.by}" if pause.by else ""
    return f"{by}: {pause.note}" if pause.note else by


def _optional(remark: str) -> Iterator[str]:
    if remark:
        yield remark
