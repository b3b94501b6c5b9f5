"""Versions of what Redis holds (docs/decisions/0024): known ones are read, later ones refused."""

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.domain.errors import NewerData
from scheduling_srv.domain.job import Answer, NewJob
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.layouts import VERSION_OF_MORE
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.versions import FORMATS, READS, WRITES
from scheduling_srv.service.shard import Shard as ServiceShard
from tests.store.shard import (
    DAY,
    MINUTE,
    NOW,
    SECOND,
    Shard,
    at_once,
    cron,
    every,
    ids_of,
    of_version,
    once,
)

LATER = FORMATS[READS].job + 1


async def age(shard: Shard, *ids: str, version: int = 0) -> None:
    """Give stored records the bytes that another version would have written."""
    for each in ids:
        record = await shard.raw("HGET", "jobs", each)
        await shard.raw("HSET", "jobs", each, of_version(record, version))


async def version_of(shard: Shard, job_id: str) -> int:
    return job_record.version(await shard.raw("HGET", "jobs", job_id))


async def format_of(shard: Shard) -> int:
    return int(await shard.raw("HGET", "meta", "format") or 0)


# --- Records of jobs and runs ---

KINDS = {
    "now": at_once("a"),
    "once": once("a"),
    "interval": every("a", MINUTE, NOW),
    "policy": once("a", attempts=3, parallel=2, delay=SECOND),
}


@pytest.mark.parametrize("job", KINDS.values(), ids=KINDS)
async def test_a_record_of_the_first_version_runs_and_ends(shard: Shard, job: NewJob) -> None:
    await shard.create(job)
    await age(shard, "a")
    (run,) = await shard.stage()
    assert run.kind == job_record.kind(job.record)
    assert await shard.done(run) == 1


async def test_a_cron_job_of_the_first_version_is_planned(shard: Shard) -> None:
    await shard.create(cron("a", "* * * * *", NOW))
    await age(shard, "a")
    (first,) = await shard.drain_once(NOW)
    (second,) = await shard.drain_once(NOW + MINUTE)
    assert (first.id, second.id) == ("a", "a")


async def test_an_update_writes_the_present_version(shard: Shard) -> None:
    await shard.create(once("a", NOW + DAY), once("b", NOW + DAY))
    await age(shard, "a", "b")
    await shard.update(once("a", NOW + DAY, type="other"))
    assert await version_of(shard, "a") == VERSION_OF_MORE
    assert await version_of(shard, "b") == 0


async def test_versions_make_no_difference_to_a_definition(shard: Shard) -> None:
    """Or each upsert after an upgrade would announce a change."""
    await shard.create(once("a", NOW + DAY))
    await age(shard, "a")
    await shard.entries()
    await shard.upsert(once("a", NOW + DAY))
    assert await shard.entries() == []


async def test_a_replacement_that_is_undone_brings_back_the_bytes(shard: Shard) -> None:
    """The journal still has them."""
    await shard.create(every("a", DAY))
    await age(shard, "a")
    before = await shard.raw("HGET", "jobs", "a")
    await shard.update(every("a", 2 * DAY))
    (head,) = [entry for entry in await shard.entries() if entry[:1] == b"G"]
    assert before in head


async def test_a_record_is_as_long_as_one_of_the_first_version(shard: Shard) -> None:
    """It has a creation time, and a smaller header."""
    await shard.create(once("a", NOW + DAY))
    record = await shard.raw("HGET", "jobs", "a")
    assert len(record) == len(of_version(record, 0))
    assert await version_of(shard, "a") == FORMATS[READS].job


async def test_a_run_of_the_first_version_is_answered(shard: Shard) -> None:
    """It had a creation number of eight bytes."""
    await shard.create(once("a", attempts=2))
    (run,) = await shard.stage()
    stored = await shard.raw("HGET", "runs", str(run.instance))
    first = struct.pack("<Q", run.seq)
    assert stored[:8] == struct.pack("<Q", run.seq | FORMATS[1].run << 48)
    await shard.raw("HSET", "runs", str(run.instance), first + stored[8:])
    assert await shard.fail(run) == 1
    (again,) = await shard.stage(NOW + MINUTE)
    assert (again.attempt, again.seq) == (2, run.seq)


async def test_a_run_of_a_later_version_is_refused(shard: Shard) -> None:
    await shard.create(once("a"))
    (run,) = await shard.stage()
    stored = await shard.raw("HGET", "runs", str(run.instance))
    later = struct.pack("<H", FORMATS[READS].run + 1)
    await shard.raw("HSET", "runs", str(run.instance), stored[:6] + later + stored[8:])
    with pytest.raises(NewerData, match="a run of version"):
        await shard.jobs.complete([Answer(run.instance, False)], NOW, shard.source(0))


REFUSED: dict[str, Callable[[Shard], Awaitable[Any]]] = {
    "update": lambda shard: shard.update(once("a", NOW + DAY, type="other")),
    "upsert": lambda shard: shard.upsert(once("a", NOW + DAY)),
    "staging": lambda shard: shard.stage(NOW + DAY),
    "delete": lambda shard: shard.jobs.delete(["a"], NOW),
    "page": lambda shard: shard.ids(),
}


@pytest.mark.parametrize("policy", [{}, {"attempts": 3}], ids=["plain", "policy"])
@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
async def test_a_record_of_a_later_version_is_refused(
    shard: Shard, call: Callable[[Shard], Awaitable[Any]], policy: dict[str, int]
) -> None:
    await shard.create(once("a", NOW + DAY, **policy))
    await age(shard, "a", version=LATER)
    before = await shard.raw("HGET", "jobs", "a")
    with pytest.raises(NewerData, match=f"a job record of version {LATER}, and"):
        await call(shard)
    assert await shard.raw("HGET", "jobs", "a") == before


