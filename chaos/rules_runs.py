"""Rules about each run: lost, twice, early, out of phase, after the end, ids used again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from chaos.history import CRON, INTERVAL, KAFKA, NOW, OK, REFUSED, UPDATE, WHEN
from chaos.model import FOREVER, Model, Overtakers, Run, Version, Violation
from chaos.times import next_cron

SPELLINGS = {NOW: "NOW", WHEN: "ONCE", INTERVAL: "RECURR", CRON: "RECURR"}
TICK, BACKLOG = 2_000, 5_000
"""Milliseconds: the runs that end an outage's silence may be as far from it; a backlog as old."""
SPARE_MS = 2
"""Milliseconds: what `now` means differs by the rounding of two clocks."""


def nobody_asked(model: Model) -> Iterator[Violation]:
    """Runs and announcements that no client asked for, or that were refused."""
    for tag in sorted(model.unknown_tags):
        yield Violation("unasked", f"nobody asked for {tag}")
    for version in model.versions.values():
        call = version.call
        unsent = call.via == KAFKA and not model.may_have_happened(call)
        if version.seen and (unsent or (call.via != KAFKA and call.outcome == REFUSED)):
            yield Violation("unasked", f"{version} was refused ({call.code}), but applied")
        for run in version.runs:
            expected = (version.job_id, version.ask.type, SPELLINGS.get(version.ask.trigger))
            if (run.job_id, run.type, run.spelling) != expected:
                yield Violation("unasked", f"{run} is not of {expected}")


def twice(model: Model) -> Iterator[Violation]:
    """The same run committed again, or copies of a run that cannot be recognised."""
    for identity, count in Counter(run.identity for run in model.runs).items():
        if count > 1:
            yield Violation("twice", f"{identity} was committed {count} times")
    yield from _changed(model)
    yield from _twice_by_update(model)
    names: dict[tuple[str, int, int], str] = {}
    users: dict[str, tuple[str, int, int]] = {}
    for run in (*model.runs, *model.again, *model.copies):
        name = names.setdefault(run.identity, run.occurrence)
        if name != run.occurrence:
            yield Violation("twice", f"{run} has two occurrence ids: {name}, {run.occurrence}")
        user = users.setdefault(run.occurrence, run.identity)
        if user != run.identity:
            yield Violation("ids", f"occurrence id {run.occurrence} is of {user} and {run}")


def _twice_by_update(model: Model) -> Iterator[Violation]:
    """An occurrence that ran before an Update runs again for the new version."""
    for version in model.versions.values():
        before = version.before
        if before and version.ask.recurs and version.call.op == UPDATE:
            for nominal in {*nominals(version)} & {*nominals(before)}:
                yield Violation("twice", f"{version} ran at {nominal}, as {before} had")


def _changed(model: Model) -> Iterator[Violation]:
    """Sent again, but not as it was: a worker's answer would be of another run."""
    first = {run.identity: run for run in model.runs}
    for run in model.again:
        before = first[run.identity]
        if (run.instance, run.event) != (before.instance, before.event):
            yield Violation(
                "twice",
                f"{run} is instance {run.instance}, event {run.event}; it was {before.instance},"
                f" {before.event} (offset {before.offset})",
            )


def ids(model: Model) -> Iterator[Violation]:
    """Instance ids and generated job ids that were used again."""
    for instance, count in Counter(run.instance for run in _distinct(model.runs)).items():
        if count > 1:
            yield Violation("ids", f"instance id {instance} was used for {count} runs")
    users: dict[str, str] = {}
    for version in model.versions.values():
        if version.ask.id or not version.job_id:
            continue
        user = users.setdefault(version.job_id, version.ask.tag)
        if user != version.ask.tag:
            yield Violation("ids", f"job id {version.job_id} was given to {user} and {version}")


def _distinct(runs: list[Run]) -> Iterator[Run]:
    """Runs without those that are reported as emitted twice."""
    known: set[tuple[str, int, int]] = set()
    for run in runs:
        if run.identity not in known:
            known.add(run.identity)
            yield run


def early(model: Model) -> Iterator[Violation]:
    """Before its time, for readers of uncommitted records too, or before anybody asked."""
    for run in (*model.runs, *model.again, *model.copies):
        at = min(run.at, model.history.readable.get(run.offset, FOREVER))
        if at < run.nominal - model.skew:
            yield Violation("early", f"{run} came {run.nominal - at} ms early")
    for version in model.versions.values():
        for run in version.runs:
            if run.at < model.begun(version.call):
                yield Violation("early", f"{run} came before it was asked for")


def after_end(model: Model) -> Iterator[Violation]:
    """After a Delete or an Update was answered, or after the deletion was announced."""
    for version in model.versions.values():
        if not version.runs:
            continue
        ended = _end_answered(model, version)
        gone = version.deleted.at if version.deleted else FOREVER
        for run in version.runs:
            if run.at > ended:
                yield Violation("after", f"{run} came {run.at - ended} ms after its end's answer")
            elif run.at > gone:
                yield Violation("after", f"{run} came {run.at - gone} ms after its jobsDeleted")


