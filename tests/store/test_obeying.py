"""Jitter, start deadlines, missed runs, ends and `max_runs`, as staging obeys them."""

import struct
from typing import Any

import pytest

from scheduling_client.schedules.recurrence import Every
from scheduling_client.schedules.spread import jitter_ms
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.app.replies import RebuiltJob
from scheduling_srv.domain.backoff import BackoffType, RetryRule, retry_after_ms
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import MissedRule, Overlap, make_up
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.kafka_records import JournalCount, Record
from scheduling_srv.formats.position_record import Position
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Run,
    Shard,
    at_once,
    cron,
    every,
    ids_of,
    once,
    runs_in,
)

FIVE_MINUTES = "*/5 * * * *"
FIRST = NOW + 100 * SECOND
"""22:15."""
EMPTY = {"inputs", "meta", "outbox"}
"""Keys of a shard without jobs and runs."""


def with_rules(job_id: str, period: int, due: int | None = None, **rules: Any) -> NewJob:
    return every(job_id, period, due, properties=Properties(**rules))


async def stage_all(shard: Shard, since: int, until: int, step: int = SECOND) -> list[Run]:
    """The runs of an owner that looks every `step` ms."""
    runs = []
    for now in range(since, until + 1, step):
        runs += await shard.drain(now)
        await shard.plan()
    return runs


async def records_of(shard: Shard, entries: list[bytes]) -> list[Record]:
    return list(Announcer().records(entries, 0, shard.incarnation))


def header(record: Record, name: str) -> bytes | None:
    return dict(record.headers).get(name)


def outcomes(records: list[Record]) -> list[tuple[str, str]]:
    found = [each for each in records if each.key == b"jobsDeleted"]
    return [
        ((header(each, "job-id") or b"").decode(), (header(each, "outcome") or b"").decode())
        for each in found
    ]


# --- Jitter ---


async def test_each_run_is_delayed_by_its_hash_and_keeps_its_nominal_time(shard: Shard) -> None:
    period, jitter = MINUTE, 40 * SECOND
    await shard.create(with_rules("a", period, NOW, jitter=jitter))
    for nominal in (NOW, NOW + period, NOW + 2 * period):
        due = nominal + jitter_ms("a", nominal, jitter)
        assert await shard.stage(due - 1) == []
        (run,) = await shard.stage(due)
        assert (run.nominal, run.attempt) == (nominal, 1)


@pytest.mark.parametrize("make", [once, at_once])
async def test_a_one_time_job_is_delayed_as_well(shard: Shard, make: Any) -> None:
    await shard.create(make("a", NOW, properties=Properties(jitter=MINUTE)))
    due = NOW + jitter_ms("a", NOW, MINUTE)
    assert await shard.stage(due - 1) == []
    (run,) = await shard.stage(due)
    assert run.nominal == NOW
    assert await shard.done(run, now=due) == 1
    assert await shard.raw("EXISTS", "states") == 0


async def test_a_cron_job_is_delayed(shard: Shard) -> None:
    jitter = 2 * MINUTE
    await shard.create(cron("a", FIVE_MINUTES, FIRST, properties=Properties(jitter=jitter)))
    for nominal in (FIRST, FIRST + 5 * MINUTE):
        due = nominal + jitter_ms("a", nominal, jitter)
        assert await shard.stage(due - 1) == []
        (run,) = await shard.stage(due)
        assert run.nominal == nominal
        await shard.plan()


async def test_an_update_keeps_the_phase_of_a_delayed_job(shard: Shard) -> None:
    await shard.create(with_rules("a", HOUR, NOW, jitter=MINUTE))
    await shard.update(every("a", HOUR, NOW + 7, creator="b", notes=Note.KEEP_MORE))
    (run,) = await shard.stage(NOW + MINUTE)
    assert run.nominal == NOW


async def test_a_delayed_run_is_not_staged_ahead(shard: Shard) -> None:
    """Its entry does not say how long to hold it."""
    await shard.create(with_rules("a", HOUR, NOW, jitter=MINUTE))
    due = NOW + jitter_ms("a", NOW, MINUTE)
    await shard.schedule.stage(shard.token, due - 5, 500, lead=10)
    assert runs_in(await shard.entries()) == []


