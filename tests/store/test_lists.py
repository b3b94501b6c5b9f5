"""Long lists are applied in pieces, all or nothing, whatever crashes (docs/decisions/0010)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.adapters.redis.intervals import RedisIntervals
from scheduling_srv.adapters.redis.lists import RedisLists
from scheduling_srv.app import lists as app
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.lists import Lists
from scheduling_srv.app.ports import Receipt, Refusal, WriteGroup, WriteMode
from scheduling_srv.app.recovery.rebuild import Rebuild
from scheduling_srv.app.replies import Piece
from scheduling_srv.app.requests.jobs import Jobs
from scheduling_srv.app.sharding.sharded_store import Stored
from scheduling_srv.domain.errors import Contended, StaleSource, StoreUnavailable
from scheduling_srv.domain.intervals import Farewell, Gone
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.job_record import seq
from tests.store.kafka_log import KafkaLog
from tests.store.shard import HOUR, NOW, Shard, at_once, every, ids_of, kinds_of, once, one_shard

PIECE = 3


class Clock:
    def now(self) -> int:
        return NOW


class Spy(RedisLists):
    """Notes how much each call does; dies before the call with the number `dies_at`."""

    def __init__(self, shard: Shard) -> None:
        super().__init__(shard.client, shard.namespace, 0, outbox_limit=10_000)
        self.calls: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.dies_at = 1_000_000

    def _note(self, name: str) -> None:
        if len(self.calls) >= self.dies_at:
            raise StoreUnavailable("the process has died")
        self.calls.append(name)

    async def keep(
        self, token: str, piece: Piece, jobs: Sequence[NewJob], lasts: int
    ) -> Receipt | Refusal:
        self._note("keep")
        self.sizes.append((len(jobs), sum(len(job.record) for job in jobs)))
        return await super().keep(token, piece, jobs, lasts)

    async def decide(self, *args: Any) -> Receipt | None:
        self._note("decide")
        return await super().decide(*args)

    async def apply(self, token: str, now: int) -> tuple[Receipt, int] | None:
        self._note("apply")
        return await super().apply(token, now)

    async def drop(self, token: str, *, own: bool) -> str:
        self._note("drop")
        return await super().drop(token, own=own)


class World:
    """A shard, and one replica's way to its lists."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.spy = Spy(shard)
        self.announcements = Announcements()
        self.announcements.published(shard.lineage, 1_000_000)  # Kafka is never awaited
        self.lists = Lists(self.spy, shard.jobs, self.announcements, Clock())
        self.store = one_shard(
            shard.jobs, Clock(), self.announcements, lists=self.lists, wait=False
        )
        self.jobs = Jobs(self.store, Clock(), Rules())

    async def write(self, mode: WriteMode, *jobs: NewJob) -> Refusal | None:
        return (await self.lists.write(mode, jobs))[1]

    async def drop_what_is_old(self) -> None:
        """As the owner does when the time of open lists is over."""
        for token in await self.spy.tokens():
            await self.shard.raw("HSET", f"list:{token}", "until", 0)
        await self.lists.settle()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "PIECE_JOBS", PIECE)


@pytest.fixture
def world(shard: Shard) -> World:
    return World(shard)


def many(count: int, *, first: int = 0, **more: Any) -> list[NewJob]:
    return [once(f"j{number:03}", NOW + HOUR, **more) for number in range(first, first + count)]


def names(jobs: Sequence[NewJob]) -> list[str]:
    return [job.id for job in jobs]


def announced(entries: Sequence[bytes]) -> str:
    """Letters of what consumers of jobs.resource see."""
    return "".join(kind for kind in kinds_of(entries) if kind in "CD")


async def test_a_long_list_is_created_in_pieces_in_its_order(world: World, shard: Shard) -> None:
    jobs = many(10)
    assert await world.write(WriteMode.CREATE, *jobs) is None
    assert await shard.ids() == names(jobs)
    assert world.spy.calls == ["keep"] * 4 + ["decide"] + ["apply"] * 4
    assert [count for count, _ in world.spy.sizes] == [3, 3, 3, 1]
    entries = await shard.entries()
    assert announced(entries) == "C" * 10
    await shard.publish()
    assert not {"lists", "moving", "outbox"} & set(await shard.keys())


