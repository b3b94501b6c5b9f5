"""A holder of the lease that died is known by its connection; one that is only silent is not."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.signals import RedisSignals
from scheduling_srv.app.format_ports import Raised, RaiseVerdict
from scheduling_srv.domain.errors import LeaseLost
from scheduling_srv.formats.versions import READS
from tests.store.shard import Shard

OWNER = "host-1-abc"


@asynccontextmanager
async def connected(client: RedisClient, shard: Shard, name: str) -> AsyncIterator[None]:
    """What a living replica does all the time."""
    signals = RedisSignals(client, shard.namespace, 0, name=name)
    async with aclosing(signals.listen()) as listening:
        assert (await anext(listening)).kind == "connected"
        yield


async def gone(shard: Shard) -> bool:
    holder = await shard.schedule.holder()
    assert holder
    assert holder.token == shard.token
    assert 0 < holder.left <= shard.schedule.rules.lease
    return holder.gone


async def begin(shard: Shard) -> None:
    await shard.schedule.release(shard.token)
    assert await shard.schedule.holder() is None
    await shard.own(OWNER)


async def test_a_dead_holder_is_replaced_before_its_lease_ends(
    client: RedisClient, shard: Shard
) -> None:
    await begin(shard)
    async with connected(client, shard, OWNER):
        await shard.schedule.renew(shard.token, emitting=True)
        assert not await gone(shard)
        assert await shard.schedule.acquire("other", dead=shard.token) is None
    assert await gone(shard)
    assert await shard.schedule.acquire("other") is None
    token = await shard.schedule.acquire("other", dead=shard.token)
    assert token
    assert token != shard.token
    assert await shard.schedule.acquire("third", dead=shard.token) is None
    await shard.schedule.release(token)


async def test_a_holder_that_was_never_seen_is_not_missed(
    client: RedisClient, shard: Shard
) -> None:
    """Where signals do not get through, only the end of the lease counts."""
    await begin(shard)
    await shard.schedule.renew(shard.token, emitting=True)
    assert not await gone(shard)
    async with connected(client, shard, "other"):
        await shard.schedule.renew(shard.token, emitting=True)
        assert not await gone(shard)


async def test_the_format_waits_for_replicas_that_do_not_read_it(
    client: RedisClient, fresh: Shard
) -> None:
    """A version before format 2 says only that it is there."""
    shard = await fresh.open(format=1)
    await begin(shard)
    raising = shard.schedule.raise_format
    assert (await raising(shard.token, READS)).verdict is RaiseVerdict.BLIND
    async with connected(client, shard, "other"):
        assert (await raising(shard.token, READS)).verdict is RaiseVerdict.BLIND
    async with connected(client, shard, OWNER):
        assert (await raising(shard.token, READS, looks=True)).verdict is RaiseVerdict.ALONE
        older = RedisSignals(client, shard.namespace, 0, name="earlier")
        older.reads = older.alive
        async with aclosing(older.listen()) as listening:
            assert (await anext(listening)).kind == "connected"
            for looks in (True, False):
                found = await raising(shard.token, READS, looks=looks)
                assert found == Raised(RaiseVerdict.OLDER, "earlier")
        assert (await raising(shard.token, READS + 1)).verdict is RaiseVerdict.OLDER
        assert (await shard.schedule.state()).format == 1
        assert (await raising(shard.token, READS)).verdict is RaiseVerdict.RAISED
    assert (await shard.schedule.state()).format == READS
    with pytest.raises(LeaseLost):
        await raising(shard.token, READS)
    await shard.own(OWNER)
    assert (await raising(shard.token, READS)).verdict is RaiseVerdict.RAISED
    await shard.schedule.renew(shard.token, emitting=False)


async def test_a_holder_is_only_taken_for_dead_under_its_present_token(
    client: RedisClient, shard: Shard
) -> None:
    await begin(shard)
    async with connected(client, shard, OWNER):
        await shard.schedule.renew(shard.token, emitting=True)
    await begin(shard)
    assert not await gone(shard), "it has not been seen under this token"