def _end_answered(model: Model, version: Version) -> int:
    created = version.created[0].at if version.created else None
    ends = [
        call.ended
        for call in model.enders(version)
        if call.outcome == OK
        and call.via != KAFKA
        and call.ended
        and created is not None
        and created < call.begun
    ]
    return min(ends, default=FOREVER)


def phase(model: Model) -> Iterator[Violation]:
    """Nominal times: exactly those that the job has."""
    rules: dict[str, Callable[[Model, Version], Iterator[Violation]]] = {
        NOW: _phase_of_now,
        WHEN: _phase_of_when,
        INTERVAL: _phase_of_recurring,
        CRON: _phase_of_recurring,
    }
    for version in model.versions.values():
        if version.runs and version.ask.trigger in rules:
            yield from rules[version.ask.trigger](model, version)


def _phase_of_now(model: Model, version: Version) -> Iterator[Violation]:
    nominals = {run.nominal for run in version.runs}
    begun = model.begun(version.call) - model.skew - SPARE_MS
    if len(nominals) > 1 or min(nominals) < begun:
        yield Violation("phase", f"{version} was due at {sorted(nominals)}, asked for at {begun}")


def _phase_of_when(_model: Model, version: Version) -> Iterator[Violation]:
    for run in version.runs:
        if run.nominal != version.ask.due:
            yield Violation("phase", f"{run} should be due at {version.ask.due}")


def nominals(version: Version) -> list[int]:
    """Of the occurrences that ran, in order."""
    return sorted({run.nominal for run in version.runs})


def _phase_of_recurring(model: Model, version: Version) -> Iterator[Violation]:
    ran = own(model, version)
    if not ran:
        return
    first, (earliest, latest) = ran[0], _creation(model, version)
    right = _is_first(model, version, first)
    if not right and version.carries_on:
        yield from _broken_phase(model, version, first)
    elif not right and not _coalesced(model, version, first, latest):
        yield Violation("phase", f"{version} ran first at {first}, created {earliest}-{latest}")
    for earlier, later in pairwise(ran):
        expected = following(version, earlier)
        if later < expected or _is_off(version, first, later):
            yield Violation("phase", f"{version} ran at {earlier}, then at {later}")
        elif later > expected and not _coalesced(model, version, later, expected):
            yield Violation("lost", f"{version} ran at {earlier}, then at {later}, not {expected}")


def _broken_phase(model: Model, version: Version, first: int) -> Iterator[Violation]:
    """It goes on with the schedule of the version before, but not where that one was."""
    expected = pending_of_line(model, version.before) if version.before else None
    if expected is None or first < expected or _is_off(version, expected, first):
        yield Violation("phase", f"{version} went on at {first}, not at {expected}")
    elif not _coalesced(model, version, first, expected):
        yield Violation("lost", f"{version} went on at {first}, not at {expected}")


def _creation(model: Model, version: Version) -> tuple[int, int]:
    """Between which instants it was created."""
    latest = version.created[0].at if version.created else version.runs[0].at
    return model.begun(version.call) - model.skew - SPARE_MS, latest + model.skew


def own(model: Model, version: Version) -> list[int]:
    """Of the occurrences of its own schedule that ran, in order.

    A run that the old schedule left may also be an occurrence of the new one. Then it is own.
    """
    if version.own is None:
        ran = nominals(version)
        left = {each for each in ran if _is_left(model, version, each)}
        sure = [each for each in ran if each not in left]
        version.own = [
            each for each in ran if each not in left or _fits(model, version, sure, each)
        ]
    return version.own


def _fits(model: Model, version: Version, sure: Sequence[int], nominal: int) -> bool:
    """Whether the version's own schedule has this occurrence.

    The occurrences in `sure` certainly belong to it, and show its phase.
    """
    begins = version
    while begins.carries_on and begins.before:  # it has the schedule of the version before
        begins = begins.before
    earliest = following(version, _creation(model, begins)[0])
    return bool(sure) and nominal >= earliest and not _is_off(version, sure[0], nominal)


def _is_left(model: Model, version: Version, nominal: int) -> bool:
    """Whether a change of the schedule has left this run: it was due by then."""
    before = version.before
    if before is None or not before.ask.recurs or nominal > _creation(model, version)[1]:
        return False
    if not version.carries_on and _is_next(model, before, nominal):
        return True
    return _is_left(model, before, nominal)


def _is_next(model: Model, version: Version, nominal: int) -> bool:
    """Whether the version would have run then next."""
    ran = own(model, version)
    if not ran:
        return _is_first(model, version, nominal)
    expected = following(version, ran[-1])
    return nominal == expected or (nominal > expected and not _is_off(version, expected, nominal))


def _is_first(model: Model, version: Version, nominal: int) -> bool:
    """Whether it may begin with this occurrence.

    A job that was deleted and then created by an Upsert starts a new schedule.
    """
    if version.carries_on and version.before:
        if nominal == pending_of_line(model, version.before):
            return True
        if not own(model, version.before) and _is_first(model, version.before, nominal):
            return True
        if version.call.op == UPDATE:
            return False
    return _may_be_first(version, nominal, *_creation(model, version))


