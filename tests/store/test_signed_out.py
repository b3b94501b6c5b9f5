"""Sessions of the admin pages that were signed out, in Redis: for all replicas, and bounded."""

import pytest

from scheduling_srv.adapters.redis import keys, signed_out
from scheduling_srv.adapters.redis.signed_out import RedisSignedOut
from tests.store.shard import Shard

HOURS_MS = 12 * 3_600_000


async def test_a_session_is_kept_until_it_would_have_ended(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_out, "MOST", 2)
    now = [1_000.0]
    store = RedisSignedOut(shard.client, shard.namespace, lambda: now[0])
    await store.add("over", 1_000)
    await store.add("first", 1_100)
    assert [await store.has(name) for name in ("over", "first", "other")] == [False, True, False]
    now[0] = 1_100.0
    await store.add("second", 1_000 + HOURS_MS // 1_000)
    assert [await store.has(name) for name in ("first", "second")] == [False, True]
    left = await shard.client.execute("PTTL", keys.pages_signed_out(shard.namespace))
    assert 0 < left <= HOURS_MS
    for name, until in (("third", 3_000), ("fourth", 4_000)):
        await store.add(name, until)
    assert [await store.has(name) for name in ("second", "third", "fourth")] == [True, False, True]
