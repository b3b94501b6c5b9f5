"""Rules about the runs of jobs of scheduling.v1: when they come, how often, and beside which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from chaos.history import CRON, INTERVAL, NOW, WHEN
from chaos.model import FOREVER, Violation
from chaos.v1.model import MANUAL, SCHEDULE, Emission, JobHistory, V1Model
from chaos.v1.specs import ALLOW, LATEST

BUSY_MS = 2_500
"""How late a run may come on a busy machine."""
TICK_MS = 2_000
IDLE_MS = 5_000
"""An owner that looks at nothing for so long was in an outage (docs/contract.md)."""
SETTLING_MS = 2_000
"""How long an answer may take to be applied, if no fault is under way."""
LONGEST_RUN_MS = 180_000
"""How long a run may be open: all its attempts, through outages."""
RECOVERING_MS = 25_000
"""The same, if one is."""


def asked_for(model: V1Model) -> Iterator[Violation]:
    """Each run belongs to a definition that was accepted."""
    for emission in model.strangers:
        call = model.refused.get(emission.run.tag)
        why = f"was refused ({call.code}), but ran" if call else "is of no job"
        yield Violation("unasked", f"{emission.run} {why}")
    for job in model.jobs.values():
        for _, _, tag in job.created:
            if tag not in {spec.tag for spec in job.all}:
                why = "was refused" if tag in model.refused else "is no definition of the job"
                yield Violation("unasked", f"{tag} {why}, but was announced as {job.id}")
    for event in model.orphans:
        what = f"{event.tag} was announced" if event.tag else "was deleted"
        yield Violation("unasked", f"{event.job_id} {what}, but no such job was accepted")


def once(model: V1Model) -> Iterator[Violation]:
    """Each attempt once, and no id twice."""
    users: dict[int, str] = {run.instance: str(run) for run in model.model.runs}
    for job in model.jobs.values():
        for (run_id, attempt), number in Counter(
            (emission.run_id, emission.run.attempt) for emission in job.emissions
        ).items():
            if number > 1:
                yield Violation("twice", f"{run_id}#{attempt} was committed {number} times")
        seen: set[str] = set()
        for emission in job.emissions:
            if emission.run.occurrence not in seen:
                user = users.setdefault(emission.run.instance, str(emission.run))
                if user != str(emission.run):
                    yield Violation(
                        "ids", f"instance {emission.run.instance} is of {user}, {emission.run}"
                    )
            seen.add(emission.run.occurrence)
        yield from _nominals_once(job)
    yield from _changed(model)
    yield from _renamed(model)


def _changed(model: V1Model) -> Iterator[Violation]:
    """Sent again, but not as it was: a worker's answer would be of another run."""
    first = {
        (emission.run_id, emission.run.attempt): emission.run
        for job in model.jobs.values()
        for emission in reversed(job.emissions)
    }
    for again in model.again:
        run, before = again.run, first[again.run_id, again.run.attempt]
        if (run.instance, run.event) != (before.instance, before.event):
            text = f"{run} is instance {run.instance}, event {run.event}; it was {before.instance},"
            yield Violation("twice", f"{text} {before.event} (offset {before.offset})")


def _renamed(model: V1Model) -> Iterator[Violation]:
    """Copies of an attempt that cannot be recognised, also by readers of uncommitted records."""
    names: dict[tuple[str, str, int, int], str] = {}
    users: dict[str, tuple[str, str, int, int]] = {}
    emissions = [emission for job in model.jobs.values() for emission in job.emissions]
    for emission in (*emissions, *model.again, *model.copies):
        run = emission.run
        identity = (run.tag, emission.origin, run.nominal, run.attempt)
        name = names.setdefault(identity, run.occurrence)
        if name != run.occurrence:
            yield Violation("twice", f"{run} has two occurrence ids: {name}, {run.occurrence}")
        if (user := users.setdefault(run.occurrence, identity)) != identity:
            yield Violation("ids", f"occurrence id {run.occurrence} is of {user} and {run}")


def _nominals_once(job: JobHistory) -> Iterator[Violation]:
    """An Update does not repeat an occurrence of the schedule."""
    for nominal, number in Counter(emission.run.nominal for emission in job.firsts).items():
        if number > 1 and len({d.seq for d in job.firsts if d.run.nominal == nominal}) > 1:
            yield Violation("twice", f"{job} ran at {nominal} under {number} definitions")


def in_time(model: V1Model) -> Iterator[Violation]:
    """Not before the nominal time and its jitter, for readers of uncommitted records too."""
    emissions = [emission for job in model.jobs.values() for emission in job.emissions]
    for emission in (*emissions, *model.again, *model.copies):
        if emission.run.tag not in model.by_tag:
            yield Violation("unasked", f"{emission.run} was not committed; no call asked for it")
            continue
        if emission.origin == MANUAL:
            continue  # the service chooses its nominal time, by the clock of any replica
        spec, run = model.by_tag[emission.run.tag], emission.run
        at = min(run.at, model.model.history.readable.get(run.offset, FOREVER))
        due = spec.delayed(run.nominal) if emission.origin == SCHEDULE else run.nominal
        if at < due - model.skew:
            kind = "its jitter" if due > run.nominal else "its time"
            yield Violation("early", f"{run} came {due - at} ms before {kind}")


