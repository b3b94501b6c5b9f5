"""Rules about pauses, runs by hand and backfills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from chaos.history import OK, REFUSED
from chaos.model import FOREVER, NOTICED_MS, Violation
from chaos.v1 import facts
from chaos.v1.facts import Call
from chaos.v1.model import (
    AHEAD_MS,
    BACKFILL,
    MANUAL,
    Emission,
    JobHistory,
    V1Model,
)
from chaos.v1.rules_runs import RECOVERING_MS


def paused(model: V1Model) -> Iterator[Violation]:
    """Nothing is emitted from the answer to a pause until a Resume, but runs by hand."""
    for job in model.jobs.values():
        for span in model.sure_pauses(job):
            for emission in job.emissions:
                by_hand = emission.origin == MANUAL and emission.run.attempt == 1
                if span.begin < emission.run.at < span.end and not by_hand:
                    late = emission.run.at - span.begin
                    yield Violation(
                        "pause", f"{emission.run} came {late} ms after a pause's answer"
                    )


def passed(model: V1Model) -> Iterator[Violation]:
    """Occurrences that were due in a pause have passed: they never run, not after a rebuild either.

    It counts when they are due, jitter included.
    """
    for job in model.jobs.values():
        if not job.spec.recurs:
            continue
        for span in model.sure_pauses(job):
            for emission in job.firsts:
                nominal = emission.run.nominal
                due = model.by_tag[emission.run.tag].delayed(nominal)
                margin = AHEAD_MS + model.skew
                if span.begin + margin < nominal and due + margin < span.end:
                    text = f"{emission.run} was due in a pause from {span.begin} to {span.end}"
                    yield Violation("pause", text)


def by_hand(model: V1Model) -> Iterator[Violation]:
    """Each run that a call has answered comes; each request makes one run of a job."""
    requests: dict[str, list[Call]] = defaultdict(list)
    for call in model.calls:
        if call.op == facts.RUN and call.outcome != REFUSED:
            requests[call.given["request"]].append(call)
    for job in model.jobs.values():
        ran = {
            emission.run_id: emission
            for emission in reversed(job.emissions)
            if emission.origin == MANUAL
        }
        named = [calls for calls in requests.values() if job.id in calls[0].names]
        for emission in ran.values():
            if not any(calls[0].begun <= emission.run.at + model.skew for calls in named):
                yield Violation("by hand", f"{emission.run} was not asked for")
        if len(ran) > sum(_runs_of(model, calls) for calls in named):
            yield Violation("by hand", f"{job} ran {len(ran)} times by {len(named)} requests")
        for calls in named:
            yield from _answered_once(model, calls)
            yield from _never_ran(model, job, calls, ran)


def _runs_of(model: V1Model, calls: list[Call]) -> int:
    """How many runs a request may have made: a loss of Redis forgets it."""
    end = (calls[-1].ended or FOREVER) + NOTICED_MS
    return len(calls) if model.model.may_be_stale(calls[0].begun, end) else 1


def _answered_once(model: V1Model, calls: list[Call]) -> Iterator[Violation]:
    answers = {tuple(call.answer["runs"]) for call in calls if call.outcome == OK} - {()}
    if len(answers) > _runs_of(model, calls):
        yield Violation("by hand", f"request {calls[0]} was answered with {sorted(answers)}")


def _never_ran(
    model: V1Model, job: JobHistory, calls: list[Call], ran: dict[str, Emission]
) -> Iterator[Violation]:
    for call in calls:
        for run_id in call.answer.get("runs", ()) if call.outcome == OK else ():
            excused = (
                model.end_begins(job) < FOREVER
                or job.deleted
                or any(other.begun > call.begun for _, other in job.specs[1:])
                or model.may_be_cancelled(run_id)
                or (call.ended or FOREVER) + RECOVERING_MS > model.model.complete
            )
            if run_id not in ran and not excused:
                yield Violation("by hand", f"{run_id} of {call} never ran")


def backfilled(model: V1Model) -> Iterator[Violation]:
    """Runs of a backfill lie in its span, few enough are open at a time, and none is missing."""
    for job in model.jobs.values():
        calls = [
            call for call in job.calls if call.op == facts.BACKFILL and call.outcome != REFUSED
        ]
        emissions = [emission for emission in job.emissions if emission.origin == BACKFILL]
        for emission in emissions:
            mine = [call for call in calls if _is_in(call, emission.run.nominal)]
            if not any(call.begun <= emission.run.at + model.skew for call in mine):
                yield Violation("backfill", f"{emission.run} is in no backfill")
        yield from _too_many(model, job, calls, emissions)
        for call in calls:
            yield from _incomplete(model, job, call, emissions)


def _is_in(call: Call, nominal: int) -> bool:
    return bool(call.given["from"] <= nominal < call.given["until"])


def _too_many(
    model: V1Model, job: JobHistory, calls: list[Call], emissions: list[Emission]
) -> Iterator[Violation]:
    most = max((call.given["most"] for call in calls), default=0)
    for emission, others in model.beside(job, emissions):
        if emission.run.attempt == 1 and len(others) >= most:
            yield Violation("backfill", f"{emission.run} ran beside {others}; {most} may")


def _incomplete(
    model: V1Model, job: JobHistory, call: Call, emissions: list[Emission]
) -> Iterator[Violation]:
    """All its runs came, unless a call ended, changed or paused the job, or time was short."""
    ran = {emission.run.nominal for emission in emissions if _is_in(call, emission.run.nominal)}
    missing = call.answer.get("runs", 0) - len(ran)
    others = [each for each in job.calls if each.op == facts.BACKFILL and each is not call]
    excused = (
        call.outcome != OK
        or others
        or model.end_begins(job) < FOREVER
        or job.deleted
        or any(other.begun > call.begun for _, other in job.specs[1:])
        or model.may_be_paused(job, call.begun, FOREVER)
        or any(model.may_be_cancelled(emission.run_id) for emission in emissions)
    )
    last = max(
        (model.open_until(job, emission.run_id) for emission in emissions), default=call.ended or 0
    )
    if missing > 0 and not excused and last + RECOVERING_MS < model.model.complete:
        yield Violation("backfill", f"{missing} runs of {call} never came")
