"""Rules about changes: what is announced, in which order, and what calls were told."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.history import CREATE, KAFKA, OK, READ, REFUSED, UPDATE, UPSERT, WHEN, WRITES, Ask, Call
from chaos.model import FOREVER, V1_IDS, Model, Version, Violation


def announced(model: Model) -> Iterator[Violation]:
    """Created and deleted, each once, in turns, at the right time."""
    for version in model.versions.values():
        count = len(version.created)
        if version.is_now and count:
            yield Violation("announced", f"{version} was announced")
        elif count > 1:
            yield Violation("announced", f"{version} was announced {count} times")
        elif not count and version.runs and not version.is_now:
            yield Violation("announced", f"{version} ran, but was never announced")
        if version.created:
            yield from _created_in_time(model, version)
    for job_id, events in model.events.items():
        turns = [bool(event.tag) for event in events]
        if turns != [place % 2 == 0 for place in range(len(turns))]:
            order = [event.tag or "deleted" for event in events]
            yield Violation("announced", f"{job_id} was announced in the order {order}")


def _created_in_time(model: Model, version: Version) -> Iterator[Violation]:
    created, call = version.created[0], version.call
    if created.at < model.begun(call):
        yield Violation("announced", f"{version} was announced before it was asked for")
    if call.outcome == OK and call.via != KAFKA and call.ended and created.at > call.ended:
        late = created.at - call.ended
        yield Violation("announced", f"{version} was announced {late} ms after its answer")
    if version.runs and version.runs[0].at < created.at:
        yield Violation("announced", f"{version} ran before it was announced")


def deleted(model: Model) -> Iterator[Violation]:
    """Every deletion has a reason, every reason for one its deletion."""
    for version in model.versions.values():
        if not version.created or model.may_be_refused(version.ask, version.call.begun):
            continue
        if version.deleted and not _has_reason(model, version):
            yield Violation("announced", f"{version} was announced as deleted without a reason")
        if not version.deleted and _is_complete(model, version):
            yield Violation("announced", f"{version} had its last answer, but was never deleted")
        yield from _ended_in_time(model, version)


def _has_reason(model: Model, version: Version) -> bool:
    gone = version.deleted.at if version.deleted else FOREVER
    return any(model.begun(call) <= gone for call in model.enders(version)) or _may_be_complete(
        model, version, gone
    )


def _may_be_complete(model: Model, version: Version, by: int) -> bool:
    """Whether the last answer to a one-time job, or its last time-out, may have come by then."""
    if version.ask.recurs:
        return False
    for run in version.runs:
        is_last = run.attempt >= version.attempts
        if is_last and model.earliest_timeout(run, version) <= by:
            return True
        answers = [answer for answer in model.answers_to(run) if answer.at <= by]
        if answers and (is_last or not answers[0].failed):
            return True
    return False


def _is_complete(model: Model, version: Version) -> bool:
    """Whether the last run was surely ended, with time left to say so."""
    if version.ask.recurs or not version.runs:
        return False
    run = version.runs[-1]
    answers = model.answers_to(run)
    if answers and answers[0].at < model.complete - model.skew:
        return not answers[0].failed or run.attempt >= version.attempts
    timed_out = run.at + model.settings.completion_timeout + model.skew < model.complete
    return timed_out and run.attempt >= version.attempts


def _ended_in_time(model: Model, version: Version) -> Iterator[Violation]:
    """A version that lived when an acknowledged Delete or Update began is gone at its answer."""
    gone = version.deleted.at if version.deleted else FOREVER
    for call in model.enders(version):
        applied = call.outcome == OK and call.via != KAFKA and call.ended
        if applied and version.created[0].at < call.begun and gone > (call.ended or 0):
            yield Violation("announced", f"{version} outlived {call.op} {call.number}")
    for call in model.enders(version):
        sent = model.sent.get(call.number) if call.via == KAFKA else None
        if sent and version.created[0].at < sent.at < model.complete and not version.deleted:
            yield Violation("announced", f"{version} outlived the event {call.op} {call.number}")


def atomic(model: Model) -> Iterator[Violation]:
    """Of a list all jobs are applied, or none; an event is applied or refused, not both."""
    for call in model.history.calls:
        if call.op not in WRITES:
            continue
        jobs = [ask for ask in call.jobs if not model.may_be_refused(ask, call.begun)]
        seen = [model.versions[ask.tag].seen for ask in jobs]
        if any(seen) and not all(seen):
            missing = [ask.tag for ask, found in zip(jobs, seen, strict=True) if not found]
            yield Violation("atomic", f"{call.op} {call.number} was applied without {missing}")
    for offset, letters in model.dead_letters.items():
        if len(letters) > 1:
            yield Violation("announced", f"the event at {offset} was refused {len(letters)} times")


def living(model: Model) -> Iterator[Violation]:
    """The final Read shows the announced jobs."""
    quiet = model.history.quiet
    if quiet is None:
        return
    shown = {each for each in quiet.living if not each.startswith(V1_IDS)}
    for job_id, events in model.events.items():
        last = [event for event in events if event.at <= quiet.complete]
        alive = bool(last) and bool(last[-1].tag)
        if alive != (job_id in shown) and (not events or events[-1].at <= quiet.complete):
            state = "lives" if alive else "is gone"
            yield Violation("read", f"{job_id} {state} as announced, Read says otherwise")
    for job_id in sorted(shown - {*model.events}):
        yield Violation("read", f"Read shows {job_id}, which was never announced")


def told(model: Model) -> Iterator[Violation]:
    """Refusals that were wrong, errors that should not be, Reads that missed or showed too much."""
    for call in model.history.calls:
        is_stale = model.may_be_stale(call.begun, call.ended or 0)
        if call.code == "INTERNAL":
            yield Violation("told", f"{call.op} {call.number} was answered with INTERNAL")
        elif call.outcome == REFUSED or (call.via == KAFKA and call.number in model.sent):
            yield from _refused_rightly(model, call, stale=call.via != KAFKA and is_stale)
        elif call.op == READ and call.outcome == OK and not is_stale:
            yield from _read_rightly(model, call)


def _refused_rightly(model: Model, call: Call, *, stale: bool) -> Iterator[Violation]:
    """Until a loss of Redis is noticed, an Update may miss what a Read misses: it is `stale`."""
    code, at = call.code, call.ended or 0
    if call.via == KAFKA:
        letters = model.dead_letters.get(model.sent[call.number].offset)
        if not letters:
            return
        code, at = letters[0].headers.get("status", ""), letters[0].at
    if code == "INVALID_ARGUMENT":
        right = any(_is_invalid(model, job, at) for job in call.jobs)
    elif code == "ALREADY_EXISTS":
        right = call.op == CREATE and any(_may_live(model, job, call, at) for job in call.jobs)
    elif code == "NOT_FOUND":
        right = call.op == UPDATE and (
            stale or not all(_must_live(model, job.id, call, at) for job in call.jobs)
        )
    else:
        too_large = code in ("RESOURCE_EXHAUSTED", "FAILED_PRECONDITION")
        right = too_large and any(model.may_be_refused(job, call.begun, at) for job in call.jobs)
    if not right:
        yield Violation("told", f"{call.op} {call.number} of {_names(call)} was refused: {code}")


def _is_invalid(model: Model, job: Ask, at: int) -> bool:
    """Wrong on purpose, or too late when it arrived."""
    return job.trigger == "invalid" or (job.trigger == WHEN and job.due < at + model.skew)


def _names(call: Call) -> list[str]:
    return [job.tag for job in call.jobs] or list(call.ids)


def _may_live(model: Model, job: Ask, call: Call, until: int) -> bool:
    """Whether another call may have made this id by then."""
    return any(
        other is not call and other.op in WRITES and other.begun <= until
        for other in model.calls_on[job.id]
    )


def _must_live(model: Model, job_id: str, call: Call, until: int) -> bool:
    """Whether the id surely existed from the call's beginning until then."""
    begun = model.begun(call)
    for version in _versions(model, job_id):
        gone = version.deleted.at if version.deleted else FOREVER
        if not version.created or version.created[0].at >= begun or gone < begun:
            continue
        enders = [each for each in model.enders(version) if each is not call]
        if any(model.begun(each) <= until for each in enders):
            continue
        if not _may_be_complete(model, version, until):
            return True
    return False


def _surely_gone(model: Model, job_id: str, call: Call) -> bool:
    """Whether nothing may have lived under this id while the call lasted."""
    until = call.ended or FOREVER
    for version in _versions(model, job_id):
        if version.call.begun > until or not model.may_have_happened(version.call):
            continue
        if version.deleted is None or version.deleted.at >= call.begun:
            return False
    return True


def _versions(model: Model, job_id: str) -> Iterator[Version]:
    for call in model.calls_on[job_id]:
        if call.op in (CREATE, UPDATE, UPSERT):
            for ask in call.jobs:
                version = model.versions[ask.tag]
                if version.job_id == job_id:
                    yield version


def _read_rightly(model: Model, call: Call) -> Iterator[Violation]:
    for job_id in call.ids:
        shown = job_id in call.answered
        if not shown and _must_live(model, job_id, call, call.ended or FOREVER):
            yield Violation("read", f"Read {call.number} does not show {job_id}")
        if shown and _surely_gone(model, job_id, call):
            yield Violation("read", f"Read {call.number} shows {job_id}")


def left(model: Model) -> Iterator[Violation]:
    """Keys in Redis that nothing needs any more."""
    for key in model.history.keys_left or ():
        yield Violation("keys", f"{key} is left over")