async def test_bytes_are_counted_with_every_job(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(app, "PIECE_JOBS", 250)
    world.lists.piece_bytes = 1_000
    jobs = [
        *many(8, payload=b"x" * 300),
        once("big", NOW + HOUR, payload=b"x" * 5_000),
        *many(2, first=20),
    ]
    assert await world.write(WriteMode.CREATE, *jobs) is None
    assert all(count == 1 or size <= 1_000 for count, size in world.spy.sizes)
    assert sum(count for count, _ in world.spy.sizes) == len(jobs)
    assert len(world.spy.sizes) <= 6


@pytest.mark.parametrize(
    ("mode", "refusal"),
    [(WriteMode.CREATE, Refusal("exists", 7)), (WriteMode.UPDATE, Refusal("missing", 0))],
)
async def test_a_refused_list_leaves_nothing(
    world: World, shard: Shard, mode: WriteMode, refusal: Refusal
) -> None:
    await shard.create(once("j007", NOW + HOUR))
    log = KafkaLog(shard.incarnation, NOW)
    assert await world.write(mode, *many(10)) == refusal
    assert await shard.ids() == ["j007"]
    entries = await shard.publish()
    log.publish(entries, NOW)
    assert announced(entries) == "C"  # of the job that was there
    living = {record.key for record in log.kept if record.value is not None}
    living -= {record.key for record in log.kept if record.value is None}
    assert living == {b"j007"}
    assert not {"lists", "moving"} & set(await shard.keys())


async def test_an_update_replaces_all_and_says_so(world: World, shard: Shard) -> None:
    await shard.create(*many(7))
    await shard.entries()
    assert await world.write(WriteMode.UPDATE, *many(7, creator="new")) is None
    assert announced(await shard.entries()) == "DC" * 7
    assert await shard.ids() == names(many(7))
    assert (await shard.jobs.page("new", descending=False, cursor="", limit=9)).total == 7


async def test_what_is_replaced_counts_as_well(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes may take out megabytes: these are read in that call."""
    await shard.create(*many(9, payload=b"x" * 900_000))
    small = many(9)
    (refusal,) = (await shard.write(WriteMode.UPDATE, *small)).refusals
    assert refusal == Refusal("large", 0)
    monkeypatch.setattr(app, "PIECE_JOBS", 9)
    assert isinstance(await world.store.write(WriteGroup(WriteMode.UPDATE, small)), Stored)
    # Each try that was too large is made again with halves.
    assert [count for count, _ in world.spy.sizes] == [9, 4, 5, 2, 3]
    assert await shard.ids() == names(small)


async def test_what_others_replace_in_a_call_costs_single_jobs_nothing(
    world: World, shard: Shard
) -> None:
    """They went as long lists: without their unique key, request and creation number."""
    key = Properties(unique_key="k")
    create, update = WriteMode.CREATE, WriteMode.UPDATE
    await shard.create(*many(9, payload=b"x" * 500_000), once("a"), once("b", properties=key))
    (read,) = await world.store.get(["a"])
    assert read
    number = seq(read.record)
    groups = [
        WriteGroup(update, many(9), named=names(many(9))),
        WriteGroup(create, [once("c", properties=key)], named=["c"], has_keys=True),
        WriteGroup(create, [at_once("d")], named=["d"], request="r"),
        WriteGroup(update, [once("a")], named=["a"], seq=number + 1),
        WriteGroup(update, [once("a", creator="me")], named=["a"], seq=number),
    ]
    outcomes = await asyncio.gather(*map(world.store.write, groups))
    assert [isinstance(each, Stored) for each in outcomes] == [True, False, True, False, True]
    assert (outcomes[1], outcomes[3]) == (Refusal("unique", 0), Refusal("stale", 0))
    assert sum(count for count, _ in world.spy.sizes) == 9, "only the list goes in pieces"
    again = WriteGroup(create, [at_once("e")], named=["e"], request="r")
    assert await world.store.write(again) == Refusal("known", 0)


async def test_calls_wait_for_a_list_that_changes_their_jobs(world: World, shard: Shard) -> None:
    await shard.create(*many(6))
    token = "t"
    kind = Piece(1, WriteMode.UPDATE, named=True)
    assert isinstance(await world.spy.keep(token, kind, many(3), 60_000), Receipt)
    (refusal,) = (await shard.write(WriteMode.UPDATE, *many(6)[::-1])).refusals
    assert refusal == Refusal("moving", 3)
    with pytest.raises(Contended):
        await shard.jobs.delete(["j005", "j002"], NOW)
    assert await world.spy.keep("u", kind, many(4)[::-1], 60_000) == Refusal("moving", 1)
    await shard.raw("HSET", "restores", "1", "{}")
    with pytest.raises(Contended):
        await shard.put_back(many(1), [], 1_000)
    with pytest.raises(Contended):
        await shard.put_back([], ["j001"], 1_000)
    assert await shard.put_back(many(1, first=4), [], 1_000)
    await shard.raw("DEL", "restores")
    # Others are not concerned, and a decision lets these go on.
    await shard.delete("j005")
    assert await world.spy.decide(token, 1, NOW)
    deleting = asyncio.create_task(world.jobs.delete(["j002"]))
    await deleting
    assert await shard.ids() == ["j003", "j004", "j000", "j001"]


async def test_a_call_gives_up_when_a_list_is_not_decided(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling_srv.app.sharding.shard_writer.PATIENCE_SECONDS", 0.05)
    await world.spy.keep("t", Piece(1, WriteMode.CREATE, named=True), many(3), 60_000)
    with pytest.raises(Contended, match="Another call changes a job of this id"):
        await world.jobs.delete(["j001"])
    await world.drop_what_is_old()
    assert not {"lists", "moving"} & set(await shard.keys())


@pytest.mark.parametrize("how", ["clear", "reset"])
@pytest.mark.parametrize("applied", [0, 1])
async def test_a_clear_makes_what_was_decided_void(
    world: World, shard: Shard, how: str, applied: int
) -> None:
    """All of it, but for `now` jobs, which only a reset takes."""
    jobs = [*many(4), at_once("now"), *many(1, first=9)]
    for number in (1, 2):
        piece = jobs[PIECE * (number - 1) : PIECE * number]
        await world.spy.keep("t", Piece(number, WriteMode.CREATE, named=True), piece, 60_000)
    await world.spy.decide("t", 2, NOW)
    for _ in range(applied):
        await world.spy.apply("t", NOW)
    await getattr(shard, how)()
    await world.lists.settle()
    assert await shard.ids() == []
    assert ids_of(await shard.drain(NOW + 2 * HOUR)) == (["now"] if how == "clear" else [])
    assert await shard.create(*many(4)) is not None  # their ids are free again


async def test_a_clear_before_the_decision_begins_the_list_anew(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of what the clear has taken is refused."""
    await shard.create(*many(5))
    keep = world.spy.keep

    async def cleared_between(*args: Any) -> Receipt | Refusal:
        kept = await keep(*args)
        if world.spy.calls == ["keep", "keep"]:
            await shard.clear()
        return kept

    monkeypatch.setattr(world.spy, "keep", cleared_between)
    assert await world.write(WriteMode.UPDATE, *many(5)) == Refusal("missing", 0)
    assert await shard.ids() == []


async def test_a_list_from_a_record_moves_its_position_with_the_decision(
    world: World, shard: Shard
) -> None:
    source = shard.source(0)
    jobs = many(7)
    written = await world.store.write_from([WriteGroup(WriteMode.CREATE, many(1))], source)
    assert written.refusals == [None]
    source = shard.source(1)
    assert (await world.lists.write(WriteMode.UPSERT, jobs, source))[1] is None
    assert await shard.position() == 2
    with pytest.raises(StaleSource):
        await world.lists.write(WriteMode.UPSERT, jobs, source._replace(stored=1))
    await world.lists.settle()
    assert await shard.ids() == names(jobs)
    assert not {"lists", "moving"} & set(await shard.keys())


async def test_a_long_delete_from_a_record_is_one_step(
    world: World, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling_srv.app.sharding.shard_writer.DELETED_IDS", 4)
    await shard.create(*many(9))
    await world.store.delete_from([*names(many(8)), "ghost"], shard.source(0))
    assert await shard.position() == 1
    await world.lists.settle()
    assert await shard.ids() == ["j008"]
    assert announced(await shard.entries()) == "C" * 9 + "D" * 8
    known = await RedisIntervals(shard.client, shard.namespace, 0).intervals("j003", "t")
    assert known.gone == [Gone(NOW, 4, Farewell.DELETED)]


async def test_a_delete_takes_out_no_more_than_one_call_may_read(
    world: World, shard: Shard
) -> None:
    await shard.create(*many(9, payload=b"x" * 900_000))
    _, done = await shard.jobs.delete(names(many(9)), NOW)
    assert done == 4
    assert await shard.jobs.delete(names(many(9))[4:], NOW, shard.source(0)) == (Receipt("", 0), 0)
    assert await shard.position() == 0
    await world.store.delete_from(names(many(9)), shard.source(0))
    await world.lists.settle()
    assert await shard.ids() == []


# --- Crashes ------------------------------------------------------------------------------------


async def rebuilt(shard: Shard, log: KafkaLog) -> Shard:
    """The shard as it is rebuilt from what Kafka has."""
    rebuild = Rebuild(
        shard.schedule,
        log,
        jobs_topic="jobs",
        clock=Clock(),
        memory_bytes=2_000,  # pieces come in any order
    )
    position, shard.lineage = await rebuild.run(shard.token, log.position)
    shard.incarnation = position.incarnation
    log.position = position
    shard.seen = position.number
    return shard


CALLS = 9
"""Of a list of four pieces."""


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("dies_at", range(CALLS + 1))
@pytest.mark.parametrize("mode", [WriteMode.CREATE, WriteMode.UPDATE])
async def test_all_or_nothing_wherever_the_caller_dies(
    shard: Shard, mode: WriteMode, dies_at: int, lost: bool
) -> None:
    """And if Redis is lost as well, with all or with some of it on Kafka."""
    world, log = World(shard), KafkaLog(shard.incarnation, NOW)
    old, new = many(10, creator="old"), many(10, creator="new")
    await shard.create(*(old if mode is WriteMode.UPDATE else [once("other", NOW + HOUR)]))
    log.publish(await shard.publish(), NOW)
    world.spy.dies_at = dies_at
    if dies_at < CALLS:
        with pytest.raises(StoreUnavailable):
            await world.write(mode, *new)
    else:
        await world.write(mode, *new)
    entries = await shard.publish()
    cuts = group_ends(entries) if lost else [len(entries)]
    for cut in cuts:
        published = log.copy()
        published.publish(entries[:cut], NOW)
        if lost:
            shard = await rebuilt(shard, published)
        await World(shard).drop_what_is_old()
        found = (await shard.jobs.page("new", descending=False, cursor="", limit=99)).jobs
        decided = any(is_decision(entry) for entry in entries[:cut])
        assert [job.id.decode() for job in found] == (names(new) if decided else [])
        total = await shard.ids()
        assert len(total) == (10 if mode is WriteMode.UPDATE else 1 + len(found))
        published.publish(await shard.publish(), NOW)
        assert not {"lists", "moving"} & set(await shard.keys())
        living = {record.key: record.value for record in published.kept}
        left = {key.decode() for key, value in living.items() if key and value is not None}
        assert left == set(total)


def is_decision(entry: bytes) -> bool:
    return entry[:1] == b"L" and b"\0list\0" in entry and entry[3:].split(b"\0")[3][:1] == b"0"


def group_ends(entries: Sequence[bytes]) -> list[int]:
    """Where a transaction may end."""
    ends, at = [0], 0
    while at < len(entries):
        size = int.from_bytes(entries[at][1:5], "little") if entries[at][:1] == b"G" else 0
        at += 1 + size
        ends.append(at)
    return ends


async def test_pieces_of_two_callers_do_not_mix(world: World, shard: Shard) -> None:
    """Lists over the same ids end one after the other; with others they go on at once."""
    outcomes = await asyncio.gather(
        world.write(WriteMode.CREATE, *many(9)),
        world.write(WriteMode.CREATE, *many(9)[::-1]),
        world.write(WriteMode.CREATE, *many(9, first=20)),
    )
    assert sorted(outcome is None for outcome in outcomes) == [False, True, True]
    assert len(await shard.ids()) == 18
    assert not {"lists", "moving"} & set(await shard.keys())


async def test_recurring_jobs_of_a_list_run(world: World, shard: Shard) -> None:
    jobs = [every(f"e{number}", 1_000) for number in range(5)]
    await world.write(WriteMode.CREATE, *jobs)
    assert ids_of(await shard.drain(NOW + 1_000)) == names(jobs)


async def test_a_list_takes_the_id_of_a_finished_job(world: World, shard: Shard) -> None:
    """Whose retries go, as it is not there any more."""
    finite = Properties(max_runs=1)
    await shard.create(every("a", HOUR, NOW, attempts=2, delay=HOUR, properties=finite))
    (run,) = await shard.stage(NOW)
    await shard.fail(run)
    assert await world.write(WriteMode.CREATE, *many(3), once("a", NOW + 9 * HOUR)) is None
    assert ids_of(await shard.drain(NOW + 8 * HOUR)) == names(many(3))
    assert await shard.raw("EXISTS", "retries") == 0
