"""Timeouts of single jobs, heartbeats, extensions, and answers that say when to try again."""

import json
from typing import Any

import pytest

from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.domain.job import Answer
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_control import Extension
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.layouts import MARK
from scheduling_srv.formats.position_record import Position
from tests.store.shard import DAY, HOUR, MINUTE, NOW, SECOND, Run, Shard, every, once, rfc3339

OWN = Properties(completion_timeout=MINUTE)


async def staged(shard: Shard, now: int = NOW) -> list[Run]:
    """The runs, which are published at once."""
    runs = await shard.drain(now)
    await shard.publish(now)
    return runs


async def expired(shard: Shard, now: int) -> int:
    return (await shard.schedule.expire(shard.token, now, 500)).expired


async def deadline(shard: Shard) -> int | None:
    return (await shard.schedule.stage(shard.token, NOW, 500)).deadline


def beat(run: Run) -> Answer:
    return Answer(run.instance, False, heartbeat=True)


def extender(shard: Shard) -> RedisRunControl:
    return RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)


async def clean(shard: Shard) -> None:
    """Nothing is left of runs with deadlines."""
    for key in ("started", "deadlines", "running", "runs"):
        assert await shard.raw("EXISTS", key) == 0


async def test_a_run_times_out_by_the_timeout_of_its_job(shard: Shard) -> None:
    """To the millisecond, beside a run that the setting rules."""
    await shard.create(once("a", properties=OWN, attempts=2), once("b"))
    await staged(shard)
    assert await deadline(shard) == NOW + MINUTE
    assert await expired(shard, NOW + MINUTE - 1) == 0
    assert await expired(shard, NOW + MINUTE) == 1
    (again,) = await staged(shard, NOW + MINUTE)
    assert (again.id, again.attempt) == ("a", 2)
    assert await expired(shard, NOW + 2 * MINUTE - 1) == 0
    assert await expired(shard, NOW + 2 * MINUTE) == 1
    assert await shard.ids() == ["b"]
    assert await expired(shard, NOW + HOUR) == 1
    await clean(shard)


async def test_its_record_says_the_deadline(shard: Shard) -> None:
    await shard.create(once("a", properties=OWN), once("b", properties=Properties(max_delay=1)))
    await shard.drain(NOW)
    records = Announcer().records(await shard.publish(), 0, "x")
    headers = {r.route: dict(r.headers) for r in records if r.key == b"queuedJob"}
    assert headers[b"a"]["deadline"].decode() == rfc3339(NOW + MINUTE).replace("+00:00", "Z")
    assert "deadline" not in headers[b"b"]


async def test_a_long_timeout_outlives_that_of_the_setting(shard: Shard) -> None:
    await shard.create(once("a", properties=Properties(completion_timeout=DAY)))
    (run,) = await staged(shard)
    assert await expired(shard, NOW + DAY - 1) == 0
    assert await shard.done(run, now=NOW + DAY - 1) == 1
    await clean(shard)


async def test_the_time_of_a_late_run_begins_with_its_publication(shard: Shard) -> None:
    await shard.create(once("a", properties=OWN))
    await shard.drain(NOW)
    assert await expired(shard, NOW + HOUR) == 0
    await shard.publish(NOW + HOUR)
    assert await expired(shard, NOW + HOUR + MINUTE - 1) == 0
    assert await expired(shard, NOW + HOUR + MINUTE) == 1


async def test_a_rebuild_reads_from_the_start_of_an_extended_run(shard: Shard) -> None:
    """Also if its time has begun again before."""
    await shard.create(once("a"), once("b", properties=OWN))
    a, b = await shard.drain(NOW)
    await expired(shard, NOW + HOUR)  # neither is on Kafka
    await shard.publish(NOW + 2 * HOUR)
    await shard.answer(beat(a), now=NOW + 2 * HOUR)
    assert await expired(shard, NOW + 2 * HOUR) == 0
    marks = [e for e in await shard.raw("LRANGE", "outbox", 0, -1) if e[0] == MARK]
    assert int(json.loads(marks[-1][1:])["replay_from"]) == NOW
    assert await shard.done(a, b) == 2
    await clean(shard)


@pytest.mark.parametrize("properties", [None, OWN], ids=["setting", "own"])
async def test_a_heartbeat_restarts_the_timeout(
    shard: Shard, properties: Properties | None
) -> None:
    shard.jobs.completion_timeout = MINUTE
    shard.rule(completion_timeout=MINUTE)
    await shard.create(once("a", properties=properties))
    (run,) = await staged(shard)
    assert await shard.answer(beat(run), now=NOW + MINUTE - 1) == 1
    assert await expired(shard, NOW + 2 * MINUTE - 2) == 0
    assert await deadline(shard) == NOW + 2 * MINUTE - 1
    assert await shard.answer(beat(run), now=NOW + MINUTE) == 1
    assert await expired(shard, NOW + 2 * MINUTE - 1) == 0
    assert await expired(shard, NOW + 2 * MINUTE) == 1
    assert await shard.answer(beat(run), now=NOW + 2 * MINUTE) == 0
    await clean(shard)


async def test_heartbeats_and_answers_of_one_call(shard: Shard) -> None:
    await shard.create(once("a"), once("b"))
    a, b = await staged(shard)
    known = await shard.answer(beat(a), Answer(a.instance, False), beat(a), beat(b))
    assert known == 3
    assert await shard.ids() == ["b"]
    await shard.done(b)
    await clean(shard)


