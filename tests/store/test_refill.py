"""Writing what lives to the journal again, while it changes (docs/decisions/0013)."""

import json
import random
from collections.abc import Sequence

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.lists import RedisLists
from scheduling_srv.adapters.redis.refill import RedisRefill
from scheduling_srv.adapters.redis.transfers import RedisTransfers
from scheduling_srv.app.recovery.journal import is_of_a_job
from scheduling_srv.app.recovery.refill import OUTBOX_MOST, Extent, Piece
from scheduling_srv.app.replies import Piece as Step
from scheduling_srv.domain.errors import LeaseLost
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.changes import Change
from scheduling_srv.formats.kafka_records import JournalRetry, LogRecord, Topic
from tests.harness.names import Names
from tests.store.shard import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Run,
    Shard,
    at_once,
    cron,
    every,
    kinds_of,
    once,
)
from tests.store.test_transfers import SHARDS, of

LOST = Extent("new", 0, 0)
LARGE = "t" * 80
"""A hash of small values comes in one piece."""


def refill_of(shard: Shard, number: int = 0, shards: int = 1) -> RedisRefill:
    return RedisRefill(shard.client, shard.namespace, number, shards)


async def piece(shard: Shard, *, count: int = 1, most: int = 0, log: Extent = LOST) -> Piece:
    return await refill_of(shard).refill(shard.token, log, NOW, count, most)


async def refill_all(shard: Shard, *, log: Extent = LOST) -> None:
    """To the end, and published."""
    for _ in range(10_000):
        await shard.publish()
        if (await piece(shard, log=log)).state == "published":
            return
    raise AssertionError("it does not end")


