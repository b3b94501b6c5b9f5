"""Rules about further attempts of runs of scheduling.v1: their reasons, delays and time-outs."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.history import OK
from chaos.model import FOREVER, Violation
from chaos.rules_limits import KAFKA_FAULTS, KAFKA_RECOVERY_MS
from chaos.v1 import facts
from chaos.v1.facts import Call
from chaos.v1.model import Emission, JobHistory, V1Model, attempts_of


def retried(model: V1Model) -> Iterator[Violation]:
    """A further attempt has a reason, and waits for its delay; none is missing."""
    for job in model.jobs.values():
        attempts = {
            (emission.run_id, emission.run.attempt): emission
            for emission in reversed(job.emissions)
        }
        for (run_id, attempt), emission in attempts.items():
            spec = model.by_tag[emission.run.tag]
            if attempt > attempts_of(spec):
                text = f"{emission.run} is one too many of {attempts_of(spec)}"
                yield Violation("attempts", text)
            before = attempts.get((run_id, attempt - 1))
            if attempt > 1 and before is None:
                yield Violation("attempts", f"{emission.run} has no attempt before it")
            elif before:
                yield from _unfounded(model, before, emission)
            if (run_id, attempt + 1) not in attempts and attempt < attempts_of(spec):
                yield from _missing(model, job, emission)


def _unfounded(model: V1Model, before: Emission, emission: Emission) -> Iterator[Violation]:
    spec, run = model.by_tag[emission.run.tag], emission.run
    cap = model.model.settings.max_backoff
    wait = spec.backoff(run.nominal, run.attempt, cap) - 2 * model.skew
    answers = [each for each in model.answers_to(before) if each.offset < run.offset]
    if run.at >= model.earliest_timeout(before) + wait:
        yield from _done_in_time(model, before, emission)
        return
    if not answers:
        early = model.earliest_timeout(before) + wait - run.at
        text = f"{run}: nothing had failed, and the time-out was {early} ms ahead"
        yield Violation("attempts", text)
    elif not answers[0].failed:
        yield Violation("attempts", f"{run}: the attempt before it was done")
    elif run.at < answers[0].at + wait:
        early = answers[0].at + wait - run.at
        yield Violation("attempts", f"{run} came {early} ms before its delay was over")


def _done_in_time(model: V1Model, before: Emission, emission: Emission) -> Iterator[Violation]:
    """An answer that arrived before the time-out counts (docs/decisions/0012)."""
    answers = model.answers_to(before)
    arrived = model.model.history.arrived.get(answers[0].offset) if answers else None
    if arrived is None or answers[0].failed:
        return
    early = model.earliest_timeout(before) - 2 * model.skew - arrived
    if early > 0 and not model.had_fault(
        arrived - KAFKA_RECOVERY_MS, emission.run.at, *KAFKA_FAULTS
    ):
        yield Violation("answers", f"{emission.run}: done {early} ms before the time-out")


def _missing(model: V1Model, job: JobHistory, emission: Emission) -> Iterator[Violation]:
    """A retry did not come, although no call ended, changed, paused or cancelled the run."""
    replaced = emission.seq != job.emissions[-1].seq or len(job.specs) > 1
    excused = (
        replaced
        or model.end_begins(job) < FOREVER
        or model.may_be_paused(job, emission.run.at, FOREVER)
        or model.may_be_cancelled(emission.run_id)
    )
    if excused:
        return
    spec, run = model.by_tag[emission.run.tag], emission.run
    cap = model.model.settings.max_backoff
    wait = spec.backoff(run.nominal, run.attempt + 1, cap) + model.skew
    answers = model.answers_to(emission)
    if answers and not answers[0].failed:
        return
    due = (answers[0].at if answers else model.latest_timeout(emission)) + wait
    if due < model.model.complete:
        yield Violation("lost", f"{run} failed, but was not tried again")


def cancelled(model: V1Model) -> Iterator[Violation]:
    """A cancel finds an open run, and no attempt comes once it was answered."""
    for call in model.calls:
        if call.op != facts.CANCEL or call.outcome != OK:
            continue
        (run_id,) = call.names
        job = model.jobs.get(run_id.rsplit("/", 2)[0])
        if job is None:
            continue
        if not call.answer["changed"]:
            if _was_surely_open(model, job, call):
                yield Violation("cancel", f"{call} did not find {run_id}, which was open")
            continue
        ended = call.ended or FOREVER
        for emission in job.chains.get(run_id, ()):
            if emission.run.at > ended:
                late = emission.run.at - ended
                yield Violation(
                    "cancel", f"{emission.run} came {late} ms after {call} was answered"
                )


def _was_surely_open(model: V1Model, job: JobHistory, call: Call) -> bool:
    """Whether a run was open before a cancel, and only this call can have ended it."""
    (run_id,), ended = call.names, call.ended or FOREVER
    over = ended + model.skew
    attempts = [emission for emission in job.chains.get(run_id, ()) if emission.run.at <= over]
    if not attempts or attempts[0].run.at + model.skew >= call.begun:
        return False
    return model.has_no_outcome(attempts[-1], over, apart_from=call) and not (
        any(each.at <= over for each in job.deleted)
        or any(each.begun <= ended for _, each in job.specs[1:])
        or model.end_begins(job) <= ended
        or model.model.may_be_stale(call.begun, ended)
    )
