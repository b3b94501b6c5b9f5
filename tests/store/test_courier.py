"""Parcels on their way between shards, in a real Valkey (docs/decisions/0004)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.app import deadline
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.budget import DELETED_IDS
from scheduling_srv.app.commands import coordinator as coordinating
from scheduling_srv.app.commands.coordinator import ShardCoordinator
from scheduling_srv.app.ports import Receipt, Refusal, WriteGroup, WriteMode
from scheduling_srv.app.replies import Parcel
from scheduling_srv.app.sharding import claims, sharded_store
from scheduling_srv.app.sharding import courier as module
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.errors import (
    Diverged,
    NotAnnounced,
    StaleSource,
    StoreFull,
    StoreNotReady,
)
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats import job_record
from scheduling_srv.formats.changes import Change
from scheduling_srv.formats.more import More
from tests.harness.names import Names
from tests.harness.waiting import PATIENCE_SECONDS
from tests.store.shard import HOUR, NOW, Shard, every, kinds_of, once
from tests.store.test_transfers import of, transfers
from tests.unit.test_changes import kind

SHARDS = 3


class Clock:
    def now(self) -> int:
        return NOW


class World:
    """Three shards whose outboxes are published at once."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards
        self.doors = [transfers(shard, number) for number, shard in enumerate(shards)]
        self.known = [Announcements() for _ in shards]
        self.store = self.store_over(self.known)
        self.courier, self.claims = self.store.courier, self.store.claims

    def store_over(self, known: Sequence[Announcements]) -> ShardedStore:
        no_lists: Any = None
        ports = [
            ShardPorts(shard.jobs, shard.jobs, door, known, no_lists)
            for shard, door, known in zip(self.shards, self.doors, known, strict=True)
        ]
        return ShardedStore(ports, Clock())

    async def publish(self) -> None:
        while True:
            for number, shard in enumerate(self.shards):
                with suppress(Diverged):  # it is being rebuilt
                    await shard.publish()
                    state = await shard.schedule.state()
                    self.known[number].published(state.lineage, state.trimmed)
            await asyncio.sleep(0.001)

    async def send(self, source: int, change: Change) -> Change:
        whole = Change(source, then=[change])
        assert await self.doors[source].commit(whole, NOW)
        return whole


@pytest.fixture
async def world(client: RedisClient, names: Names) -> AsyncIterator[World]:
    world = World([await of(client, names.namespace, number).open() for number in range(SHARDS)])
    task = asyncio.create_task(world.publish())
    yield world
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def put(target: int, name: str, *then: Change) -> Change:
    return Change(target, put=[once(name, NOW + HOUR)], then=then, places=[1])


async def test_a_parcel_waits_for_who_claims_its_job(world: World) -> None:
    """Found by review: a call that had asked the target first, and the sender when the parcel had
    come and was forgotten, believed that the job was nowhere. Then it lived twice."""
    whole = await world.send(2, put(1, "a"))
    assert (await world.doors[1].claim("call", ["a"], 600_000)).kinds == [-1]
    settling = asyncio.create_task(world.courier.settle_change(whole))
    done, _ = await asyncio.wait((settling,), timeout=0.2)
    assert not done
    assert (await world.doors[2].claim("call", ["a"], 600_000)).state == "moving"
    await world.doors[1].unclaim("call", ["a"])
    await asyncio.wait_for(settling, PATIENCE_SECONDS)
    async with world.claims.held(["a"]) as claim:
        assert claim.shards() == {"a": 1}