async def test_a_kept_jitter_is_cut_to_a_shorter_interval(shard: Shard) -> None:
    await shard.create(with_rules("a", HOUR, NOW + HOUR, jitter=30 * MINUTE))
    await shard.update(every("a", SECOND, NOW + SECOND, notes=Note.KEEP_MORE))
    runs = await stage_all(shard, NOW, NOW + 10 * SECOND, 100)
    assert [run.nominal for run in runs][:8] == [NOW + n * SECOND for n in range(1, 9)]


# --- Start deadlines ---


@pytest.mark.parametrize(("late", "starts"), [(5 * SECOND, True), (5 * SECOND + 1, False)])
async def test_a_one_time_run_has_its_deadline(shard: Shard, late: int, starts: bool) -> None:
    await shard.create(once("a", NOW, properties=Properties(start_deadline=5 * SECOND)))
    await shard.entries()
    await shard.schedule.stage(shard.token, NOW + late, 500)
    entries = await shard.entries()
    assert ids_of(runs_in(entries)) == ["a"] * starts
    deleted = outcomes(await records_of(shard, entries))
    assert deleted == ([] if starts else [("a", "failed")])
    assert (await shard.jobs.get(["a"]))[0] is None or starts


async def test_an_interval_skips_what_is_too_late(shard: Shard) -> None:
    await shard.create(with_rules("a", MINUTE, NOW, start_deadline=5 * SECOND))
    assert await shard.stage(NOW + 3 * MINUTE + 30 * SECOND) == []
    runs = await shard.stage(NOW + 4 * MINUTE)
    assert [run.nominal - NOW for run in runs] == [4 * MINUTE]


async def test_a_cron_job_skips_what_is_too_late(shard: Shard) -> None:
    rules = Properties(start_deadline=MINUTE, missed=MissedRule(None, latest=True))
    await shard.create(cron("a", FIVE_MINUTES, FIRST, properties=rules))
    assert await shard.drain(FIRST + 22 * MINUTE) == []
    assert [run.nominal - FIRST for run in await shard.drain(FIRST + 25 * MINUTE)] == [25 * MINUTE]


async def test_a_held_run_is_looked_at_when_its_place_comes(shard: Shard) -> None:
    await shard.create(once("first", NOW - 1, parallel=1))
    late = once("late", NOW, parallel=1, properties=Properties(start_deadline=SECOND))
    await shard.create(late)
    (first,) = await shard.stage(NOW)
    await shard.done(first, now=NOW + MINUTE)
    assert await shard.stage(NOW + MINUTE) == []
    assert (await shard.jobs.get(["late"]))[0] is None


async def test_a_held_run_that_does_not_start_leaves_its_place_to_the_next(shard: Shard) -> None:
    await shard.create(once("first", NOW - 1, parallel=1))
    late = once("late", NOW, parallel=1, properties=Properties(start_deadline=SECOND))
    await shard.create(late)
    await shard.create(once("last", NOW, parallel=1))
    (first,) = await shard.stage(NOW)
    await shard.done(first, now=NOW + MINUTE)
    assert ids_of(await shard.drain(NOW + MINUTE)) == ["last"]


# --- Missed runs ---


async def outage(shard: Shard, job: NewJob, length: int) -> list[int]:
    """The nominal times that run after an outage, relative to the first."""
    await shard.create(job)
    await shard.stage(NOW)
    runs = await shard.drain(NOW + length)
    await shard.plan()
    return [run.nominal - job.due for run in runs]


