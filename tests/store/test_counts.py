"""How much there is of what operators ask for."""

import pytest

from scheduling_srv.app.ports import Source
from scheduling_srv.app.replies import Counts
from scheduling_srv.domain.errors import StoreNotReady
from scheduling_srv.domain.job import Answer
from tests.store.shard import HOUR, NOW, PARTITION, Shard, at_once, every, once


async def test_what_waits_is_held_and_is_unanswered(shard: Shard) -> None:
    await shard.create(
        once("later", NOW + HOUR),
        every("often", HOUR, NOW + HOUR),
        at_once("a", parallel=1, type="mail", attempts=2),
        at_once("b", parallel=1, type="mail"),
        at_once("c"),
    )
    assert await shard.schedule.counts([]) == Counts(5, 5, 0, 0, 0, {})
    await shard.stage(NOW)
    found = await shard.schedule.counts(["mail", "nothing"])
    assert found == Counts(5, 2, 0, 1, 2, {"mail": 1, "nothing": 0})


async def test_a_retry_waits(shard: Shard) -> None:
    await shard.create(once("a", attempts=2, delay=HOUR))
    (run,) = await shard.drain(NOW)
    source = Source(PARTITION, 0, 1, shard.lineage)
    await shard.jobs.complete([Answer(run.instance, True)], NOW, source)
    assert await shard.schedule.counts([]) == Counts(1, 1, 1, 0, 0, {})


async def test_half_a_schedule_is_not_counted(shard: Shard) -> None:
    await shard.raw("HSET", "meta", "state", "rebuilding")
    with pytest.raises(StoreNotReady):
        await shard.schedule.counts([])