def in_phase(model: V1Model) -> Iterator[Violation]:
    """Nominal times of the schedule, within its bounds."""
    for job in model.jobs.values():
        known = job.firsts[0].run.nominal if job.firsts else 0
        for emission in job.emissions:
            if emission.origin != MANUAL and _is_off(model, job, emission, known):
                yield Violation("phase", f"{emission.run} is no occurrence of {job.spec}")
        spec = job.spec
        for emission in job.firsts:
            if spec.start and emission.run.nominal < spec.start:
                yield Violation("phase", f"{emission.run} is before the start {spec.start}")
            if spec.end and emission.run.nominal > spec.end:
                yield Violation("phase", f"{emission.run} is after the end {spec.end}")


def _is_off(model: V1Model, job: JobHistory, emission: Emission, known: int) -> bool:
    spec, nominal = job.spec, emission.run.nominal
    if spec.trigger == WHEN:
        return nominal != spec.due
    if spec.trigger == NOW:
        begun = job.specs[0][1].begun - model.skew - 2
        return nominal != known or nominal < begun
    if not known and not spec.start and spec.trigger == INTERVAL:
        return False  # its phase is not known
    return not spec.is_in_phase(nominal, known)


def counted(model: V1Model) -> Iterator[Violation]:
    """At most `max_runs` runs of the schedule; each has the next number; then the job ends."""
    for job in model.jobs.values():
        if not job.spec.max_runs:
            continue
        firsts = {emission.run.nominal: emission for emission in reversed(job.firsts)}.values()
        ordered = sorted(firsts, key=lambda emission: emission.run.offset)
        for place, emission in enumerate(ordered, start=1):
            most = max(spec.max_runs for spec, call in job.specs if call.begun <= emission.run.at)
            if place > most:
                yield Violation("count", f"{emission.run} is number {place} of {most}")
            if emission.number < place:
                yield Violation(
                    "count", f"{emission.run} says it is number {emission.number}, not {place}"
                )
        for one, other in pairwise(ordered):
            if other.number <= one.number:
                text = f"{other.run} has number {other.number}, {one.run} had {one.number}"
                yield Violation("count", text)
        yield from _never_finished(model, job, ordered)


def _never_finished(
    model: V1Model, job: JobHistory, ordered: list[Emission]
) -> Iterator[Violation]:
    most = max(spec.max_runs for spec in job.all)
    if not ordered or ordered[-1].number < most or job.deleted:
        return
    if ordered[-1].run.at + BUSY_MS < model.read_at:
        yield Violation("count", f"{job} has run {most} times, but is not finished")


def before_deadline(model: V1Model) -> Iterator[Violation]:
    """No run starts after its `start_deadline`, unless servers were away after it was staged."""
    for job in model.jobs.values():
        for emission in job.firsts:
            spec, run = model.by_tag[emission.run.tag], emission.run
            last = spec.delayed(run.nominal) + spec.start_deadline + model.skew
            late = run.at - last
            if not spec.start_deadline or late <= 0:
                continue
            due, longest = spec.delayed(run.nominal), spec.start_deadline
            if model.was_away(due, last) or (
                late > BUSY_MS and model.was_smooth(job, last - TICK_MS, run.at, longest)
            ):
                yield Violation("deadline", f"{run} came {late} ms after its start deadline")


def alone(model: V1Model) -> Iterator[Violation]:
    """With SKIP and ONE no run of the schedule starts while an earlier run is open."""
    for job in model.jobs.values():
        for emission, others in model.beside(job, job.emissions):
            spec = model.by_tag[emission.run.tag]
            if others and spec.overlap != ALLOW and spec.recurs and emission.is_first:
                yield Violation("overlap", f"{emission.run} started while {others} were open")


def made_up(model: V1Model) -> Iterator[Violation]:
    """Of the occurrences in an outage before the window of a job, one runs, or none."""
    outages = [each for each in model.outages() if each.end - each.begin > IDLE_MS + TICK_MS]
    for job in model.jobs.values():
        spec = job.spec
        if not spec.older:
            continue
        for outage in outages:
            begin = outage.begin + model.skew
            end = outage.end - spec.window - model.skew
            ran = [
                emission.run
                for emission in job.firsts
                if emission.run.at > outage.end and begin < spec.delayed(emission.run.nominal) < end
            ]
            if len(ran) > (1 if spec.older == LATEST else 0):
                text = f"{job} made up for {len(ran)} runs before its window ({spec.older})"
                yield Violation("missed", text)


# --- Runs that did not come -----------------------------------------------------------------------


def lost(model: V1Model) -> Iterator[Violation]:
    """Occurrences that were due did not come, for no reason."""
    if not model.read_at:
        return
    for job in model.jobs.values():
        if job.spec.recurs:
            yield from _lost_occurrences(model, job)
        else:
            yield from _lost_one(model, job)