RULES = [
    MissedRule(window, latest=latest)
    for window in (None, SECOND, 100 * SECOND, HOUR)
    for latest in (True, False)
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("length", [4 * SECOND, 20 * MINUTE])
async def test_missed_runs_of_an_interval(shard: Shard, rule: MissedRule, length: int) -> None:
    """Lua decides as the pure rule does."""
    job = with_rules("a", 7 * SECOND, NOW + SECOND, missed=rule)
    found = await outage(shard, job, length)
    resumed = NOW + length if length > 5 * SECOND else 0
    recurrence = Every(job.due, 7 * SECOND)
    made_up = make_up(recurrence, job.due, resumed, rule)
    wanted, nominal = [], made_up.nominal
    while nominal is not None and nominal <= NOW + length:
        wanted.append(nominal - job.due)
        nominal = recurrence.next_after(nominal)
    assert found == wanted


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (MissedRule(None, latest=True), [0, 5, 10, 15, 20]),
        (MissedRule(7 * MINUTE, latest=True), [10, 15, 20]),
        (MissedRule(7 * MINUTE, latest=False), [15, 20]),
        (MissedRule(SECOND, latest=False), []),
        (None, [15, 20]),
    ],
)
async def test_missed_runs_of_a_cron_job(
    shard: Shard, rule: MissedRule | None, wanted: list[int]
) -> None:
    job = cron("a", FIVE_MINUTES, FIRST, properties=Properties(missed=rule, labels={"a": "b"}))
    found = await outage(shard, job, FIRST - NOW + 21 * MINUTE)
    assert [nominal // MINUTE for nominal in found] == wanted


async def test_an_unlimited_window_has_a_limit(shard: Shard) -> None:
    rule = MissedRule(None, latest=False)
    await shard.create(with_rules("a", 100, NOW + 100, missed=rule))
    await shard.stage(NOW)
    assert await shard.stage(NOW + 2000 * SECOND, limit=1) == []  # it moves to where it goes on
    (first,) = await shard.stage(NOW + 2000 * SECOND, limit=1)
    assert first.nominal == NOW + 1000 * SECOND + 100


# --- The end ---


async def test_a_job_is_finished_after_its_last_run(shard: Shard) -> None:
    await shard.create(with_rules("a", MINUTE, NOW, end=NOW + 2 * MINUTE + 1, labels={"x": "y"}))
    await shard.publish()
    runs = []
    for minute in range(4):
        runs += await shard.stage(NOW + minute * MINUTE)
    assert [run.nominal - NOW for run in runs] == [0, MINUTE, 2 * MINUTE]
    assert outcomes(await records_of(shard, await shard.publish())) == [("a", "finished")]
    assert await shard.ids() == []
    assert await shard.done(*runs) == 3
    assert await shard.raw("EXISTS", "jobs") == 0


async def test_a_cron_job_is_finished_when_python_knows_it(shard: Shard) -> None:
    rules = Properties(end=FIRST + 6 * MINUTE)
    await shard.create(cron("a", FIVE_MINUTES, FIRST, properties=rules))
    runs = await stage_all(shard, FIRST, FIRST + 11 * MINUTE, MINUTE)
    assert [run.nominal - FIRST for run in runs] == [0, 5 * MINUTE]
    assert await shard.ids() == []
    assert (await shard.jobs.get(["a"])) == [None]


async def test_open_runs_of_a_finished_job_are_tried_again(shard: Shard) -> None:
    await shard.create(every("a", MINUTE, NOW, attempts=3, properties=Properties(max_runs=2)))
    (first,) = await shard.stage(NOW)
    (second,) = await shard.stage(NOW + MINUTE)
    assert await shard.ids() == []
    assert await shard.stage(NOW + 2 * MINUTE) == []
    await shard.fail(first, now=NOW + 2 * MINUTE)
    (again,) = await shard.stage(NOW + 2 * MINUTE)
    assert (again.nominal, again.attempt, again.kind) == (NOW, 2, 4)
    await shard.done(second, now=NOW + 2 * MINUTE)
    assert await shard.raw("HLEN", "jobs") == 1
    await shard.done(again, now=NOW + 2 * MINUTE)
    assert await shard.raw("EXISTS", "jobs") == 0


async def test_a_job_that_finishes_by_a_skipped_run_is_gone(shard: Shard) -> None:
    rules = Properties(end=NOW + 5 * MINUTE, start_deadline=SECOND)
    await shard.create(every("a", MINUTE, NOW, attempts=3, properties=rules))
    assert await shard.drain(NOW + HOUR) == []
    assert set(await shard.keys()) <= EMPTY


async def test_a_cron_job_whose_last_run_was_answered_is_gone(shard: Shard) -> None:
    rules = Properties(end=FIRST + MINUTE)
    await shard.create(cron("a", FIVE_MINUTES, FIRST, attempts=2, properties=rules))
    (run,) = await shard.stage(FIRST)
    await shard.done(run, now=FIRST)
    await shard.plan()
    assert set(await shard.keys()) <= EMPTY


async def test_a_job_that_an_update_finishes_is_gone(shard: Shard) -> None:
    await shard.create(every("a", MINUTE, NOW, attempts=2, properties=Properties(max_runs=5)))
    (run,) = await shard.stage(NOW)
    await shard.done(run)
    fewer = Properties(max_runs=1)
    await shard.update(every("a", MINUTE, NOW, attempts=2, properties=fewer, notes=Note.UPDATED))
    assert await shard.drain(NOW + HOUR) == []
    assert set(await shard.keys()) <= EMPTY


async def test_the_id_of_a_finished_job_may_be_taken(shard: Shard) -> None:
    await shard.create(every("a", MINUTE, NOW, attempts=3, properties=Properties(max_runs=1)))
    (old,) = await shard.stage(NOW)
    await shard.create(once("a", NOW + DAY))
    assert await shard.ids() == ["a"]
    await shard.fail(old)
    assert ids_of(await shard.stage(NOW + HOUR)) == []
    assert ids_of(await shard.stage(NOW + DAY)) == ["a"]


async def test_nobody_updates_a_finished_job(shard: Shard) -> None:
    await shard.create(every("a", MINUTE, NOW, attempts=3, properties=Properties(max_runs=1)))
    await shard.stage(NOW)
    written = await shard.write("update", once("a", NOW + DAY))  # type: ignore[arg-type]
    assert [each and each.reason for each in written.refusals] == ["missing"]
    await shard.delete("a")
    assert await shard.raw("EXISTS", "jobs") == 0


# --- Counts ---


def counts_in(records: list[Record]) -> list[tuple[bytes, int]]:
    found = [each for each in records if each.key.endswith(b"\0count") and each.value]
    return [(each.key, struct.unpack("<QQI", each.value or b"")[2]) for each in found]


async def test_a_count_stands_before_its_run_and_goes_with_the_job(shard: Shard) -> None:
    await shard.create(with_rules("a", MINUTE, NOW, max_runs=2))
    await shard.publish()
    await shard.stage(NOW)
    first = await records_of(shard, await shard.publish())
    keys = [each.key for each in first]
    assert keys.index(b"a\0count") < keys.index(b"queuedJob")
    assert counts_in(first) == [(b"a\0count", 1)]
    await shard.stage(NOW + MINUTE)
    last = await records_of(shard, await shard.publish())
    numbers = [header(each, "run-number") for each in first + last if each.key == b"queuedJob"]
    assert numbers == [b"1", b"2"]
    assert [each.value for each in last if each.key == b"a\0count"][-1] is None
    assert outcomes(last) == [("a", "finished")]


async def test_an_update_goes_on_counting(shard: Shard) -> None:
    await shard.create(with_rules("a", MINUTE, NOW, max_runs=3))
    await shard.stage(NOW)
    await shard.update(every("a", MINUTE, NOW + 9, creator="b", notes=Note.KEEP_MORE))
    final = every("a", MINUTE, NOW + 9, properties=Properties(max_runs=2), revision=2)
    await shard.update(final)
    assert len(await shard.stage(NOW + MINUTE)) == 1
    assert await shard.ids() == []


async def test_a_rebuild_counts_a_run_once(shard: Shard) -> None:
    """The count may be on Kafka without its run: then the run is staged again."""
    job = with_rules("a", MINUTE, NOW, max_runs=2)
    await shard.create(job)
    record = await shard.raw("HGET", "jobs", "a")
    await shard.schedule.begin_rebuild(shard.token)
    await shard.schedule.load_jobs(shard.token, [RebuiltJob("a", record, NOW)])
    assert await shard.schedule.load_counts(shard.token, [JournalCount("a", 1, NOW, 1)]) == 1
    assert await shard.schedule.load_counts(shard.token, [JournalCount("a", 7, NOW, 2)]) == 0
    await shard.schedule.initialise(shard.token, Position(9, "new", seq=9, format=2), NOW)
    runs = await shard.stage(NOW) + await shard.stage(NOW + MINUTE)
    assert [run.nominal - NOW for run in runs] == [0, MINUTE]
    assert await shard.ids() == []


async def test_a_job_that_has_counted_enough_does_not_run_again(shard: Shard) -> None:
    """The end of the job was not published, and Redis has lost it."""
    await shard.create(with_rules("a", MINUTE, NOW + MINUTE, max_runs=1))
    record = await shard.raw("HGET", "jobs", "a")
    await shard.schedule.load_jobs(shard.token, [RebuiltJob("a", record, NOW + MINUTE)])
    await shard.schedule.load_counts(shard.token, [JournalCount("a", 1, NOW, 1)])
    assert await shard.stage(NOW + MINUTE) == []
    assert await shard.ids() == []


async def test_kept_runs_count_and_are_no_more_than_the_job_may_have(shard: Shard) -> None:
    rules = Properties(max_runs=2)
    await shard.create(every("a", HOUR, NOW, parallel=1, properties=rules))
    await shard.create(once("first", NOW - 1, parallel=1))
    (first,) = await shard.stage(NOW)
    for later in range(1, 5):
        changed = every("a", HOUR + later, NOW + later, parallel=1, notes=Note.KEEP_MORE)
        await shard.update(changed, now=NOW + later)
        await shard.stage(NOW + later)
    await shard.done(first)
    nominals = []
    for later in range(20):
        for run in await shard.stage(NOW + DAY + later):
            nominals.append(run.nominal - NOW)
            await shard.done(run, now=NOW + DAY + later)
    assert nominals == [0, 1]
    assert set(await shard.keys()) <= EMPTY


async def test_a_finished_job_has_no_kept_runs_beyond_its_number(shard: Shard) -> None:
    """They rest when its last occurrence does, which was missed in an outage."""
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    rules = Properties(max_runs=1, end=NOW + 2 * HOUR)
    await shard.create(once("first", NOW - 1, parallel=1))
    await shard.create(every("a", HOUR, NOW, parallel=1, properties=rules))
    (first,) = await shard.stage(NOW)
    await shard.update(every("a", DAY, NOW + 1, parallel=1, notes=Note.KEEP_MORE), now=NOW + 1)
    await shard.stage(NOW + 1)
    await pauses.pause(["a"], f'{{"since": {NOW + 1}}}', types=False)
    await shard.done(first, now=NOW + 1)
    assert await shard.drain(NOW + HOUR) == []
    assert await shard.ids() == []
    await shard.raw("HDEL", "paused", "a")
    await shard.raw("HDEL", "meta", "paused")
    await shard.raw("SADD", "resumed", "j3:a")
    runs = await shard.drain(NOW + HOUR)
    assert [run.nominal - NOW for run in runs] == [0]
    await shard.done(*runs, now=NOW + HOUR)
    assert await shard.raw("EXISTS", "jobs", "retries") == 0


async def test_headers_say_what_the_messages_of_2018_cannot(shard: Shard) -> None:
    job = every("a", MINUTE, NOW, attempts=4, properties=Properties(labels={"b": "1", "a": ""}))
    await shard.create(job)
    await shard.publish()
    await shard.stage(NOW)
    (run,) = [
        each for each in await records_of(shard, await shard.publish()) if each.key == b"queuedJob"
    ]
    assert header(run, "run-id") == b"a/1/%d" % NOW
    assert header(run, "origin") == b"schedule"
    assert header(run, "attempts") == b"4"
    assert header(run, "labels") == b'{"a": "", "b": "1"}'
    assert header(run, "occurrence-id") == b"a/1/%d/1" % NOW


# --- Overlap ---


def overlapping(overlap: Overlap, **more: Any) -> NewJob:
    return every("a", MINUTE, NOW, properties=Properties(overlap=overlap), **more)


async def test_a_run_is_skipped_while_an_earlier_one_is_open(shard: Shard) -> None:
    await shard.create(overlapping(Overlap.SKIP))
    (first,) = await shard.drain(NOW)
    assert await shard.drain(NOW + 2 * MINUTE) == []
    await shard.done(first)
    (later,) = await shard.drain(NOW + 3 * MINUTE)
    assert later.nominal == NOW + 3 * MINUTE


async def test_a_run_that_waits_for_its_retry_is_open(shard: Shard) -> None:
    await shard.create(overlapping(Overlap.SKIP, attempts=2, delay=HOUR))
    (first,) = await shard.drain(NOW)
    await shard.fail(first)
    assert await shard.drain(NOW + MINUTE) == []
    (again,) = await shard.drain(NOW + HOUR)
    assert again.attempt == 2  # a retry is no overlap
    await shard.done(again, now=NOW + HOUR)
    assert len(await shard.drain(NOW + HOUR + MINUTE)) == 1


async def test_the_first_run_waits_and_later_ones_are_skipped(shard: Shard) -> None:
    await shard.create(overlapping(Overlap.ONE))
    (first,) = await shard.drain(NOW)
    assert await shard.drain(NOW + MINUTE) == []
    assert await shard.drain(NOW + 3 * MINUTE) == []
    await shard.done(first, now=NOW + 3 * MINUTE + 5)
    (waited,) = await shard.drain(NOW + 3 * MINUTE + 5)
    assert waited.nominal == NOW + MINUTE
    assert await shard.drain(NOW + 4 * MINUTE) == []
    await shard.done(waited, now=NOW + 4 * MINUTE)
    (last,) = await shard.drain(NOW + 4 * MINUTE)
    assert last.nominal == NOW + 4 * MINUTE
    await shard.done(last, now=NOW + 4 * MINUTE)
    assert await shard.raw("EXISTS", "retries") == 0
    assert int(await shard.raw("HGET", "meta", "resting")) == 0


async def test_a_waiting_run_is_in_the_journal_until_it_starts(shard: Shard) -> None:
    await shard.create(overlapping(Overlap.ONE))
    (first,) = await shard.drain(NOW)
    await shard.publish()
    await shard.drain(NOW + MINUTE)
    (kept,) = await records_of(shard, await shard.publish())
    assert (header(kept, "kind"), kept.value is None) == (b"retry", False)
    await shard.done(first, now=NOW + MINUTE)
    await shard.drain(NOW + MINUTE)
    found = await records_of(shard, await shard.publish())
    assert [each.value is None for each in found if each.key == kept.key] == [True]


async def test_an_overlap_that_times_out_ends(shard: Shard) -> None:
    await shard.create(overlapping(Overlap.ONE))
    await shard.drain(NOW)
    await shard.drain(NOW + MINUTE)
    await shard.publish()
    await shard.schedule.expire(shard.token, NOW + 2 * HOUR, 9)
    (waited,) = await shard.drain(NOW + 2 * HOUR)
    assert waited.nominal == NOW + MINUTE


async def test_a_run_that_waits_for_another_one_may_be_paused_as_well(shard: Shard) -> None:
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(overlapping(Overlap.ONE))
    (first,) = await shard.drain(NOW)
    await shard.drain(NOW + MINUTE)
    await pauses.pause(["a"], '{"since": 1}', types=False)
    await shard.done(first, now=NOW + MINUTE)
    assert await shard.drain(NOW + 5 * MINUTE) == []
    await pauses.resume(["a"], NOW + 5 * MINUTE, types=False)
    (waited,) = await shard.drain(NOW + 5 * MINUTE)
    assert waited.nominal == NOW + MINUTE


async def test_a_job_ends_with_the_run_that_waited_too_long(shard: Shard) -> None:
    """Another run of it was open, and its end had come."""
    rules = Properties(overlap=Overlap.ONE, start_deadline=10 * SECOND, end=NOW + MINUTE)
    await shard.create(every("a", MINUTE, NOW, properties=rules))
    (first,) = await shard.stage(NOW)
    assert await shard.stage(NOW + MINUTE) == []
    await shard.done(first, now=NOW + 2 * MINUTE)
    assert await shard.drain(NOW + 2 * MINUTE) == []
    assert set(await shard.keys()) <= EMPTY


async def test_a_one_time_job_ends_that_was_paused_too_long(shard: Shard) -> None:
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(once("a", NOW, properties=Properties(start_deadline=MINUTE)))
    await pauses.pause(["a"], '{"since": 1}', types=False)
    await shard.drain(NOW)
    await pauses.resume(["a"], NOW + HOUR, types=False)
    await shard.publish()
    assert await shard.drain(NOW + HOUR) == []
    deleted = outcomes(await records_of(shard, await shard.publish()))
    assert deleted == [("a", "failed")]
    assert set(await shard.keys()) <= EMPTY


async def test_the_run_behind_one_that_waited_too_long_starts(shard: Shard) -> None:
    """Updates have kept both."""
    rules = Properties(overlap=Overlap.ONE, start_deadline=HOUR)
    await shard.create(once("first", NOW - 1, parallel=1))
    await shard.create(every("a", DAY, NOW, parallel=1, properties=rules))
    (first,) = await shard.stage(NOW)
    later = NOW + 50 * MINUTE
    await shard.update(every("a", DAY + 1, later, parallel=1, notes=Note.KEEP_MORE), now=later)
    await shard.update(
        every("a", DAY + 2, later + DAY, parallel=1, notes=Note.KEEP_MORE), now=later
    )
    await shard.drain(later)
    await shard.done(first, now=NOW + HOUR + 1)
    runs = await shard.drain(NOW + HOUR + 1)
    assert [run.nominal for run in runs] == [later]


async def test_an_overlap_is_decided_at_its_time(shard: Shard) -> None:
    """The run before may end until then."""
    await shard.create(overlapping(Overlap.SKIP))
    await shard.schedule.stage(shard.token, NOW - 5, 500, lead=10)
    assert runs_in(await shard.entries()) == []
    assert ids_of(await shard.stage(NOW)) == ["a"]


async def test_an_update_before_the_next_time_is_planned_is_no_open_run(shard: Shard) -> None:
    """It leaves a note among the runs that wait: a rebuild has to know what was emitted."""
    rules = Properties(overlap=Overlap.SKIP, end=FIRST + 12 * MINUTE)
    await shard.create(cron("a", FIVE_MINUTES, FIRST, attempts=2, properties=rules))
    (first,) = await shard.stage(FIRST)
    await shard.done(first)
    await shard.update(cron("a", FIVE_MINUTES, FIRST, attempts=2, notes=Note.KEEP_MORE))
    await shard.plan()
    runs = []
    for minute in (5, 10, 15):
        runs += await shard.stage(FIRST + minute * MINUTE)
        await shard.done(*runs[-1:], now=FIRST + minute * MINUTE)
        await shard.plan()
    assert [run.nominal - FIRST for run in runs] == [5 * MINUTE, 10 * MINUTE]
    assert set(await shard.keys()) <= EMPTY


async def test_runs_that_updates_have_kept_do_not_wait_for_each_other(shard: Shard) -> None:
    await shard.create(every("a", HOUR, NOW, properties=Properties(overlap=Overlap.ONE)))
    for later in (1, 2, 3):
        changed = every("a", HOUR + later, NOW + later, notes=Note.KEEP_MORE)
        await shard.update(changed, now=NOW + later)
    nominals = []
    for later in range(4, 7):
        for run in await shard.drain(NOW + later):
            nominals.append(run.nominal - NOW)
            await shard.done(run, now=NOW + later)
    assert nominals == [0, 1, 2]


# --- Retries ---


@pytest.mark.parametrize("backoff", BackoffType)
@pytest.mark.parametrize("rules", [{"max_delay": 1500}, {"random_share": 0.7}, {}])
async def test_retries_wait_as_the_pure_rule_says(
    shard: Shard, backoff: BackoffType, rules: dict[str, Any]
) -> None:
    properties = Properties(labels={"a": "b"}, **rules)
    await shard.create(
        once("a", NOW, attempts=4, delay=1000.5, backoff=backoff, properties=properties)
    )
    rule = RetryRule(
        backoff,
        1000.5,
        DAY,
        max_delay=rules.get("max_delay", 0),
        random_share=rules.get("random_share", 0.0),
    )
    (run,) = await shard.stage(NOW)
    now = NOW
    for failures in (1, 2, 3):
        await shard.fail(run, now=now)
        due = now + retry_after_ms(rule, failures, "a", NOW)
        assert await shard.stage(due - 1) == []
        (run,) = await shard.stage(due)
        now = due
