"""A Redis that is full: it says so, what makes room goes on, and it is left as soon as there is."""

from collections.abc import AsyncIterator

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.namespace import fix_shards
from scheduling_srv.app.ports import Source
from scheduling_srv.app.positions import Start
from scheduling_srv.app.replies import Cursor
from scheduling_srv.domain.errors import Overloaded, StartError, StoreFull
from scheduling_srv.formats.positions import InputPosition, Place
from tests.harness.names import Names
from tests.harness.valkey import ValkeyServer
from tests.store.shard import HOUR, NOW, PARTITION, Shard, at_once, every, ids_of, kinds_of, once


@pytest.fixture
async def client(breakable_valkey: ValkeyServer) -> AsyncIterator[RedisClient]:
    """Of a server that may be filled."""
    client = RedisClient(breakable_valkey.url)
    yield client
    await client.execute("CONFIG", "SET", "maxmemory", 0)
    await client.close()


@pytest.fixture
async def shard(client: RedisClient, names: Names) -> Shard:
    return await Shard.of(client, names.namespace).open()


async def fill(shard: Shard, share: float) -> None:
    """Let what is used be this share of what may be."""
    info = (await shard.client.execute("INFO", "memory")).decode()
    used = next(line for line in info.splitlines() if line.startswith("used_memory:"))
    limit = int(int(used.partition(":")[2]) / share)
    await shard.client.execute("CONFIG", "SET", "maxmemory", limit)


async def content(shard: Shard) -> dict[str, bytes]:
    return {key: await shard.raw("DUMP", key) for key in await shard.keys()}


async def test_the_last_tenth_is_for_the_runs_of_what_is_there(shard: Shard) -> None:
    """So a Redis that clients have filled empties by itself."""
    await shard.create(at_once("first", NOW - 1))
    await shard.done(*await shard.stage(NOW - 1))  # the scripts are there, and take no more room
    await shard.create(once("a"), every("b", HOUR))
    await fill(shard, 0.95)
    with pytest.raises(StoreFull, match="nearly full"):
        await shard.create(once("c"))
    with pytest.raises(StoreFull):
        await shard.update(once("a"))
    (run,) = await shard.stage()
    assert run.id == "a"
    await shard.done(run)
    assert await shard.ids() == ["b"]
    await fill(shard, 0.85)
    await shard.create(once("c"))


async def test_what_is_refused_has_changed_nothing(shard: Shard) -> None:
    await shard.create(once("a"), at_once("b"), every("c", HOUR, NOW))
    before = await content(shard)
    await fill(shard, 1.1)
    with pytest.raises(StoreFull, match="maxmemory"):
        await shard.stage()
    with pytest.raises(StoreFull):
        await shard.create(once("d"))
    assert await content(shard) == before
    await fill(shard, 0.5)
    assert ids_of(await shard.stage()) == ["a", "b", "c"]


async def test_a_staging_call_that_would_trim_is_refused_as_well(shard: Shard) -> None:
    """Found by review: what makes room first is let do anything after it."""
    await shard.create(once("a"))
    taken = await shard.take((await shard.schedule.state()).trimmed)
    published = taken.after + len(taken.entries)
    before = await content(shard)
    await fill(shard, 1.1)
    with pytest.raises(StoreFull, match="maxmemory"):
        await shard.schedule.stage(shard.token, NOW, 10, Cursor(published, shard.lineage))
    assert await content(shard) == before
    await shard.take(published)
    assert await shard.raw("LLEN", "outbox") == 0


async def test_what_makes_room_goes_on(shard: Shard) -> None:
    """Also what tells that somebody does: the lease, and the positions of what was read."""
    await shard.create(
        once("a"), once("b"), at_once("c", attempts=2), at_once("d"), once("e", NOW + HOUR)
    )
    a, b, c, d = await shard.stage()
    await fill(shard, 1.1)
    await shard.schedule.renew(shard.token, emitting=True)
    assert await shard.done(a) == 1
    assert await shard.fail(c) == 1
    assert await shard.done(a) == 0
    await shard.delete("b", "nobody")
    await shard.publish()
    await shard.jobs.append([b"Edead letter"], NOW)
    stored = await shard.position()
    await shard.jobs.append([], NOW, Source(PARTITION, stored, stored + 5, shard.lineage))
    await shard.jobs.set_positions(
        [Start("jobs:1", None, InputPosition(7, NOW, "id"))], shard.lineage, NOW
    )
    await shard.jobs.forget({Place("jobs", 1): 7}, shard.lineage, NOW)
    await shard.schedule.mark_inputs(shard.token, NOW)
    assert (await shard.schedule.expire(shard.token, NOW + 2 * HOUR, 100)).looked_at == 2
    await shard.clear()
    await shard.reset()
    assert await shard.ids() == []
    assert b.id == "b"
    assert d.id == "d"


async def test_another_owner_can_take_over(shard: Shard) -> None:
    await shard.create(once("a"))
    await fill(shard, 1.1)
    await shard.schedule.release(shard.token)
    await shard.own("another")
    await shard.schedule.note_backlog(shard.token)
    await shard.jobs.sweep()
    await shard.publish()
    assert kinds_of(await shard.entries()) == ""


async def test_a_full_outbox_takes_no_events_in(shard: Shard) -> None:
    """Dead letters and responses wait for Kafka like anything else; positions need no room."""
    shard.jobs.outbox_limit = 1
    with pytest.raises(Overloaded):
        await shard.jobs.append([b"Edead letter"], NOW, shard.source(0))
    await shard.jobs.append([], NOW, shard.source(0))
    await shard.publish()
    await shard.jobs.append([b"Edead letter"], NOW, shard.source(1))


async def test_a_full_redis_keeps_nobody_from_starting(shard: Shard) -> None:
    """Each start and each take-over notes the number of shards."""
    await fill(shard, 1.1)
    await shard.schedule.note_shards()
    await fix_shards(shard.client, shard.namespace, 1)
    with pytest.raises(StartError):
        await fix_shards(shard.client, shard.namespace, 2)