def _lost_one(model: V1Model, job: JobHistory) -> Iterator[Violation]:
    spec, call = job.specs[0]
    due = spec.due or (call.ended or FOREVER)
    excused = (
        job.emissions
        or call.outcome != "ok"
        or due + BUSY_MS > model.model.complete
        or model.end_begins(job) < FOREVER
        or model.may_be_paused(job, 0, FOREVER)
        or spec.start_deadline
    )
    if not excused:
        yield Violation("lost", f"{job} never ran")


def _lost_occurrences(model: V1Model, job: JobHistory) -> Iterator[Violation]:
    first = _first_due(model, job)
    until = min(model.model.settled - BUSY_MS, model.end_begins(job) - model.skew, job.end)
    if until < model.model.settled - BUSY_MS:  # it may have ended before the service had caught up
        until = min(until, model.served_before(job, until, BUSY_MS))
    if first is None:
        return
    ran = {emission.run.nominal: emission.run.at for emission in job.firsts}
    ends = [spec.end for spec in job.all if spec.end]
    for nominal in job.spec.occurrences(first, min(until, *(end + 1 for end in ends), FOREVER)):
        if nominal not in ran and job.spec.delayed(nominal) + model.skew < until:
            later = min((at for other, at in ran.items() if other > nominal), default=until)
            if not _is_excused(model, job, nominal, max(later, nominal)):
                yield Violation("lost", f"{job} did not run at {nominal}")


def _first_due(model: V1Model, job: JobHistory) -> int | None:
    """The first occurrence that can be said; None if there is none."""
    ran = min((emission.run.nominal for emission in job.firsts), default=None)
    if not job.created:
        return ran
    spec, latest = job.spec, job.created[0][0] + model.skew
    since = max(latest, spec.start - 1)  # when it was created is not known: not after that
    if spec.trigger == CRON:
        return spec.following(since)
    known = spec.start or ran
    if known is None:
        return since + 2 * spec.period
    return known - (known - since - 1) // spec.period * spec.period


def _is_excused(model: V1Model, job: JobHistory, nominal: int, later: int) -> bool:
    """`later`: when the next run came, or the time until which it could have come."""
    specs = job.all
    reasons: Iterable[Callable[[], bool]] = (
        lambda: job.spec.max_runs > 0 and _was_full(job, nominal),
        lambda: model.may_be_paused(job, nominal - model.skew, later),
        lambda: (
            any(spec.overlap != ALLOW for spec in specs)
            and _may_overlap(model, job, nominal, later)
        ),
        lambda: any(spec.start_deadline for spec in specs) and _may_be_late(model, job, nominal),
        lambda: _may_be_missed(model, job, nominal, later),
        lambda: any(
            model.may_be_cancelled(f"{job.id}/{emission.seq}/{nominal}")
            for emission in job.emissions
        ),
    )
    return any(reason() for reason in reasons)


def _was_full(job: JobHistory, nominal: int) -> bool:
    most = min(spec.max_runs for spec in job.all)
    return (
        max(
            (emission.number for emission in job.firsts if emission.run.nominal < nominal),
            default=0,
        )
        >= most
    )


def _may_overlap(model: V1Model, job: JobHistory, nominal: int, later: int) -> bool:
    """Whether another run of the job may have been open when it was due."""
    for run_id, (first, *_) in job.chains.items():
        is_behind = first.is_first and first.run.nominal > nominal
        if is_behind or not nominal - LONGEST_RUN_MS < first.run.at <= later:
            continue
        over = model.open_until(job, run_id)
        hurt = model.had_fault(over - TICK_MS, over + IDLE_MS)
        if over + (RECOVERING_MS if hurt else SETTLING_MS) >= nominal:
            return True
    # A run by hand, or of a backfill, that waits for its place counts before it is seen.
    return model.had_fault(nominal - RECOVERING_MS, later)


def _may_be_late(model: V1Model, job: JobHistory, nominal: int) -> bool:
    shortest = min(spec.start_deadline for spec in job.all if spec.start_deadline)
    end = job.spec.delayed(nominal) + shortest + BUSY_MS
    return not model.was_smooth(job, nominal - TICK_MS, end, shortest // 2)


def _may_be_missed(model: V1Model, job: JobHistory, nominal: int, later: int) -> bool:
    """Whether an outage of its shard may have swallowed it."""
    spec = job.spec
    window = spec.window if spec.older else model.model.settings.catch_up_window
    shortest = min(IDLE_MS - TICK_MS, window) if spec.older else window - TICK_MS
    for begin, end in model.silences(job, nominal, later + IDLE_MS):
        earliest, latest = begin - _behind(job, begin), end - window + TICK_MS
        if end - begin >= shortest and earliest <= nominal <= latest:
            return True
    return False


def _behind(job: JobHistory, instant: int) -> int:
    """By how much the owner may have been behind with the job then, in ms."""
    late = (
        emission.run.at - emission.run.nominal
        for emission in job.firsts
        if instant - TICK_MS <= emission.run.at <= instant
    )
    return max(IDLE_MS, max(late, default=0))