# --- The format of a shard ---


async def test_the_owner_notes_the_format(fresh: Shard) -> None:
    await fresh.own()
    assert await format_of(fresh) == WRITES


async def test_a_store_of_the_first_version_is_noted_when_it_is_taken_over(shard: Shard) -> None:
    await shard.create(once("a", NOW + DAY))
    await shard.raw("HDEL", "meta", "format")
    await shard.raw("DEL", "lease")
    state = await shard.schedule.state()
    assert (state.ready, state.format) == (True, 0)
    await shard.own()
    assert (await shard.schedule.state()).format == WRITES
    assert await shard.ids() == ["a"]


async def test_a_replica_notes_its_format_and_takes_the_lease_away(shard: Shard) -> None:
    """An owner that does not read it must stop; another one tells Kafka."""
    await shard.raw("HSET", "meta", "format", 0)
    await shard.schedule.note_format(WRITES)
    assert await format_of(shard) == WRITES
    assert await shard.raw("EXISTS", "lease") == 0


@pytest.mark.parametrize("writes", [0, WRITES])
async def test_a_format_that_is_noted_disturbs_nobody(shard: Shard, writes: int) -> None:
    await shard.schedule.note_format(writes)
    assert await format_of(shard) == READS
    await shard.schedule.renew(shard.token, emitting=True)


async def test_looking_notes_nothing(fresh: Shard) -> None:
    await fresh.schedule.note_format(0)
    assert await fresh.keys() == []


@dataclass
class Parts:
    """Of a shard of the service: those that know its format."""

    schedule: RedisSchedule
    noted: int | None
    """On Kafka. None: nothing is there."""

    @property
    def history(self) -> "Parts":
        return self

    async def committed_position(self) -> Position | None:
        return None if self.noted is None else Position(1, "first", format=self.noted)


@pytest.mark.parametrize(
    ("redis", "kafka", "wanted"),
    [(0, None, 0), (0, 0, 0), (0, 2, 2), (1, 2, 2), (1, None, 1), (2, 1, 2)],
)
async def test_a_replica_that_starts_finds_the_format_of_redis_and_kafka(
    fresh: Shard, redis: int, kafka: int | None, wanted: int
) -> None:
    """An emptied Redis knows none: what it holds then would be written in an earlier one."""
    if redis:
        await fresh.schedule.note_format(redis)
    parts: Any = Parts(fresh.schedule, kafka)
    assert await ServiceShard.found_format(parts) == wanted


async def test_a_replica_does_not_start_with_a_later_format_on_kafka(fresh: Shard) -> None:
    parts: Any = Parts(fresh.schedule, READS + 1)
    with pytest.raises(NewerData):
        await ServiceShard.found_format(parts)


async def test_a_reset_keeps_the_format(shard: Shard) -> None:
    await shard.reset()
    assert await format_of(shard) == READS


async def test_a_rebuild_notes_the_format_of_the_position(shard: Shard) -> None:
    await shard.schedule.begin_rebuild(shard.token)
    await shard.raw("HDEL", "meta", "format")
    await shard.schedule.initialise(shard.token, Position(1, "new", format=READS), NOW)
    assert await format_of(shard) == READS


async def test_a_rebuild_lowers_no_format(shard: Shard) -> None:
    """Another replica may have begun to write in it."""
    await shard.schedule.begin_rebuild(shard.token)
    await shard.raw("HSET", "meta", "format", 9)
    await shard.schedule.initialise(shard.token, Position(1, "new"), NOW)
    assert await format_of(shard) == 9


async def test_redis_may_be_emptied(shard: Shard, client: RedisClient) -> None:
    for key in [*await shard.keys(), "lease"]:
        await client.execute("DEL", shard.jobs.base + key)
    await shard.own("next")
    assert await format_of(shard) == WRITES


CLOSED: dict[str, Callable[[Shard], Awaitable[Any]]] = {
    "acquire": lambda shard: shard.schedule.acquire("next"),
    "start": lambda shard: shard.schedule.note_format(0),
    "state": lambda shard: shard.schedule.state(),
    "progress": lambda shard: shard.schedule.progress(),
    "create": lambda shard: shard.create(once("b")),
    "read": lambda shard: shard.ids(),
    "delete": lambda shard: shard.jobs.delete(["a"], NOW),
    "reset": lambda shard: shard.reset(),
    "answer": lambda shard: shard.jobs.complete([Answer(1, False)], NOW, shard.source(0)),
    "positions": lambda shard: shard.jobs.positions(),
}


@pytest.mark.parametrize("call", CLOSED.values(), ids=CLOSED)
async def test_a_store_of_a_later_format_is_left_alone(
    shard: Shard, call: Callable[[Shard], Awaitable[Any]]
) -> None:
    await shard.create(once("a", NOW + DAY))
    await shard.raw("HSET", "meta", "format", READS + 1)
    before = await shard.raw("HGETALL", "meta")
    with pytest.raises(NewerData, match=f"has format {READS + 1}, and .* reads up to {READS}"):
        await call(shard)
    assert await shard.raw("HGETALL", "meta") == before
    await shard.raw("HSET", "meta", "format", READS)
    assert await shard.ids() == ["a"]


async def test_notes_of_a_request_do_not_touch_the_version(shard: Shard) -> None:
    """They stand where the creation number will."""
    await shard.upsert(once("a", NOW + DAY, notes=Note.UPDATED))
    assert await version_of(shard, "a") == FORMATS[READS].job
    assert ids_of(await shard.stage(NOW + DAY)) == ["a"]
