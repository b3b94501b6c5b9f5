"""Why a job ran, ran late, or did not run: the decision.

Instants are epoch ms, durations ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from scheduling_client.schedules.recurrence import Every
from scheduling_client.schedules.spread import jitter_ms
from scheduling_srv.domain.explanation.facts import Emitted, Facts, JobFacts
from scheduling_srv.domain.explanation.reasons import (
    CameLater,
    CameTo,
    CouldNotStart,
    DelayedByJitter,
    Explained,
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
    Verdict,
    WasAway,
    WasEmitted,
    WasMissed,
    WasNotFound,
    WasPaused,
)
from scheduling_srv.domain.intervals import EndedPause, Farewell
from scheduling_srv.domain.pause import NOT_PAUSED, Pause
from scheduling_srv.domain.run import HeldBy, PassedBy, Run, RunOrigin, RunOutcome, RunState
from scheduling_srv.domain.run_rules import MissedRule, Overlap
from scheduling_srv.domain.timetable import Timetable

LATE_MS = 1_000
"""A run that was emitted so long after it was due was late."""
GRACE_MS = 5_000
"""A run that is due since then may still be on its way."""
PUBLISHING_MS = 60_000
"""The publication of a run may take so long before Kafka counts as away."""
KEPT_RUNS = 10
"""The history has so many runs of a recurring job."""


def explain(facts: Facts) -> Explained:
    """The first reason that applies."""
    nominal = subject(facts)
    found = _explained(facts, nominal)
    job, instant = facts.job, facts.at if nominal is None else nominal
    if job is None or instant is None:
        return replace(found, nominal=instant)
    table = job.timetable
    return replace(found, nominal=instant, before=table.before(instant), after=table.after(instant))


def subject(facts: Facts) -> int | None:
    """The nominal time of the run that is asked for; None: there is none."""
    table = facts.job.timetable if facts.job else None
    if facts.at is not None:
        meant = table.meant_by(facts.at) if table else None
        return _known_at(facts, facts.at) if meant is None else meant
    newest = max((run.id.nominal for run in facts.runs), default=None)
    if table is None:
        return newest
    last = table.before(facts.now + 1)
    if last is not None:
        return last if newest is None else max(last, newest)
    return table.after(facts.now) if newest is None else newest


def _known_at(facts: Facts, instant: int) -> int | None:
    """A run that the schedule does not name: by hand, or of a former definition."""
    last = instant if instant % 1000 else instant + 999
    emitted = facts.read.emitted if facts.read else ()
    known = [run.id.nominal for run in facts.runs] + [each.nominal for each in emitted]
    return next((nominal for nominal in known if instant <= nominal <= last), None)


def _explained(facts: Facts, nominal: int | None) -> Explained:
    if nominal is None:
        return _without_occurrence(facts)
    run = _run_at(facts, nominal)
    if run is not None:
        return _of_run(facts, run)
    if emitted := _first_attempt(facts, nominal):
        return _of_record(facts, emitted)
    if facts.job is None:
        return _gone(facts, nominal)
    if nominal > facts.now:
        return _to_come(facts.job, nominal)
    return _not_started(facts, facts.job, nominal)


def _run_at(facts: Facts, nominal: int) -> Run | None:
    """Of several, the one of the schedule, and of the latest definition."""
    found = [run for run in facts.runs if run.id.nominal == nominal]
    return max(found, key=lambda run: (-run.id.origin, run.id.seq), default=None)


def _first_attempt(facts: Facts, nominal: int, run: Run | None = None) -> Emitted | None:
    """On the topic. `run`: of this run only."""
    emitted = facts.read.emitted if facts.read else ()
    found = [each for each in emitted if each.nominal == nominal]
    if run is not None:
        wanted = (run.id.seq, run.id.origin)
        found = [each for each in found if (each.seq, each.origin) == wanted]
    return min(found, key=lambda each: (each.origin, -each.seq, each.attempt), default=None)


# --- A run that is known --------------------------------------------------------------------------


def _of_run(facts: Facts, run: Run) -> Explained:
    if run.state is RunState.HELD:
        return _held(facts, run)
    if run.outcome in (RunOutcome.SKIPPED, RunOutcome.MISSED):
        return _passed(facts, run.id.nominal, run)
    if not run.attempts:
        return _unstarted(facts, run)
    is_certain = run.attempts == 1 and run.started > 0 and not _may_have_hung(facts, run.started)
    first = None if is_certain else _first_attempt(facts, run.id.nominal, run)
    at = first.at if first else run.started or None
    attempt = first.attempt if first else run.attempts
    found = _emitted(facts, run.id.nominal, at, attempt, run.id.origin)
    reasons = [found.reasons[0], CameTo(run), *found.reasons[1:]]
    return replace(found, reasons=reasons, run=run, is_certain=is_certain)


def _may_have_hung(facts: Facts, started: int) -> bool:
    """The start of a run is noted before its publication: Kafka may have had it much later."""
    soon = range(started - LATE_MS, started + PUBLISHING_MS)
    return any(each.since in soon for each in facts.logs.outages)


def _of_record(facts: Facts, emitted: Emitted) -> Explained:
    return _emitted(facts, emitted.nominal, emitted.at, emitted.attempt, emitted.origin)


def _emitted(
    facts: Facts, nominal: int, at: int | None, attempt: int, origin: RunOrigin
) -> Explained:
    """`at`: None if nothing says when it was emitted."""
    if at is None:
        return Explained(Verdict.EMITTED, [WasEmitted(nominal, None, None, "", attempt, origin)])
    due = _due(facts, nominal) if origin is RunOrigin.SCHEDULE else nominal
    late = max(0, at - due)
    owner = _owner_at(facts, at)
    was = WasEmitted(nominal, at, late, owner, attempt, origin)
    is_first = attempt <= 1 and origin is not RunOrigin.BACKFILL
    causes = [*_causes(facts, nominal, due, at)] if is_first else []
    return Explained(Verdict.EMITTED, [was, *causes], late=late if is_first else None, owner=owner)


def _causes(facts: Facts, nominal: int, due: int, at: int) -> Iterator[Reason]:
    """Why a run was emitted after its nominal time."""
    if due > nominal:
        yield DelayedByJitter(due - nominal)
    if at - due < LATE_MS:
        return
    outages = [each for each in facts.logs.outages if each.since < at and each.until > due]
    yield from (WasAway(each) for each in outages[-1:])
    pauses = [each for each in facts.logs.pauses if each.pause.since < at and each.until > due]
    yield from (WasPaused(each) for each in pauses[-1:])
    if not outages and not pauses and facts.job and facts.job.parallel:
        yield MayHaveWaited(facts.job.parallel)


def _due(facts: Facts, nominal: int) -> int:
    """With the jitter that the job has now."""
    job = facts.job
    if job is None or not job.asked.jitter or nominal <= job.updated:
        return nominal
    recurrence = job.timetable.recurrence
    jitter = job.asked.jitter
    if isinstance(recurrence, Every):
        jitter = min(jitter, recurrence.period - 1)
    return nominal + jitter_ms(facts.job_id, nominal, jitter)


def _owner_at(facts: Facts, instant: int) -> str:
    """The last one before; empty: not known."""
    before = [each.owner for each in facts.logs.owners if each.since <= instant]
    return before[-1] if before else ""


def _held(facts: Facts, run: Run) -> Explained:
    pauses = facts.job.pauses if facts.job else NOT_PAUSED
    pause = {HeldBy.PAUSE: pauses.own, HeldBy.TYPE_PAUSE: pauses.of_type}.get(run.held_by)
    if pause:
        reason = IsPaused(pause, run.held_by is HeldBy.TYPE_PAUSE, passes=False)
        return Explained(Verdict.PAUSED, [reason], run=run)
    is_paused = run.held_by in (HeldBy.PAUSE, HeldBy.TYPE_PAUSE)
    held = IsHeld(run, facts.job.parallel if facts.job else 0)
    return Explained(Verdict.PAUSED if is_paused else Verdict.HELD, [held], run=run)


def _unstarted(facts: Facts, run: Run) -> Explained:
    """It has ended before its first attempt: its start deadline, or a caller."""
    if run.outcome is RunOutcome.FAILED:
        deadline = facts.job.asked.start_deadline if facts.job else None
        reasons: list[Reason] = [CouldNotStart(deadline), *_outage_at(facts, run.id.nominal)]
        return Explained(Verdict.PAST_DEADLINE, reasons, run=run)
    return Explained(Verdict.ENDED, [CameTo(run)], run=run)


# --- A run that has passed ------------------------------------------------------------------------


def _passed(facts: Facts, nominal: int, run: Run) -> Explained:
    """`run` stands for the row of occurrences that this one is of."""
    by: dict[str, Callable[[], Explained]] = {
        PassedBy.OVERLAP: lambda: _overlapped(facts, nominal, run.id.seq),
        PassedBy.DEADLINE: lambda: _too_late(facts, nominal),
        PassedBy.PAUSE: lambda: _passed_in_pause(facts, nominal),
        PassedBy.OUTAGE: lambda: _missed(facts, nominal),
    }
    fallback = by[PassedBy.OUTAGE] if run.outcome is RunOutcome.MISSED else None
    decide = by.get(run.error, fallback)
    if decide is None:  # an earlier version has noted no reason
        return Explained(Verdict.UNKNOWN, [CameTo(run)], run=run)
    return replace(decide(), run=run if run.id.nominal == nominal else None)


def _overlapped(facts: Facts, nominal: int, seq: int) -> Explained:
    earlier = OverlappedWith(_open_at(facts, nominal, seq))
    return Explained(Verdict.SKIPPED_BY_OVERLAP, [earlier])


def _too_late(facts: Facts, nominal: int) -> Explained:
    deadline = facts.job.asked.start_deadline if facts.job else None
    reasons: list[Reason] = [CouldNotStart(deadline), *_outage_at(facts, nominal)]
    return Explained(Verdict.PAST_DEADLINE, reasons)


def _passed_in_pause(facts: Facts, nominal: int) -> Explained:
    known = _pause_at(facts, nominal)
    return Explained(Verdict.PAUSED, [known] if known else [WasPaused(_UNKNOWN_PAUSE)])


_UNKNOWN_PAUSE = EndedPause(Pause(0), 0, of_type=False)


def _missed(facts: Facts, nominal: int) -> Explained:
    window = _missed_rule(facts).window
    return Explained(Verdict.MISSED, [*_outage_at(facts, nominal), WasMissed(window)])


def _missed_rule(facts: Facts) -> MissedRule:
    return (facts.job.asked.missed if facts.job else None) or facts.missed


def _outage_at(facts: Facts, nominal: int) -> list[WasAway]:
    due = _due(facts, nominal)
    found = [each for each in facts.logs.outages if each.since < due <= each.until]
    return [WasAway(each) for each in found[-1:]]


def _pause_at(facts: Facts, nominal: int) -> IsPaused | WasPaused | None:
    """The pause in which an occurrence came due."""
    pauses = facts.job.pauses if facts.job else NOT_PAUSED
    for pause, of_type in ((pauses.own, False), (pauses.of_type, True)):
        if pause and pause.since <= nominal:
            return IsPaused(pause, of_type, passes=True)
    for ended in reversed(facts.logs.pauses):
        if ended.pause.since <= nominal <= ended.until:
            return WasPaused(ended)
    return None


def _open_at(facts: Facts, nominal: int, seq: int) -> Run | None:
    """An earlier run that was unanswered, or waited for its next attempt, when this was due.

    Runs of another job that had the same id do not count: its creation number is not `seq`.
    """
    due = _due(facts, nominal)
    found = [
        run
        for run in facts.runs
        if run.id.nominal < nominal
        and run.id.seq == seq
        and run.attempts
        and (run.state is not RunState.ENDED or run.ended > due)
        and (run.attempts > 1 or run.started <= due)
    ]
    return max(found, key=lambda run: run.id.nominal, default=None)


# --- An occurrence that nothing knows -------------------------------------------------------------


def _not_started(facts: Facts, job: JobFacts, nominal: int) -> Explained:
    """The occurrence of a job that lives is over, and no record has it."""
    if job.updated > job.created and nominal <= job.updated:
        changed: list[Reason] = [WasNotFound(nominal, facts.read), HasChanged(job.updated)]
        return Explained(Verdict.UNKNOWN, changed, is_certain=False)
    pause = _pause_at(facts, nominal) if job.recurs else None
    if pause:
        return Explained(Verdict.PAUSED, [pause])
    found = (
        _in_outage(facts, job, nominal)
        or _in_overlap(facts, job, nominal)
        or _in_a_row(facts, job, nominal)
    )
    if found:
        return found
    if facts.now - _due(facts, nominal) < GRACE_MS:
        return Explained(Verdict.UPCOMING, [IsOnItsWay(nominal)])
    away = _outage_at(facts, nominal)
    reasons: list[Reason] = [WasNotFound(nominal, facts.read), *away]
    return Explained(Verdict.UNKNOWN, reasons, is_certain=False)


def _in_outage(facts: Facts, job: JobFacts, nominal: int) -> Explained | None:
    """Missed, or past its deadline, because no owner staged it."""
    away = _outage_at(facts, nominal)
    if not away or not job.recurs:
        return None
    until, rule = away[0].outage.until, _missed_rule(facts)
    cutoff = until - rule.window if rule.window is not None else 0
    following = job.timetable.after(nominal)
    is_made_up = rule.latest and (following is None or following >= cutoff)
    if nominal < cutoff and not is_made_up:
        return _missed(facts, nominal)
    deadline = job.asked.start_deadline
    if deadline and until > _due(facts, nominal) + deadline:
        return replace(_too_late(facts, nominal), is_certain=False)
    return None


def _in_overlap(facts: Facts, job: JobFacts, nominal: int) -> Explained | None:
    earlier = _open_at(facts, nominal, job.seq)
    if not job.recurs or job.asked.overlap is Overlap.ALLOW or earlier is None:
        return None
    found = Explained(Verdict.SKIPPED_BY_OVERLAP, [OverlappedWith(earlier)])
    return replace(found, is_certain=job.asked.overlap is Overlap.SKIP)


def _in_a_row(facts: Facts, job: JobFacts, nominal: int) -> Explained | None:
    """The history keeps the latest of occurrences that have passed one after another."""
    own = [run for run in facts.runs if run.id.seq == job.seq and _is_scheduled(run)]
    later = min(
        (run for run in own if run.id.nominal > nominal),
        key=lambda run: run.id.nominal,
        default=None,
    )
    reaches_back = len(own) < KEPT_RUNS or any(run.id.nominal < nominal for run in own)
    if later is None or not reaches_back:
        return None
    if later.outcome not in (RunOutcome.SKIPPED, RunOutcome.MISSED):
        return None
    return replace(_passed(facts, nominal, later), is_certain=False)


def _is_scheduled(run: Run) -> bool:
    return run.id.origin is RunOrigin.SCHEDULE


def _to_come(job: JobFacts, nominal: int) -> Explained:
    table = job.timetable
    due = IsDue(nominal, table.remark(nominal))
    left = job.asked.max_runs - job.counted
    is_counted = job.asked.max_runs and job.next is not None
    if is_counted and table.has_more(left, (job.next or 0) - 1, nominal):
        return Explained(Verdict.ENDED, [HasEnded(Farewell.MAX_RUNS, 0)])
    for pause, of_type in ((job.pauses.own, False), (job.pauses.of_type, True)):
        if pause:
            return Explained(Verdict.UPCOMING, [due, IsPaused(pause, of_type, passes=False)])
    return Explained(Verdict.UPCOMING, [due])


# --- No occurrence at the instant -----------------------------------------------------------------


def _without_occurrence(facts: Facts) -> Explained:
    job, at = facts.job, facts.at
    if job is None:
        return _gone(facts, at)
    if at is None:  # a job without any occurrence left
        return Explained(Verdict.ENDED, [HasEnded(Farewell.END, job.timetable.end or 0)])
    if job.updated > job.created and at <= job.updated:
        reasons: list[Reason] = [WasNotFound(at, facts.read), HasChanged(job.updated)]
        return Explained(Verdict.UNKNOWN, reasons, is_certain=False)
    table = job.timetable
    around = [*_neighbours(table, at)]
    if table.end is not None and at > table.end:
        return Explained(Verdict.ENDED, [HasEnded(Farewell.END, table.end), *around])
    reasons = [IsNotScheduled(at, table.words), *around]
    if at < job.created:
        reasons.insert(1, CameLater(job.created))
    return Explained(Verdict.NOT_SCHEDULED, reasons)


def _neighbours(table: Timetable, at: int) -> Iterator[Neighbour]:
    before, after = table.before(at), table.after(at)
    if before is not None:
        yield Neighbour(before, is_after=False, remark=table.remark(before))
    if after is not None:
        yield Neighbour(after, is_after=True, remark=table.remark(after))


def _gone(facts: Facts, instant: int | None) -> Explained:
    """No job with this id lives."""
    gone = facts.logs.gone[-1] if facts.logs.gone else None
    if gone and (instant is None or instant >= gone.at):
        return Explained(Verdict.ENDED, [HasEnded(gone.why, gone.at)])
    reasons: list[Reason] = [] if instant is None else [WasNotFound(instant, facts.read)]
    reasons.append(HasEnded(gone.why, gone.at) if gone else NoSuchJob())
    return Explained(Verdict.UNKNOWN, reasons, is_certain=False)
