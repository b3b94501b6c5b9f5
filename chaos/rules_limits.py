"""Rules about attempts, answers, limits and order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from chaos.history import INTERVAL, WHEN
from chaos.model import FOREVER, Model, Run, Version, Violation

KAFKA_FAULTS = ("kafka-kill", "kafka-hide", "broker-kill")
KAFKA_RECOVERY_MS = 10_000
"""How long Kafka may need to recover from a fault."""
AHEAD = 200
"""Runs behind a run that are looked at for one that should have come first."""


def attempts(model: Model) -> Iterator[Violation]:
    """Each further attempt has its reason and keeps the backoff; none is missing."""
    for version in model.versions.values():
        for run in version.index.values():  # a run that came twice is reported elsewhere
            if run.attempt > version.attempts:
                yield Violation("attempts", f"{run} is one too many of {version.attempts}")
            if run.attempt != 1 and not version.of(run.nominal, run.attempt - 1):
                yield Violation("attempts", f"{run} has no attempt before it")
            following = version.of(run.nominal, run.attempt + 1)
            if following:
                yield from _unfounded(model, version, run, following)
            elif run.attempt < version.attempts:
                yield from _missing(model, version, run)


def _unfounded(model: Model, version: Version, run: Run, after: Run) -> Iterator[Violation]:
    wait = version.backoff(run.attempt, model.settings.max_backoff) - 2 * model.skew
    answers = [answer for answer in model.answers_to(run) if answer.offset < after.offset]
    if after.at >= model.earliest_timeout(run, version) + wait:
        yield from _answered_in_time(model, version, run, after)
        return
    if not answers:
        yield _wrong(model, version, run, f"{after}: nothing had failed")
    elif not answers[0].failed:
        yield _wrong(model, version, run, f"{after}: the attempt before it was done")
    elif after.at < answers[0].at + wait:
        early = answers[0].at + wait - after.at
        yield _wrong(model, version, run, f"{after} came {early} ms before its backoff was over")


def _answered_in_time(model: Model, version: Version, run: Run, after: Run) -> Iterator[Violation]:
    """A run that was answered before its deadline must not time out.

    The owner reads the topic up to its end at the deadline first. If it cannot read Kafka for ten
    seconds, it may let the run time out.
    """
    answers = model.answers_to(run)
    arrived = model.history.arrived.get(answers[0].offset) if answers else None
    if arrived is None or answers[0].failed:
        return
    deadline = model.earliest_timeout(run, version)
    unread = any(
        fault.name in KAFKA_FAULTS
        and fault.begun <= after.at
        and arrived <= fault.ended + KAFKA_RECOVERY_MS
        for fault in model.history.faults
    )
    if arrived + 2 * model.skew < deadline and not unread:
        text = (
            f"{after}: the attempt before it was done {deadline - arrived} ms before its time-out"
        )
        yield Violation("answers", text)


def _wrong(model: Model, version: Version, run: Run, text: str) -> Violation:
    """An attempt without a reason may come from an earlier answer that was counted again."""
    before = version.of(run.nominal, run.attempt - 1)
    again = before is not None and len(model.answers_to(before)) > 1
    return Violation("answers" if again else "attempts", text)


def _missing(model: Model, version: Version, run: Run) -> Iterator[Violation]:
    if version.deleted and not _ended_by_answer_too_early(model, version, run):
        return
    if model.end_begins(version) < FOREVER or model.may_be_refused(version.ask, run.at):
        return
    answers = model.answers_to(run)
    wait = version.backoff(run.attempt, model.settings.max_backoff) + model.skew
    if answers and answers[0].failed and answers[0].at + wait < model.complete:
        yield Violation("lost", f"{run} failed, but was not tried again")
    timeout = run.at + model.settings.completion_timeout
    if not answers and timeout + wait < model.complete:
        yield Violation("lost", f"{run} was not answered, but not tried again")


def _ended_by_answer_too_early(model: Model, version: Version, run: Run) -> bool:
    """Whether the job was ended as if this had been the last attempt."""
    if version.ask.recurs or model.end_begins(version) < FOREVER:
        return False
    answers = model.answers_to(run)
    return bool(answers) and all(answer.failed for answer in answers)


def after_answer(model: Model) -> Iterator[Violation]:
    """A one-time job whose answer was `done` runs no further occurrence."""
    for version in model.versions.values():
        if version.ask.recurs:
            continue
        for run in version.runs:
            again = [other for other in version.runs if other.nominal != run.nominal]
            if again:
                yield Violation("twice", f"{version} ran at {run.nominal} and {again[0].nominal}")
                break


def parallel(model: Model) -> Iterator[Violation]:
    """Fewer than n unanswered instances of the type when a job with `parallel` n starts."""
    by_type: dict[str, list[Run]] = defaultdict(list)
    for run in model.runs:
        by_type[run.type].append(run)
    limited = {v.ask.type for v in model.versions.values() if v.ask.parallel}
    for type_ in limited:
        yield from _parallel_of(model, by_type[type_])


def _parallel_of(model: Model, runs: list[Run]) -> Iterator[Violation]:
    ends = sorted(
        (answer.offset, answer.instance) for run in runs for answer in model.answers_to(run)
    )
    open_runs: dict[int, Run] = {}
    place = 0
    for run in runs:
        while place < len(ends) and ends[place][0] < run.offset:
            open_runs.pop(ends[place][1], None)
            place += 1
        version = model.versions.get(run.tag)
        for instance, other in list(open_runs.items()):
            owner = model.versions.get(other.tag)
            if owner is None or model.earliest_timeout(other, owner) <= run.at:
                del open_runs[instance]
        limit = version.ask.parallel if version else 0
        if limit and len(open_runs) >= limit:
            others = ", ".join(str(other) for other in open_runs.values())
            yield Violation("parallel", f"{run} ran beside {others}; {limit} may")
        open_runs[run.instance] = run


def priority(model: Model) -> Iterator[Violation]:
    """Of what is due, the most urgent first, then what was due first, then by creation."""
    firsts = [run for run in model.runs if run.attempt == 1 and run.tag in model.versions]
    previous = _previous(model)
    for place, run in enumerate(firsts):
        version = model.versions[run.tag]
        for other in firsts[place + 1 : place + AHEAD]:
            if other.at - run.at > model.settings.completion_timeout:
                break
            owner = model.versions[other.tag]
            if model.settings.shard(other.type) != model.settings.shard(run.type):
                continue
            if other.nominal <= run.nominal and _comes_first(owner, other, version, run):
                since = _queued_since(owner, other, previous)
                if since < run.nominal - model.skew and _is_plain(model, run, other):
                    yield Violation("priority", f"{other} came behind {run}")


def _previous(model: Model) -> dict[tuple[str, int], Run]:
    """The run before each occurrence of each recurring job."""
    found: dict[tuple[str, int], Run] = {}
    for version in model.versions.values():
        if version.ask.trigger == INTERVAL:
            for run in version.runs:
                known = found.get((run.tag, run.nominal + version.ask.period))
                if known is None or known.at < run.at:
                    found[run.tag, run.nominal + version.ask.period] = run
    return found


def _comes_first(owner: Version, other: Run, version: Version, run: Run) -> bool:
    if owner.rank != version.rank:
        return owner.rank < version.rank
    if other.nominal != run.nominal:
        return other.nominal < run.nominal
    if not (owner.created and version.created):
        return False
    return owner.created[0].offset < version.created[0].offset


def _queued_since(owner: Version, other: Run, previous: dict[tuple[str, int], Run]) -> int:
    """From when on the run surely stood in the queue."""
    if owner.ask.parallel or owner.ask.trigger not in (WHEN, INTERVAL) or not owner.created:
        return FOREVER
    before = previous.get((other.tag, other.nominal))
    return before.at if before else owner.created[0].at


def _is_plain(model: Model, run: Run, other: Run) -> bool:
    """Neither stands for occurrences that were missed in an outage."""
    window = model.settings.catch_up_window
    return max(run.at - run.nominal, other.at - other.nominal) < window - 2 * model.skew