class Kafka:
    """The journal as it is made of the outbox."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.jobs: dict[str, tuple[int, bytes]] = {}
        """Id -> when it runs next, record."""
        self.rest: dict[bytes, tuple[bytes, bytes]] = {}
        """Key -> kind, value."""

    async def hear(self) -> None:
        entries = await self.shard.publish()
        for record in Announcer().records(entries, 0, "i"):
            if record.topic is Topic.JOURNAL:
                headers = dict(record.headers)
                self._add(LogRecord(0, 0, 0, record.key, record.value, headers))

    def _add(self, entry: LogRecord) -> None:
        key, value = entry.key or b"", entry.value
        if value is None:
            self.jobs.pop(key.decode(), None)
            self.rest.pop(key, None)
        elif is_of_a_job(entry):
            self.jobs[key.decode()] = (int.from_bytes(value[:8], "little"), value[8:])
        else:
            self.rest[key] = (entry.headers["kind"], value)

    @property
    def retries(self) -> list[JournalRetry]:
        kept = self.rest.items()
        return [JournalRetry.parse(key, value) for key, (kind, value) in kept if kind == b"retry"]

    @property
    def parcels(self) -> list[bytes]:
        return [value for kind, value in self.rest.values() if kind == b"parcel"]

    async def assert_complete(self) -> None:
        """The journal has what Redis has, and no more."""
        found = await self.shard.raw("HGETALL", "jobs")
        living = dict(zip((key.decode() for key in found[::2]), found[1::2], strict=True))
        assert {job_id: stored for job_id, (_, stored) in self.jobs.items()} == living
        waiting = {self._retry(text) for text in await self.shard.raw("ZRANGE", "retries", 0, -1)}
        written = {(*retry.run[:3], retry.attempt) for retry in self.retries}
        assert waiting <= written  # those that run by now are on the jobs topic as well

    def _retry(self, text: bytes) -> tuple[str, int, int, int]:
        seq, nominal = int.from_bytes(text[:6], "big"), int.from_bytes(text[7:13], "big")
        return text[17:].decode(), seq, nominal, int.from_bytes(text[13:17], "big")


async def fill(shard: Shard) -> list[Run]:
    """Jobs of every kind in every state; answers the runs that were staged."""
    await shard.create(
        once("later", NOW + HOUR),
        every("beat", MINUTE),
        cron("cron", "0 5 * * *", NOW + HOUR),
        cron("planned", "* * * * *", NOW),
        once("running", NOW),
        once("failing", NOW, attempts=3, delay=HOUR),
        at_once("now-failing", attempts=3, delay=HOUR),
        at_once("first", type="limited", parallel=1),
        at_once("held", type="limited", parallel=1),
        once("far", NOW + HOUR, type="limited", parallel=1),
    )
    runs = await shard.stage()
    failing = [run for run in runs if "failing" in run.id]
    assert len(failing) == 2
    await shard.fail(*failing)
    return runs


async def test_all_that_lives_is_written(shard: Shard) -> None:
    await fill(shard)
    await shard.publish()
    kafka = Kafka(shard)
    while (await piece(shard)).state != "published":
        await kafka.hear()
    await kafka.assert_complete()
    dues = {job_id: due - NOW for job_id, (due, _) in kafka.jobs.items()}
    assert dues["later"] == dues["cron"] == dues["far"] == HOUR
    assert dues["beat"] == MINUTE
    assert dues["planned"] == dues["held"] == 0
    retries = {retry.run.job_id: (retry.attempt, retry.due) for retry in kafka.retries}
    assert retries == {"failing": (2, NOW + HOUR), "now-failing": (2, NOW + HOUR)}


async def test_the_log_is_noted_once_all_is_published(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR))
    await shard.publish()
    states = []
    for _ in range(6):
        states.append((await piece(shard)).state)
        seen = await refill_of(shard).logs_seen()
        assert (seen.journal, bool(seen.refilling)) == (None, True)
    assert states == ["ok", "ok", *["ended"] * 4]
    await shard.publish()
    assert (await piece(shard)).state == "published"
    seen = await refill_of(shard).logs_seen()
    assert (seen.journal, seen.refilling, seen.living) == (LOST, "", 1)


async def test_a_position_follows(shard: Shard) -> None:
    await shard.publish()
    await piece(shard)
    await piece(shard)
    assert [entry[:1] for entry in await shard.publish()] == [b"M"]


@pytest.mark.parametrize("seed", range(8))
async def test_jobs_come_and_go_meanwhile(shard: Shard, seed: int) -> None:
    """What is deleted does not come back; what comes is there."""
    chance = random.Random(seed)
    await shard.create(*(once(f"j{n}", NOW + HOUR + n, attempts=2, type=LARGE) for n in range(300)))
    await shard.create(*(at_once(f"n{n}", attempts=3, delay=SECOND) for n in range(50)))
    open_runs, now = await shard.stage(), NOW
    await shard.publish()
    kafka = Kafka(shard)
    ended = False
    while not ended:
        now += chance.randrange(SECOND)
        ended = (await piece(shard, count=chance.choice([1, 5, 20]))).state == "published"
        match chance.randrange(5):
            case 0:
                await shard.create(once(f"new{now}", now + HOUR))
            case 1:
                await shard.delete(f"j{chance.randrange(300)}", now=now)
            case 2:
                await shard.upsert(every(f"j{chance.randrange(300)}", HOUR), now=now)
            case 3:
                await kafka.hear()
                open_runs += await shard.stage(now)
                # `stage` looks at the outbox without taking anything out of it.
            case 4 if open_runs:
                run = open_runs.pop(chance.randrange(len(open_runs)))
                await (shard.fail if chance.random() < 0.6 else shard.done)(run, now=now)
        if chance.random() < 0.5:
            await kafka.hear()
    await kafka.hear()
    await kafka.assert_complete()


async def test_another_owner_goes_on_where_the_one_before_was(shard: Shard) -> None:
    await shard.create(*(once(f"j{n}", NOW + HOUR, type=LARGE) for n in range(500)))
    await shard.publish()
    for _ in range(10):
        await piece(shard)
        await shard.publish()
    token = shard.token
    await shard.schedule.release(token)
    await shard.own("another")
    written = 0
    while (await piece(shard)).state != "published":
        written += len([entry for entry in await shard.publish() if entry[:1] == b"N"])
    assert 0 < written < 500
    with pytest.raises(LeaseLost):
        await refill_of(shard).refill(token, LOST, NOW, 1, 0)


@pytest.mark.parametrize("place", [0, 1])
async def test_it_begins_anew_for_another_log_and_another_life_of_redis(
    shard: Shard, place: int
) -> None:
    """A cursor means nothing to a server that was started again."""
    await shard.create(*(once(f"j{n}", NOW + HOUR, type=LARGE) for n in range(500)))
    await shard.publish()
    kafka = Kafka(shard)
    for _ in range(10):
        await piece(shard)
        await shard.publish()
    noted = json.loads(await shard.raw("HGET", "meta", "refill"))
    noted[place] = "other"
    await shard.raw("HSET", "meta", "refill", json.dumps(noted))
    while (await piece(shard)).state != "published":
        await kafka.hear()
    await kafka.assert_complete()


async def test_emission_goes_first(shard: Shard) -> None:
    await shard.create(*(at_once(f"j{n}") for n in range(OUTBOX_MOST)))
    before = await shard.raw("LLEN", "outbox")
    assert (await piece(shard)).state == "busy"
    assert await shard.raw("LLEN", "outbox") == before
    await shard.publish()
    assert (await piece(shard)).state == "ok"


async def test_what_the_journal_does_not_take_is_left_out_and_counted(shard: Shard) -> None:
    await shard.create(once("small", NOW + HOUR), once("t" * 3000, NOW + HOUR))
    await shard.publish()
    kafka, too_large, state = Kafka(shard), 0, ""
    while state != "published":
        found = await piece(shard, most=4_000)
        state, too_large = found.state, too_large + found.too_large
        await kafka.hear()
    assert too_large == 1
    assert {*kafka.jobs} == {"small"}


async def test_what_is_void_is_not_written(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR), every("b", HOUR))
    await shard.raw("HSET", "meta", "reset", "1", "cleared", "1")
    await shard.publish()
    kafka = Kafka(shard)
    while (await piece(shard)).state != "published":
        await kafka.hear()
    assert {*kafka.jobs} == {"b"}


async def test_a_rebuild_begins_without_a_refill_of_before(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR))
    await piece(shard)
    await shard.schedule.begin_rebuild(shard.token)
    assert (await refill_of(shard).logs_seen()).refilling == ""


async def test_parcels_are_written(client: RedisClient, names: Names) -> None:
    shard = await of(client, names.namespace, 1).open()
    door = RedisTransfers(client, names.namespace, 1, SHARDS, outbox_limit=1000)
    then = [Change(2, put=[once("moved", NOW + HOUR)], places=[1])]
    await door.commit(Change(1, then=then), NOW)
    await shard.publish()
    kafka, refill = Kafka(shard), refill_of(shard, 1, SHARDS)
    while (await refill.refill(shard.token, LOST, NOW, 1, 0)).state != "published":
        await kafka.hear()
    assert kafka.parcels == [parcel.value for parcel in await door.parcels()]
    assert len(kafka.parcels) == 1


async def test_a_log_is_noted_with_or_without_a_position(shard: Shard) -> None:
    refill = refill_of(shard)
    await shard.publish()
    await refill.note_log(shard.token, Topic.POSITION, Extent("", 3, 5))
    assert kinds_and_markers(await shard.publish()) == ""
    await refill.note_log(shard.token, Topic.POSITION, Extent("x", 3, 6), NOW)
    assert kinds_and_markers(await shard.publish()) == "M"
    assert (await refill.logs_seen()).position == Extent("x", 3, 6)
    with pytest.raises(LeaseLost):
        await refill.note_log("nobody:1", Topic.JOURNAL, LOST)


def kinds_and_markers(entries: Sequence[bytes]) -> str:
    assert kinds_of(entries) == ""
    return "".join(entry[:1].decode() for entry in entries)


async def test_a_refill_lasts_until_the_long_lists_of_before_have_ended(shard: Shard) -> None:
    """Their pieces are in the log that was lost."""
    lists = RedisLists(shard.client, shard.namespace, 0, outbox_limit=1_000)
    await lists.keep("old", Step(1, "create", named=True), [once("a")], HOUR)
    for _ in range(10):
        await shard.publish()
        state = (await piece(shard)).state
    assert state == "ended"
    await lists.keep("new", Step(1, "create", named=True), [once("b")], HOUR)
    await lists.decide("old", 1, NOW)
    assert (await piece(shard)).state == "ended"
    await lists.apply("old", NOW)
    assert (await piece(shard)).state == "published"
