"""Rules about definitions: announcements, ends, unique keys, revisions, and answers of calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from chaos.history import INTERVAL, NOW, OK, REFUSED, UNKNOWN
from chaos.model import FOREVER, NOTICED_MS, Violation
from chaos.v1 import facts
from chaos.v1.facts import Call, Final
from chaos.v1.model import JobHistory, V1Model, attempts_of
from chaos.v1.specs import Spec, is_one_time

SETTLING_MS = 4_000
"""Changes so close to the final reading may be on either side of it."""
FINISHED, CANCELLED = "finished", "cancelled"


def announced(model: V1Model) -> Iterator[Violation]:
    """Created and deleted in turns; each definition once; none was accepted without it."""
    for job in model.jobs.values():
        turns = sorted(
            [(offset, True) for _, offset, _ in job.created]
            + [(gone.offset, False) for gone in job.deleted]
        )
        kinds = [is_created for _, is_created in turns]
        if kinds != [place % 2 == 0 for place in range(len(kinds))]:
            yield Violation("announced", f"{job} was announced in the order {kinds}")
        tags = [tag for _, _, tag in job.created]
        for spec, call in job.specs:
            if call.op == facts.UPDATE and tags.count(spec.tag) > 1:
                yield Violation("announced", f"{spec} was announced more than once")
            if spec.tag not in tags and call.outcome == OK and spec.trigger != NOW:
                yield Violation("announced", f"{spec} was accepted, but never announced")
        yield from _outlived(job)
        for gone in job.deleted:
            if gone.outcome != "replaced" and not _has_reason(model, job, gone.at, gone.outcome):
                text = f"{job} was deleted without a reason, outcome {gone.outcome}"
                yield Violation("announced", text)


def _outlived(job: JobHistory) -> Iterator[Violation]:
    """A Delete that was answered has ended the job, and no run came after it."""
    last = max((offset for _, offset, _ in job.created), default=0)
    for call in job.calls:
        if call.op != facts.DELETE or call.outcome != OK or not call.ended:
            continue
        if any(each.outcome == UNKNOWN and each.specs for each in job.calls):
            continue  # a write that is still under way may create it again
        if last and not any(gone.offset > last for gone in job.deleted):
            yield Violation("announced", f"{job} outlived {call}")
        for emission in job.emissions:
            if emission.run.at > call.ended:
                late = emission.run.at - call.ended
                yield Violation("after", f"{emission.run} came {late} ms after {call} was answered")


def _has_reason(model: V1Model, job: JobHistory, at: int, outcome: str) -> bool:
    if any(begun <= at for begun, _ in model.enders(job)):
        return True
    if outcome == FINISHED:
        return _may_be_finished(model, job, at)
    return is_one_time(job.spec) and _may_be_answered(model, job, at)


def _may_be_finished(model: V1Model, job: JobHistory, at: int) -> bool:
    fewest = min(spec.max_runs for spec in job.all)
    if fewest and max((emission.number for emission in job.firsts), default=0) >= fewest:
        return True
    return bool(job.spec.end) and _following(job, at + model.skew) > job.spec.end


def _following(job: JobHistory, at: int) -> int:
    """The first nominal time after an instant: those before it may have been skipped or missed."""
    nominal = max((emission.run.nominal for emission in job.firsts), default=at)
    while nominal <= at:
        nominal = job.spec.following(nominal)
    return nominal


def _may_be_answered(model: V1Model, job: JobHistory, at: int) -> bool:
    """Whether the last run of a one-time job may have ended by then."""
    for emission in job.emissions:
        spec = model.by_tag[emission.run.tag]
        is_last = emission.run.attempt >= attempts_of(spec)
        answers = [each for each in model.answers_to(emission) if each.at <= at]
        if answers and (is_last or not all(each.failed for each in answers)):
            return True
        if is_last and model.earliest_timeout(emission) <= at:
            return True
        if model.may_be_cancelled(emission.run_id, at):
            return True
    return False


def unique(model: V1Model) -> Iterator[Violation]:
    """Of the jobs of a type with one key, one lives at a time."""
    holders: dict[tuple[str, str], list[JobHistory]] = defaultdict(list)
    for job in model.jobs.values():
        if job.spec.key:
            holders[job.spec.type, job.spec.key].append(job)
    for (type_, key), jobs in holders.items():
        turns = sorted(
            [(offset, job.id, True) for job in jobs for _, offset, _ in job.created]
            + [(gone.offset, job.id, False) for job in jobs for gone in job.deleted]
        )
        living = ""
        for _, job_id, is_created in turns:
            if is_created and living not in ("", job_id):
                yield Violation("unique", f"{job_id} has the key {key} of {type_}, as {living}")
            living = job_id if is_created else "" if living == job_id else living
    for call in model.calls:
        existing = call.answer.get("existing", ())
        for spec, job_id, exists in zip(
            call.specs, call.answer.get("ids", ()), existing, strict=False
        ):
            if exists and not _may_hold(model, job_id, spec.key, call):
                yield Violation("unique", f"{call} found {job_id} by the key {spec.key}")


def _may_hold(model: V1Model, job_id: str, key: str, call: Call) -> bool:
    job = model.jobs.get(job_id)
    return job is not None and job.spec.key == key and job.end >= call.begun


# --- Answers --------------------------------------------------------------------------------------


def changed(model: V1Model) -> Iterator[Violation]:
    """An Update counts the revision, changes what its mask names, and keeps the rest."""
    for job in model.jobs.values():
        for call in job.calls:
            low, high = job.revisions_before(call)
            if call.op == facts.UPDATE and call.outcome == OK:
                revision = call.answer["revision"]
                if not low < revision <= high + 1:
                    yield Violation("update", f"{call} made revision {revision} of {high + 1}")
                yield from _differs(call)
            elif call.op == facts.GET and call.outcome == OK and not _after_a_loss(model, call):
                shown = call.answer["revisions"].get(job.id, low)
                if not low <= shown <= high:
                    text = f"{call} showed revision {shown} of {job}, not {low} to {high}"
                    yield Violation("update", text)
        if model.finals and job.id in model.finals:
            yield from _final_differs(model, job, model.finals[job.id], job.revisions_before(None))


def _after_a_loss(model: V1Model, call: Call) -> bool:
    """Whether Redis may have lost writes that the service had not yet noticed."""
    return model.model.may_be_stale(call.begun, call.ended or FOREVER)


def _differs(call: Call) -> Iterator[Violation]:
    (spec,) = call.specs
    for name, value in call.answer["shown"].items():
        if getattr(spec, name) != value:
            text = f"{call} of {spec} answered {name} {value!r}, not {getattr(spec, name)!r}"
            yield Violation("update", text)


def _final_differs(
    model: V1Model, job: JobHistory, final: Final, revisions: tuple[int, int]
) -> Iterator[Violation]:
    """Rebuilds have kept the revision, the definition, the pause and the count."""
    low, high = revisions
    if not low <= final.revision <= high:
        text = f"{job} has revision {final.revision} at the end, not {low} to {high}"
        yield Violation("update", text)
    if low == high and final.tag != job.specs[-1][0].tag:
        answered = [spec.tag for spec, call in job.specs if call.outcome == OK]
        if answered and final.tag != answered[-1]:
            yield Violation("update", f"{job} is {final.tag} at the end, not {answered[-1]}")
    key = (facts.PAUSE, job.id)
    sure = model.sure_pauses(job, types=False)
    surely = any(span.meets(model.read_at, model.read_at) for span in sure)
    maybe = any(span.meets(model.read_at, model.read_at) for span in model.pauses.get(key, ()))
    if final.paused and not maybe:
        yield Violation("pause", f"{job} is paused at the end")
    if surely and not final.paused:
        yield Violation("pause", f"{job} is not paused at the end")
    known = max((d.number for d in job.firsts if d.run.at < model.read_at - SETTLING_MS), default=0)
    if final.counted < known:
        yield Violation("count", f"{job} has counted {final.counted} at the end, not {known}")


def told(model: V1Model) -> Iterator[Violation]:
    """Refusals that were wrong, and errors that should not be."""
    for call in model.calls:
        if call.code == "INTERNAL":
            yield Violation("told", f"{call} was answered with INTERNAL")
        elif call.outcome == REFUSED and not _refused_rightly(model, call):
            names = [spec.tag for spec in call.specs] or list(call.names)
            yield Violation("told", f"{call} of {names} was refused: {call.code}")
        stale = call.op == facts.UPDATE and call.outcome == OK and call.given["revision"]
        if stale and call.answer["revision"] != call.given["revision"] + 1:
            yield Violation("update", f"{call} was applied to revision {call.given['revision']}")


def _refused_rightly(model: V1Model, call: Call) -> bool:
    at = call.ended or FOREVER
    if call.code == "ABORTED":
        return call.op == facts.UPDATE and _may_be_stale(model, call)
    if call.code == "NOT_FOUND":
        jobs = [model.jobs.get(name) for name in call.names]
        may_be_gone = any(
            job is None or not _was_there(job, call) or model.end_begins(job) <= at for job in jobs
        )
        known = call.op in (facts.UPDATE, facts.BACKFILL)
        return known and (may_be_gone or _after_a_loss(model, call))
    if call.code == "INVALID_ARGUMENT":
        if call.op == facts.BACKFILL:
            return _may_be_no_backfill(model, call)
        return any(_may_have_passed(spec, at + model.skew) for spec in call.specs)
    if call.code == "ALREADY_EXISTS":
        return any(spec.key for spec in call.specs)
    others = [each for each in model.calls if each.op == facts.BACKFILL and each is not call]
    busy = any(each.names == call.names and each.begun <= at for each in others)
    return call.code == "RESOURCE_EXHAUSTED" and call.op == facts.BACKFILL and busy


def _was_there(job: JobHistory, call: Call) -> bool:
    """Whether it was created before a call, and lived until its end: a write may not have come."""
    return any(at <= call.begun for at, _, _ in job.created) and job.end > (call.ended or FOREVER)


def _may_be_stale(model: V1Model, call: Call) -> bool:
    """Whether the job may have had another revision than the one that the Update names."""
    (job_id,), revision = call.names, call.given["revision"]
    job = model.jobs.get(job_id)
    known = revision > 0 and job is not None and job.revisions_before(call) == (revision, revision)
    return revision > 0 and (not known or _after_a_loss(model, call))


def _may_be_no_backfill(model: V1Model, call: Call) -> bool:
    """Whether its end lay ahead, or the job had no schedule, or no phase while a fault lasted."""
    (job_id,) = call.names
    job = model.jobs.get(job_id)
    if job is None or not job.spec.recurs or call.given["until"] > call.begun - model.skew:
        return True
    hurt = model.had_fault(call.begun - NOTICED_MS, call.ended or FOREVER)
    return job.spec.trigger == INTERVAL and hurt


def _may_have_passed(spec: Spec, at: int) -> bool:
    """Whether the time of the job had passed, or no occurrence was left before its end."""
    if spec.end:
        last = max(at, spec.start)
        first = last + spec.period if spec.trigger == INTERVAL else spec.following(last)
        return spec.end < first
    return bool(spec.due) and spec.due <= at


def living(model: V1Model) -> Iterator[Violation]:
    """GetJobs shows at the end those that were announced and not deleted."""
    if model.finals is None:
        return
    for job in model.jobs.values():
        changes = [at for at, _, _ in job.created] + [gone.at for gone in job.deleted]
        begin = model.read_at - SETTLING_MS
        end = max(model.read_until + SETTLING_MS, model.told_by(job, model.read_until))
        if any(begin < at < end for at in changes) or job.spec.trigger == NOW:
            continue
        created = [offset for at, offset, _ in job.created if at < model.read_at]
        gone = [each.offset for each in job.deleted if each.at < model.read_at]
        lives = max(created, default=-1) > max(gone, default=-1)
        if lives != (job.id in model.finals):
            state = "lives" if lives else "is gone"
            yield Violation("read", f"{job} {state} as announced, GetJobs says otherwise")