async def test_nobody_waits_for_what_others_send_meanwhile(world: World) -> None:
    """Found by review: each parcel that was seen at a target was followed, and so on."""
    stop = asyncio.Event()

    async def send_on() -> None:
        for turn in range(10_000):
            if stop.is_set():
                return
            source = turn % 2
            await world.send(source, put(1 - source, f"other {turn}"))
            await asyncio.sleep(0.002)

    others = asyncio.create_task(send_on())
    await asyncio.sleep(0.05)
    whole = await world.send(0, put(1, "a"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await world.courier.settle_change(whole)
    stop.set()
    await others
    await world.courier.settle_all()


async def test_all_that_follows_has_been_done(world: World) -> None:
    """Whoever delivered it."""
    for turn in range(5):
        whole = await world.send(2, put(1, f"b{turn}", put(0, f"a{turn}")))
        other = asyncio.create_task(world.courier.settle(2))
        await world.courier.settle_change(whole)
        assert f"a{turn}" in await world.shards[0].ids()
        await other


async def test_a_target_that_is_away_holds_up_nobody_else(world: World) -> None:
    await world.shards[0].schedule.begin_rebuild(world.shards[0].token)
    await world.send(2, put(0, "a"))
    await world.send(2, put(1, "b"))
    settling = asyncio.create_task(world.courier.settle(2))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await world.shards[1].ids() != ["b"]:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.001)
    done, _ = await asyncio.wait((settling,), timeout=0.3)
    assert not done
    settling.cancel()


async def test_a_receipt_of_a_store_that_is_no_more_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would ever come for it: the parcel would be on its way for good."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    whole = await world.send(2, put(1, "a"))
    wait, old = world.known[1].wait, [Receipt("before", 1)]

    async def forget(receipt: Receipt, floor: int = 0) -> None:
        await wait(old.pop() if old else receipt, floor)

    monkeypatch.setattr(world.known[1], "wait", forget)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await world.courier.settle_change(whole)
    assert await world.shards[1].ids() == ["a"]


async def test_a_reset_gives_up_before_its_caller_does(world: World) -> None:
    """Kafka is away."""
    silent = [Announcements() for _ in world.shards]
    store = world.store_over(silent)
    with deadline.within(0.2), pytest.raises(NotAnnounced):
        await store.reset([])


async def test_many_ids_are_claimed_and_deleted_in_pieces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls over the same ids, in opposite orders, both come to an end."""
    monkeypatch.setattr(claims, "CLAIMED_IDS", 2)
    monkeypatch.setattr(sharded_store, "DELETED_IDS", 5)
    names = [f"j{number}" for number in range(12)]
    for number, name in enumerate(names):
        await world.shards[number % SHARDS].create(once(name, NOW + HOUR))
    async with world.claims.held(names) as claim:
        assert claim.shards() == {name: n % SHARDS for n, name in enumerate(names)}
        assert (await world.doors[0].claim("other", [names[-1]], 1)).state == "claimed"
    assert (await world.doors[0].claim("other", [names[-1]], 1)).state == "ok"
    async with asyncio.timeout(PATIENCE_SECONDS):
        one, _ = await asyncio.gather(world.store.delete(names), world.store.delete(names[::-1]))
    assert {stored.shard for stored in one} <= set(range(SHARDS))
    assert [await shard.ids() for shard in world.shards] == [[]] * SHARDS


@pytest.mark.parametrize("call", range(3))
async def test_a_commit_finds_that_the_claims_of_any_call_are_gone(
    world: World, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    monkeypatch.setattr(claims, "CLAIMED_IDS", 2)
    names = [f"j{number}" for number in range(5)]
    shard, door = world.shards[0], world.doors[0]
    await shard.create(*[once(name, NOW + HOUR) for name in names])
    async with world.claims.held(names) as claim:
        await door.unclaim(claim.token, names[2 * call : 2 * call + 2])
        assert await door.commit(Change(0, names), NOW, claim.held()) is None
        assert await shard.ids() == names
    async with world.claims.held(names) as claim:
        assert await door.commit(Change(0, names), NOW, claim.held())
    assert await shard.ids() == []


async def test_a_record_deletes_many_jobs_of_its_shard_in_pieces(world: World) -> None:
    """Decided in one step: when it is read again, nothing happens."""
    names = [f"j{number}" for number in range(600)]
    await world.shards[0].create(*[once(name, NOW + HOUR) for name in names])
    source = world.shards[0].source(0)
    await world.store.delete_from(names, source)
    assert len(await world.shards[0].ids()) >= 600 - DELETED_IDS
    await world.courier.settle_all()
    assert await world.shards[0].ids() == []
    await world.shards[0].create(once("j599", NOW + HOUR))
    with pytest.raises(StaleSource):
        await world.store.delete_from(names, source)
    assert await world.shards[0].ids() == ["j599"]


# --- A parcel that moves while all shards are looked at ---


def before_look(world: World, shard: int, look: int, act: Callable[[], Awaitable[object]]) -> None:
    """Do something right before a shard is looked at for the `look`-th time."""
    parcels, left = world.doors[shard].parcels, [look]

    async def acting() -> Sequence[Parcel]:
        left[0] -= 1
        if left[0] == 0:
            await act()
        return await parcels()

    world.doors[shard].parcels = acting  # type: ignore[method-assign]


async def moving(world: World) -> None:
    """A job goes from shard 2 by way of 1 to 0. Each shard is looked at when it has just left."""
    other = world.store_over(world.known).courier
    await world.send(2, put(1, "b", put(0, "a")))
    before_look(world, 1, 2, lambda: other.settle(1))
    before_look(world, 2, 1, lambda: other.settle(2))


async def test_all_that_was_under_way_arrives_whoever_delivers_it(world: World) -> None:
    """Before, it could move from a shard not yet looked at to one that had been."""
    await moving(world)
    await world.courier.settle_all()
    assert [await shard.ids() for shard in world.shards] == [["a"], ["b"], []]


async def test_no_change_under_way_survives_a_delete_of_everything(world: World) -> None:
    await moving(world)
    await world.store.announced(await world.store.clear())
    await world.courier.settle_all()
    assert [await shard.ids() for shard in world.shards] == [[], [], []]


async def test_no_change_under_way_survives_a_reset(world: World) -> None:
    await moving(world)
    await world.store.announced([await world.store.reset([])])
    await world.courier.settle_all()
    assert [await shard.ids() for shard in world.shards] == [[], [], []]


@pytest.mark.parametrize("is_delivered", [True, False])
async def test_a_delete_of_everything_deletes_no_half_of_a_change(
    world: World, *, is_delivered: bool
) -> None:
    """Stored after the shards were looked at, and perhaps delivered by another replica."""
    other, cleared = world.store_over(world.known).courier, asyncio.Event()
    both = Change(2, put=[once("c", NOW + HOUR)], then=[put(1, "b")], places=[2])
    clear, clear_last = world.shards[1].jobs.clear, world.shards[2].jobs.clear

    async def clear_first(*args: Any, **named: Any) -> Receipt:
        receipt = await clear(*args, **named)
        cleared.set()
        return receipt

    async def store_and_clear(*args: Any, **named: Any) -> Receipt:
        if cleared.is_set():
            return await clear_last(*args, **named)
        await world.doors[2].commit(both, NOW)
        receipt = await clear_last(*args, **named)
        await cleared.wait()
        if is_delivered:
            await other.settle_change(both)
        return receipt

    world.shards[1].jobs.clear = clear_first  # type: ignore[method-assign]
    world.shards[2].jobs.clear = store_and_clear  # type: ignore[method-assign]
    await world.store.announced(await world.store.clear())
    await world.courier.settle_all()
    assert [await shard.ids() for shard in world.shards] == [[], [], []]


# --- A Redis that was started again, and may have lost writes ---


async def restart(shard: Shard) -> None:
    """As if the store were another life than the one that its owner has compared with Kafka."""
    await shard.raw("HSET", "meta", "compared", "first:before")


async def compare(shard: Shard) -> None:
    await shard.schedule.note_compared(shard.token, shard.lineage)


async def test_a_parcel_that_redis_has_lost_is_not_believed_to_be_delivered(world: World) -> None:
    """A campaign found it: the call was answered four seconds before its job was announced."""
    sender = world.shards[2]
    whole = Change(2, then=[put(1, "a")])
    receipt = await world.doors[2].commit(whole, NOW)
    assert receipt
    await restart(sender)
    waiting = asyncio.create_task(world.store.announced([Stored(2, receipt, 0, whole)]))
    done, _ = await asyncio.wait((waiting,), timeout=0.3)
    assert not done
    assert await world.shards[1].ids() == []
    await compare(sender)
    await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert await world.shards[1].ids() == ["a"]


@pytest.mark.parametrize("shard", range(SHARDS))
async def test_no_id_is_decided_about_while_a_shard_may_lack_jobs(world: World, shard: int) -> None:
    """Found by review: a Create made a job that another shard then got back from Kafka."""
    await restart(world.shards[shard])
    with pytest.raises(StoreNotReady):
        await world.store.write(created(0))
    with pytest.raises(StoreNotReady):  # a campaign found it: the job ran after the answer
        await world.store.delete(["a"])
    await compare(world.shards[shard])
    assert await world.store.delete(["a"]) == []
    assert isinstance(await world.store.write(created(0)), Stored)


async def test_who_compared_an_earlier_life_says_nothing(world: World) -> None:
    """Redis was started once more meanwhile."""
    shard = world.shards[0]
    await restart(shard)
    await shard.schedule.note_compared(shard.token, "first:before")
    assert not (await shard.schedule.state()).compared
    await compare(shard)
    assert (await shard.schedule.state()).compared


async def test_a_store_of_an_earlier_version_is_believed(world: World) -> None:
    """It has noted nothing."""
    shard = world.shards[0]
    await shard.raw("HDEL", "meta", "compared")
    assert (await shard.schedule.state()).compared


def losing(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> list[Receipt]:
    """Its next look at the end of its outbox is one of another life. Empty when that was asked."""
    append, lost = shard.jobs.append, [Receipt("another", 0)]

    async def forgetful(*args: Any, **named: Any) -> Receipt:
        receipt = await append(*args, **named)
        return lost.pop() if lost else receipt

    monkeypatch.setattr(shard.jobs, "append", forgetful)
    return lost


async def test_what_a_target_did_and_then_lost_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another courier had delivered it; Redis went back between the two looks of this one."""
    whole = await world.send(2, put(1, "a"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (sent := await world.doors[2].parcels())[0].announced:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await world.courier._apply(2, 1, [(sent[0], whole.then[0])])
    lost = losing(world.shards[1], monkeypatch)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await world.courier.settle_change(whole)
    assert not lost
    assert await world.shards[1].ids() == ["a"]


async def test_a_removal_that_redis_has_lost_is_done_again(
    silent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another call had removed it, and Kafka did not know: the job may live again."""
    await leave(silent)
    lost = losing(silent.shards[0], monkeypatch)
    (stored,) = await silent.store.delete(["a"])
    assert not lost
    assert stored.receipt.lineage == silent.shards[0].lineage


async def test_no_fault_says_that_a_decided_change_was_not_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may send again what was not done."""
    whole = Change(2, then=[put(1, "a")])
    receipt = await world.doors[2].commit(whole, NOW)
    assert receipt

    async def full(*_args: Any) -> bool:
        raise StoreFull("Redis has no room left.")

    monkeypatch.setattr(world.courier, "settle", full)
    with pytest.raises(NotAnnounced, match=r"no room left\. The change is stored"):
        await world.store.announced([Stored(2, receipt, 0, whole)])


# --- Ids that leave a shard (docs/decisions/0026) ---


@pytest.fixture
async def silent(client: RedisClient, names: Names) -> World:
    """Nothing is published unless the test says so."""
    return World([await of(client, names.namespace, number).open() for number in range(SHARDS)])


def created(shard: int) -> WriteGroup:
    job = once("a", NOW + HOUR, type=kind(shard))
    return WriteGroup(WriteMode.CREATE, [job], named=["a"])


async def leave(world: World) -> None:
    """The job is gone from shard 0, and Kafka does not know it."""
    await world.shards[0].create(once("a", NOW + HOUR))
    await world.shards[0].publish()
    await world.shards[0].delete("a")


async def settled(world: World, changes: Sequence[Stored]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        task = group.create_task(world.publish())
        await world.store.announced(changes)
        task.cancel()


async def test_a_creation_follows_the_removal_in_another_shard(silent: World) -> None:
    await leave(silent)
    stored = await silent.store.write(created(2))
    assert isinstance(stored, Stored)
    assert stored.shard == 0
    assert await silent.shards[2].ids() == []
    assert kinds_of(await silent.shards[0].entries()) == "DP"
    await settled(silent, [stored])
    assert [await shard.ids() for shard in silent.shards] == [[], [], ["a"]]


async def test_a_creation_in_the_same_shard_needs_no_parcel(silent: World) -> None:
    await leave(silent)
    stored = await silent.store.write(created(0))
    assert isinstance(stored, Stored)
    assert stored.change is None
    assert kinds_of(await silent.shards[0].entries()) == "DC"


async def test_a_creation_behind_a_published_removal_needs_no_parcel(silent: World) -> None:
    await leave(silent)
    await silent.shards[0].publish()
    stored = await silent.store.write(created(2))
    assert isinstance(stored, Stored)
    assert (stored.shard, stored.change) == (2, None)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_record_creates_a_job_where_it_is_decided_by_way_of_the_other_shard(
    silent: World, is_lost: bool
) -> None:
    """So it lives once, even if Redis loses the removal after it was decided."""
    await leave(silent)
    source = silent.shards[2].source(0)
    await silent.store.write_from([created(2)], source, at=2)
    assert await silent.shards[2].ids() == []
    await silent.shards[2].publish()
    if is_lost:
        await silent.shards[0].create(once("a", NOW + HOUR))
    task = asyncio.create_task(silent.publish())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await silent.shards[2].ids():
            await silent.courier.settle_all()
            await asyncio.sleep(0.001)
    task.cancel()
    assert [await shard.ids() for shard in silent.shards] == [[], [], ["a"]]


async def test_a_delete_waits_for_the_shard_that_an_id_leaves(silent: World) -> None:
    """Another call has deleted it, and Kafka does not know it. Other outboxes do not matter."""
    await leave(silent)
    (stored,) = await silent.store.delete(["a", "nobody"])
    assert (stored.shard, stored.receipt.number) == (0, await silent.shards[0].tail())
    await settled(silent, [stored])
    assert await silent.store.delete(["a", "nobody"]) == []


async def test_a_restore_gives_up_when_kafka_does_not_take_a_removal(
    silent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinating, "LEAVING_SECONDS", 0.15)
    await leave(silent)
    restores: Any = [shard.restores for shard in silent.shards]
    with pytest.raises(NotAnnounced, match="Kafka does not answer"):
        async with ShardCoordinator(2, restores, silent.claims).claimed(created(2).jobs):
            pass
    async with silent.claims.held(["a"]):
        pass  # it has given its claim back


async def test_a_restore_waits_for_a_removal_in_another_shard(silent: World) -> None:
    await leave(silent)
    restores: Any = [shard.restores for shard in silent.shards]
    coordinator = ShardCoordinator(2, restores, silent.claims)
    jobs = created(2).jobs

    async def targets() -> Sequence[NewJob]:
        async with coordinator.claimed(jobs) as (here, _):
            return here

    waiting = asyncio.create_task(targets())
    done, _ = await asyncio.wait((waiting,), timeout=0.3)
    assert not done
    await silent.shards[0].publish()
    assert await asyncio.wait_for(waiting, PATIENCE_SECONDS) == jobs


async def test_a_stale_revision_is_refused_wherever_the_job_lives(world: World) -> None:
    """Also if the Update moves the job to another shard."""
    rules = Properties(max_runs=5)
    first = every("a", HOUR, type=kind(0), properties=rules)
    assert isinstance(await world.store.write(group(WriteMode.CREATE, first)), Stored)
    for home, revision in ((0, 1), (1, 2)):
        stale = every("a", HOUR, type=kind(2), properties=rules, revision=revision + 1)
        refusal = await world.store.write(group(WriteMode.UPDATE, stale))
        assert refusal == Refusal("stale", 0)
        new = every("a", HOUR, type=kind(home + 1), properties=rules, revision=revision)
        stored = await world.store.write(group(WriteMode.UPDATE, new))
        assert isinstance(stored, Stored)
        await world.store.announced([stored])
    (found,) = await world.shards[2].jobs.get(["a"])
    assert found
    assert job_record.properties_of(found.record) == More(3, NOW, rules)


async def test_another_job_with_the_same_revision_is_refused_as_well(world: World) -> None:
    old = every("a", HOUR, type=kind(0), properties=Properties(max_runs=5))
    assert isinstance(await world.store.write(group(WriteMode.CREATE, old)), Stored)
    (read,) = await world.store.get(["a"])
    assert read
    await world.store.announced(await world.store.delete(["a"]))
    other = every("a", HOUR, type=kind(1), properties=Properties(max_runs=5))
    assert isinstance(await world.store.write(group(WriteMode.CREATE, other)), Stored)
    changed = replace(group(WriteMode.UPDATE, old), seq=job_record.seq(read.record))
    assert await world.store.write(changed) == Refusal("stale", 0)


async def test_a_limited_caller_deletes_its_own_jobs_in_any_shard(world: World) -> None:
    jobs = [every(f"{n}{c}", HOUR, type=kind(n), creator=c) for n in range(3) for c in "xy"]
    assert isinstance(await world.store.write(group(WriteMode.CREATE, *jobs)), Stored)
    within = Limits(types=frozenset({kind(0), kind(1)}), creators=frozenset("x"))
    ids = [job.id for job in jobs]
    await world.store.announced(await world.store.delete([*ids, "missing"], within))
    found = await world.store.get(ids)
    assert [job.id.decode() for job in found if job] == ["0y", "1y", "2x", "2y"]


async def test_the_id_of_a_finished_job_may_be_taken_in_any_shard(world: World) -> None:
    rules = Properties(max_runs=1)
    old = every("a", HOUR, NOW, type=kind(0), attempts=3, properties=rules)
    stored = await world.store.write(group(WriteMode.CREATE, old))
    assert isinstance(stored, Stored)
    shard = world.shards[0]
    assert (await shard.schedule.stage(shard.token, NOW, 500)).entries > 0
    new = once("a", NOW + HOUR, type=kind(1), created=NOW + 1)
    taken = await world.store.write(group(WriteMode.CREATE, new))
    assert isinstance(taken, Stored)
    await world.store.announced([taken])
    (found,) = await world.shards[1].jobs.get(["a"])
    assert found
    assert job_record.created_at(found.record) == NOW + 1
    assert await world.shards[0].raw("EXISTS", "jobs") == 0


def group(mode: WriteMode, *jobs: NewJob) -> WriteGroup:
    return WriteGroup(mode, jobs, named=[job.id for job in jobs])
