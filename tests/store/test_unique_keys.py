"""Unique keys: within a type one living job has a key."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from scheduling_srv.adapters.redis.unique_keys import RedisUniqueKeys
from scheduling_srv.app.ports import Refusal, WriteGroup, WriteMode
from scheduling_srv.app.replies import RebuiltJob
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.position_record import Position
from tests.store.shard import HOUR, MINUTE, NOW, Shard, every, once

KEY = Properties(unique_key="k")


async def holder(shard: Shard, job_type: str = "t", key: str = "k") -> str:
    store = RedisUniqueKeys(shard.client, shard.namespace, 0)
    (found,) = await store.holders([(job_type, key)])
    return found


async def create(shard: Shard, *jobs: NewJob) -> Refusal | None:
    group = WriteGroup(WriteMode.CREATE, jobs, named=[job.id for job in jobs], has_keys=True)
    (refusal,) = (await shard.jobs.write([group], NOW)).refusals
    return refusal


async def update(shard: Shard, job: NewJob) -> Refusal | None:
    return (await shard.write(WriteMode.UPDATE, job)).refusals[0]


async def nothing_is_left(shard: Shard) -> None:
    assert [key for key in await shard.keys() if key.startswith("unique")] == []


async def test_a_second_job_is_refused(shard: Shard) -> None:
    assert await create(shard, every("a", HOUR, properties=KEY)) is None
    assert await create(shard, once("x"), every("b", HOUR, properties=KEY)) == Refusal("unique", 1)
    assert await create(shard, every("b", HOUR, properties=KEY, type="u")) is None
    assert await create(shard, every("c", HOUR, properties=Properties(unique_key="l"))) is None
    assert await shard.ids() == ["a", "b", "c"]
    assert [await holder(shard), await holder(shard, "u"), await holder(shard, "t", "l")] == [
        *"abc"
    ]
    await shard.delete("a", "b", "c")
    await nothing_is_left(shard)


async def test_two_of_a_list_that_nobody_has_checked(shard: Shard) -> None:
    """The first one has the key."""
    await shard.create(once("a", properties=KEY), once("b", properties=KEY))
    assert await holder(shard) == "a"
    await shard.delete("b")
    assert await holder(shard) == "a"


async def end_it(shard: Shard) -> None:
    (run,) = await shard.drain(NOW)
    await shard.done(run)


ENDS: dict[str, Callable[[Shard], Awaitable[Any]]] = {
    "delete": lambda shard: shard.delete("a"),
    "clear": lambda shard: shard.clear(),
    "reset": lambda shard: shard.reset(),
    "done": end_it,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_key_is_free_when_its_job_has_ended(
    shard: Shard, end: Callable[[Shard], Awaitable[Any]]
) -> None:
    await create(shard, once("a", properties=KEY))
    await end(shard)
    assert await holder(shard) == ""
    await nothing_is_left(shard)
    assert await create(shard, once("b", NOW + HOUR, properties=KEY)) is None
    assert await holder(shard) == "b"


async def test_a_finished_job_has_no_key(shard: Shard) -> None:
    """Its last run is still unanswered."""
    rules = Properties(unique_key="k", max_runs=1)
    await create(shard, every("a", MINUTE, NOW, properties=rules, attempts=2))
    (run,) = await shard.drain(NOW)
    assert await holder(shard) == ""
    assert await create(shard, once("b", NOW + HOUR, properties=KEY)) is None
    await shard.done(run)
    assert await holder(shard) == "b"


async def test_updates(shard: Shard) -> None:
    """One of 2018 keeps the key; another one may change it, unless it is taken."""
    await create(shard, every("a", HOUR, properties=KEY))
    await create(shard, every("b", HOUR, properties=KEY, type="u"))
    assert await update(shard, every("a", MINUTE, notes=Note.KEEP_MORE)) is None
    assert await holder(shard) == "a"
    moved = every("a", MINUTE, type="u", notes=Note.KEEP_MORE)
    assert await update(shard, moved) == Refusal("unique", 0)
    other = every("a", MINUTE, properties=Properties(unique_key="l"), revision=0)
    assert await update(shard, other) is None
    assert [await holder(shard), await holder(shard, "t", "l")] == ["", "a"]
    taken = every("a", MINUTE, properties=KEY, type="u", revision=0)
    assert await update(shard, taken) == Refusal("unique", 0)
    assert await update(shard, every("a", MINUTE, properties=Properties(), revision=0)) is None
    await shard.delete("b")
    await nothing_is_left(shard)


async def test_a_repeated_request_is_known(shard: Shard) -> None:
    """Its job may have ended; one that was refused may come again."""
    first = WriteGroup(WriteMode.CREATE, [once("a")], named=["a"], request="r")
    other = WriteGroup(WriteMode.CREATE, [once("a")], named=["a"], request="s")
    assert (await shard.jobs.write([first], NOW)).refusals == [None]
    refusals = (await shard.jobs.write([first, other], NOW)).refusals
    assert refusals == [Refusal("known", 0), Refusal("exists", 0)]
    await shard.delete("a")
    refusals = (await shard.jobs.write([first, other], NOW)).refusals
    assert refusals == [Refusal("known", 0), None]
    assert 0 < await shard.raw("PTTL", "request:s") <= 900_000


async def test_after_a_rebuild(shard: Shard) -> None:
    await create(shard, every("a", HOUR, properties=KEY))
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    await shard.schedule.begin_rebuild(shard.token, 2)
    await shard.schedule.load_jobs(shard.token, [RebuiltJob("a", stored.record, NOW + HOUR)])
    await shard.schedule.load_jobs(shard.token, [RebuiltJob("a", b"", None)])
    await nothing_is_left(shard)
    await shard.schedule.load_jobs(shard.token, [RebuiltJob("a", stored.record, NOW + HOUR)])
    position = Position(9, "second", at=NOW, seq=50, format=2)
    await shard.schedule.initialise(shard.token, position, NOW)
    assert await holder(shard) == "a"
    assert await create(shard, once("b", properties=KEY)) == Refusal("unique", 0)
