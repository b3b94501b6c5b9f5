"""The logs that explanations are made of: outages, owners, pauses, ends of jobs (decision 31)."""

import time

import pytest

from scheduling_srv.adapters.redis.intervals import RedisIntervals
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.transfers import RedisTransfers
from scheduling_srv.domain.intervals import (
    EndedPause,
    Farewell,
    Gone,
    IntervalLogs,
    Outage,
)
from scheduling_srv.domain.pause import Pause
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats.changes import Change
from tests.store.shard import HOUR, MINUTE, NOW, SECOND, Shard, cron, every, once

NOTE = '{"since":5,"note":"why","by":"me"}'
FIRST = NOW + 100 * SECOND
"""22:15."""


async def logs(shard: Shard, job: str = "a", type: str = "t") -> IntervalLogs:  # noqa: A002 - the field's name
    return await RedisIntervals(shard.client, shard.namespace, 0).intervals(job, type)


async def test_an_outage(shard: Shard) -> None:
    for now in (NOW, NOW + 4 * SECOND, NOW + HOUR, NOW + HOUR + 1):
        await shard.stage(now)
    assert (await logs(shard)).outages == [Outage(NOW + 4 * SECOND, NOW + HOUR)]


async def test_owners(shard: Shard) -> None:
    await shard.schedule.release(shard.token)
    await shard.own("a:b")
    owners = (await logs(shard)).owners
    assert [each.owner for each in owners] == ["test", "a:b"]
    assert owners[0].since <= owners[1].since
    assert abs(owners[1].since - time.time() * 1000) < MINUTE


@pytest.mark.parametrize("types", [False, True])
async def test_a_pause_that_has_ended(shard: Shard, types: bool) -> None:
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(every("a", HOUR, NOW), every("t", HOUR, NOW, type="other"))
    name = "t" if types else "a"
    for _ in range(2):  # the second one changes nothing
        await pauses.pause([name], NOTE, types=types)
    assert (await logs(shard)).pauses == []
    for _ in range(2):
        await pauses.resume([name], NOW + 9, types=types)
    ended = EndedPause(Pause(5, "why", "me"), NOW + 9, types)
    assert (await logs(shard)).pauses == [ended]
    assert (await logs(shard, "t", "other")).pauses == []


async def test_a_job_that_was_deleted(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR), every("b", HOUR))
    await shard.jobs.delete(["a", "none"], NOW + 5)
    assert (await logs(shard)).gone == [Gone(NOW + 5, 1, Farewell.DELETED)]
    assert (await logs(shard, "none")).gone == []


async def test_a_job_that_a_change_takes_out(shard: Shard) -> None:
    """One that goes on, here or in another shard, is not gone."""
    door = RedisTransfers(shard.client, shard.namespace, 0, 2, outbox_limit=1_000)
    await shard.create(*(once(each, NOW + HOUR) for each in "abc"))
    moved = Change(1, put=[once("c", NOW + HOUR)], places=[2])
    change = Change(0, ["a", "b", "c"], [once("b", NOW + HOUR)], [moved], [1])
    assert await door.commit(change, NOW + 5)
    found = [(await logs(shard, name)).gone for name in "abc"]
    assert found == [[Gone(NOW + 5, 1, Farewell.DELETED)], [], []]


async def test_a_job_that_has_finished(shard: Shard) -> None:
    rules = {"a": Properties(max_runs=1), "b": Properties(end=NOW + 1), "c": Properties(end=FIRST)}
    await shard.create(
        every("a", MINUTE, NOW, properties=rules["a"]),
        every("b", MINUTE, NOW, properties=rules["b"]),
        cron("c", "*/5 * * * *", FIRST, properties=rules["c"]),
    )
    await shard.stage(NOW)
    await shard.drain(FIRST)
    found = [(await logs(shard, name)).gone for name in "abc"]
    assert found == [
        [Gone(NOW, 1, Farewell.MAX_RUNS)],
        [Gone(NOW, 2, Farewell.END)],
        [Gone(FIRST, 3, Farewell.END)],
    ]


async def test_the_newest_are_kept(shard: Shard) -> None:
    for number in range(1_001):
        await shard.stage(NOW + number * HOUR)
    found = (await logs(shard)).outages
    assert len(found) == 1_000
    assert found[-1].until == NOW + 1_000 * HOUR


async def test_a_rebuild_keeps_them(shard: Shard) -> None:
    await shard.stage(NOW)
    await shard.stage(NOW + HOUR)
    await shard.schedule.begin_rebuild(shard.token)
    assert await shard.raw("LLEN", "outages") == await shard.raw("LLEN", "owners") == 1