async def test_an_extension(shard: Shard) -> None:
    """It moves the deadline from now on, and never to an earlier instant."""
    await shard.create(once("a", properties=OWN), once("b"))
    a, b = await staged(shard)
    runs = extender(shard)
    assert await runs.extend(Extension(a.instance), NOW + 5) == NOW + 5 + MINUTE
    assert await runs.extend(Extension(a.instance, length=HOUR), NOW + 5) == NOW + 5 + HOUR
    assert await runs.extend(Extension(a.instance, length=1), NOW + 5) == NOW + 5 + HOUR
    assert await runs.extend(Extension(b.instance, length=1), NOW + 5) == NOW + HOUR
    assert await runs.extend(Extension(b.instance, length=DAY), NOW + 5) == NOW + 5 + DAY
    assert await runs.extend(Extension(99), NOW) is None
    named = Extension(a.instance, f"a/{a.seq}/{NOW}/1")
    assert await runs.extend(named, NOW + 5) == NOW + 5 + HOUR
    assert await runs.extend(Extension(a.instance, f"a/{a.seq}/{NOW}/2"), NOW + 5) is None
    assert await expired(shard, NOW + HOUR) == 0
    assert await expired(shard, NOW + 5 + HOUR) == 1
    assert await expired(shard, NOW + 5 + DAY) == 1
    await clean(shard)


async def test_an_answer_to_another_occurrence_is_stale(shard: Shard) -> None:
    await shard.create(once("a", attempts=2))
    (run,) = await staged(shard)
    name = f"a/{run.seq}/{NOW}/1".encode()
    for stale in (b"a/7/1/1", name[:-1] + b"2", b"\xff"):
        assert await shard.answer(Answer(run.instance, False, occurrence=stale)) == 0
        assert await shard.answer(Answer(run.instance, True, occurrence=stale)) == 0
    assert await shard.answer(Answer(run.instance, False, occurrence=name)) == 1
    assert await shard.ids() == []


async def test_a_worker_says_when_to_try_again(shard: Shard) -> None:
    await shard.create(once("a", attempts=3, delay=5 * SECOND))
    (run,) = await staged(shard)
    await shard.answer(Answer(run.instance, True, retry_after=HOUR))
    assert await shard.drain(NOW + HOUR - 1) == []
    (again,) = await staged(shard, NOW + HOUR)
    await shard.answer(Answer(again.instance, True), now=NOW + HOUR)
    assert [r.attempt for r in await shard.drain(NOW + HOUR + 5 * SECOND)] == [3]


async def test_no_attempt_follows_a_final_failure(shard: Shard) -> None:
    await shard.create(once("a", attempts=3), every("b", HOUR, NOW, attempts=3))
    runs = await staged(shard)
    await shard.answer(*[Answer(r.instance, True, error="no", final=True) for r in runs])
    assert await shard.drain(NOW) == []
    assert await shard.ids() == ["b"]
    assert await shard.raw("EXISTS", "retries") == 0


async def test_a_reset_forgets_deadlines(shard: Shard) -> None:
    await shard.create(once("a", properties=OWN))
    await staged(shard)
    await shard.reset()
    await clean(shard)


async def rebuilt(shard: Shard, records: list[RebuiltJob], runs: list[RebuiltRun]) -> None:
    await shard.schedule.begin_rebuild(shard.token, 2)
    await shard.schedule.load_jobs(shard.token, records)
    await shard.schedule.load_runs(shard.token, runs)
    position = Position(9, "second", at=NOW, seq=50, format=2)
    shard.lineage = await shard.schedule.initialise(shard.token, position, NOW + HOUR)
    await shard.publish(NOW + HOUR)


async def test_after_a_rebuild_a_run_has_its_whole_timeout(shard: Shard) -> None:
    await shard.create(once("a", properties=OWN), once("b"), once("gone", properties=OWN))
    runs = {run.id: run for run in await staged(shard)}
    stored = {each.id: each.record for each in await shard.jobs.get(["a", "b"]) if each}
    jobs = [RebuiltJob(job_id.decode(), record, None) for job_id, record in stored.items()]
    options: dict[str, Any] = {"type": b"t", "start": NOW}
    loaded = [
        RebuiltRun(r.id, r.seq, NOW, 1, r.instance, timed=r.id != "b", **options)
        for r in runs.values()
    ]
    shard.rule(completion_timeout=10 * MINUTE)
    await rebuilt(shard, jobs, loaded)
    assert await shard.raw("ZCARD", "started") == 1
    assert await expired(shard, NOW + HOUR + MINUTE - 1) == 0
    assert await expired(shard, NOW + HOUR + MINUTE) == 1
    assert await shard.ids() == ["b"]
    assert await expired(shard, NOW + HOUR + 10 * MINUTE) == 2
    await clean(shard)


async def test_many_deadlines_are_looked_at_piece_by_piece(shard: Shard) -> None:
    await shard.create(*(once(f"j{n}", properties=OWN) for n in range(5)))
    await staged(shard)
    found = await shard.schedule.expire(shard.token, NOW + DAY, 2)
    assert (found.looked_at, found.expired) == (2, 2)
    assert await expired(shard, NOW + DAY) == 3
    await clean(shard)
