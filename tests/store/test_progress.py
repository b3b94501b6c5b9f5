"""What the store says of due work: what waits, and when the outbox last moved."""

from scheduling_srv.app.replies import Progress
from tests.store.shard import NOW, SECOND, Shard, at_once, once


async def idle_since(shard: Shard, ms: int) -> None:
    """As if the outbox had last moved so long ago."""
    seconds, _ = await shard.client.execute("TIME")
    moved_at = int(seconds) * 1000 - ms
    await shard.raw("HSET", "meta", "moved_at", moved_at)


async def look(shard: Shard) -> Progress:
    await shard.schedule.renew(shard.token, emitting=True)
    return await shard.schedule.progress()


async def test_the_earliest_due_run_counts_whatever_its_priority(shard: Shard) -> None:
    await shard.create(once("later", NOW + SECOND), once("first", NOW - SECOND))
    found = await look(shard)
    assert found.working
    assert found.oldest_due == NOW - SECOND


async def test_a_run_that_its_limit_holds_back_may_not_start(shard: Shard) -> None:
    await shard.create(at_once("a", parallel=1), at_once("b", parallel=1))
    await shard.stage(NOW)
    assert (await look(shard)).oldest_due is None


async def test_publishing_is_progress(shard: Shard) -> None:
    await shard.create(once("a"))
    await idle_since(shard, 60_000)
    before = await look(shard)
    assert before.waiting > 0
    assert before.idle_ms >= 60_000
    await shard.publish()
    after = await look(shard)
    assert after.waiting == 0
    assert after.idle_ms < 60_000


async def test_the_first_entry_begins_the_time_of_an_outbox_that_was_empty(shard: Shard) -> None:
    await shard.publish()
    await idle_since(shard, 60_000)
    await shard.create(once("a"))
    assert (await look(shard)).idle_ms < 60_000


async def test_further_entries_are_no_progress(shard: Shard) -> None:
    await shard.create(once("a"))
    await idle_since(shard, 60_000)
    await shard.create(once("b"))
    assert (await look(shard)).idle_ms >= 60_000