def pending_of_line(model: Model, version: Version) -> int | None:
    """The occurrence behind the last one that ran, of it or the versions whose schedule it has."""
    at: Version | None = version
    while at and not (ran := own(model, at)):
        at = at.before if at.carries_on else None
    return following(version, ran[-1]) if at else None


def _is_off(version: Version, first: int, nominal: int) -> bool:
    ask = version.ask
    if ask.trigger == INTERVAL:
        return (nominal - first) % ask.period != 0
    return next_cron(ask.cron, ask.timezone, nominal - 1) != nominal


def _may_be_first(version: Version, first: int, earliest: int, latest: int) -> bool:
    ask = version.ask
    if ask.trigger == INTERVAL:
        return earliest <= first - ask.period <= latest
    instant = earliest
    while instant <= latest:
        instant = next_cron(ask.cron, ask.timezone, instant)
        if instant == first:
            return True
    return False


def following(version: Version, nominal: int) -> int:
    """The occurrence after this one."""
    ask = version.ask
    if ask.trigger == INTERVAL:
        return nominal + ask.period
    return next_cron(ask.cron, ask.timezone, nominal)


def _coalesced(model: Model, version: Version, nominal: int, missed: int) -> bool:
    """Whether the occurrences from `missed` to this one may have been left out (docs/contract.md).

    It stands for those that were missed before the catch-up window, so it is older than that
    itself when it comes, and in an outage nothing at all was emitted for longer than the window.
    """
    run = version.of(nominal, 1)
    settings = model.settings
    window = settings.catch_up_window
    if run is None or run.at - nominal < window - model.skew:
        return False
    shard = settings.shard(run.type)
    before = (
        other.at
        for other in model.runs
        if other.offset <= run.offset and settings.shard(other.type) == shard
    )
    return any(
        later - earlier >= window - TICK and missed >= earlier - BACKLOG
        for earlier, later in pairwise(before)
    )


def lost(model: Model) -> Iterator[Violation]:
    """Runs that are missing."""
    if not model.complete:
        return
    overtakers = Overtakers(model)
    for version in model.versions.values():
        if model.may_be_refused(version.ask, version.call.begun):
            continue
        yield from _lost_write(model, version)
        yield from _dropped(model, version)
        pending = _pending(model, version) if version.seen else None
        if pending is None:
            continue
        if _must_have_run(model, version, pending):
            yield Violation("lost", f"{version} did not run at {pending}")
        elif _was_overtaken(model, version, pending, overtakers):
            yield Violation("lost", f"{version} did not run at {pending}, others did")


def _dropped(model: Model, version: Version) -> Iterator[Violation]:
    """A run that was due when an Update changed the schedule."""
    before = version.before
    if not before or version.carries_on or before.ask.trigger != INTERVAL or not version.ask.recurs:
        return
    due = pending_of_line(model, before)
    if due is None or version.call.op != UPDATE or due + model.skew > model.begun(version.call):
        return
    if due not in nominals(version) and _must_have_run(model, version, due):
        yield Violation("lost", f"{version} did not run at {due}, when {before} had been due")


def _lost_write(model: Model, version: Version) -> Iterator[Violation]:
    """A write that was acknowledged, or accepted from the topic, and left no trace."""
    if not version.seen and model.must_have_happened(version.call):
        if version.is_now:
            yield Violation("lost", f"{version} never ran")
        else:
            yield Violation("announced", f"{version} was accepted, but never announced")


def _pending(model: Model, version: Version) -> int | None:
    """The next occurrence that has not run; None when there is none, or it cannot be said."""
    ask = version.ask
    if ask.trigger == WHEN:
        return None if version.runs else ask.due
    if not ask.recurs:
        return None
    if ran := own(model, version):
        return following(version, ran[-1])
    if version.carries_on and version.before:
        return pending_of_line(model, version.before)
    # When it was created is not known: not after it was announced, by a clock that may be ahead.
    created = version.created[0].at + model.skew if version.created else None
    return None if created is None else following(version, created)


def _must_have_run(model: Model, version: Version, pending: int) -> bool:
    """It lived on, and had its time."""
    until = model.settled if version.ask.recurs else model.complete
    lived = version.deleted is None or (version.ask.recurs and version.deleted.at > until)
    if version.ask.recurs and model.end_begins(version) < until + model.skew:
        lived = False
    return lived and pending + model.skew <= until


def _was_overtaken(model: Model, version: Version, pending: int, overtakers: Overtakers) -> bool:
    """Whether it stood in the queue when something behind it was staged."""
    ask = version.ask
    if ask.trigger not in (WHEN, INTERVAL) or ask.parallel or not version.created:
        return False
    ends = model.end_begins(version)
    if ends >= FOREVER or ends - pending > model.settings.catch_up_window - 5000:
        return False
    waits_since = version.runs[-1].at if version.runs else version.created[0].at
    latest = overtakers.latest(version.ask.type, version.rank, ends)
    return latest >= pending and latest > waits_since + model.skew
