"""Runs are sent at once; their position, and everything else, follows in transactions."""

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.owner import idempotent_publisher
from scheduling_srv.app.owner.batch import Batch
from scheduling_srv.app.owner.emitter import Emitter
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.owner.idempotent_publisher import RUN_PAUSE_MS, IdempotentPublisher
from scheduling_srv.app.owner.publisher import MARKER_PAUSE_MS
from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.replies import Cursor, Taken
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import Diverged, PublishFailed
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Record, Topic
from scheduling_srv.formats.outbox_entries import QUEUED
from scheduling_srv.formats.position_record import Position
from tests.harness.virtual_time import VIRTUAL_TIME
from tests.store.shard import at_once, once


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000
LINEAGE = "content:server"
MARKER = b'M{"replay_from":"3","seq":"5","instance":"6","reset":"7","cleared":"8"}'


def queued(job_id: str = "a", kind: TriggerKind = TriggerKind.ONCE) -> bytes:
    fixed = QUEUED.pack(kind, 7, NOW, 1, 9, len(job_id), 0, 2, 1)
    return b"Q" + fixed[1:] + job_id.encode() + b"\x01t" + b"\x00"


def created(job_id: str = "a", letter: bytes = b"C") -> bytes:
    record = (at_once if letter == b"N" else once)(job_id, NOW).record
    return struct.pack("<cQH", letter, NOW, len(job_id)) + job_id.encode() + record


def group(size: int, *lists: tuple[int, int], source: bytes = b"") -> bytes:
    """The head of a group; `lists`: place behind the head of each list, and its length."""
    parts = [struct.pack("<IIQ", *each, 0) + source for each in lists]
    sections = [struct.pack("<cI", b"L", len(part)) + part for part in parts]
    return struct.pack("<cI", b"G", size) + b"".join(sections)


class Sent:
    """Runs that a test delivers."""

    def __init__(self, future: asyncio.Future[float], offset: int) -> None:
        self.future = future
        self.ends = {0: offset}

    async def wait(self) -> float:
        return await self.future


class World:
    """The outbox, Kafka, and the clocks."""

    def __init__(self, *entries: bytes, lineage: str = LINEAGE) -> None:
        self.entries = list(entries)
        self.trimmed = 0
        self.aheads: list[int] = []
        self.time = 0.0
        self.frozen_for = 0.0
        """Milliseconds that pass after entries were taken."""
        self.said: list[Any] = []
        """What Kafka was told, in order: keys of runs, positions of transactions."""
        self.published: list[list[Record]] = []
        self.deliveries: list[asyncio.Future[float]] = []
        self.confirms = True
        self.announcements = Announcements()
        world: Any = self
        self.publisher = IdempotentPublisher(
            publisher=world,
            announcer=Announcer(),
            announcements=self.announcements,
            clock=world,
            rules=ShardRules(),
            monotonic=lambda: self.time / 1000,
        )
        self.emitter = Emitter(
            shard=0,
            stager=world,
            outbox=world,
            publisher=self.publisher,
            refusals=world,
            hold=Hold(world, 10),
            known=KnownRuns(),
            clock=world,
            monotonic=lambda: self.time / 1000,
        )
        self.emitter.begin(Position(0, "i", lineage=lineage), LINEAGE)

    @property
    def woken(self) -> bool:
        """Whether the publish loop is to look."""
        return self.emitter._work.is_set()

    async def screen(self, token: str, lineage: str, taken: Taken) -> bool:
        return False

    async def offer(self, cursor: Cursor) -> None:
        """The stager takes a batch."""
        at = self.time
        self.emitter._add(Batch(at, cursor, await self.take("token", cursor, 0)))
        self.emitter._work.set()

    def now(self) -> int:
        return NOW

    @property
    def settled(self) -> bool:
        return self.emitter._is_settled()

    async def take(self, token: str, cursor: Cursor, now: int) -> Taken:
        published, lineage, ahead = cursor
        assert (token, lineage) == ("token", LINEAGE)
        self.entries = self.entries[published - self.trimmed :]
        self.trimmed = published
        self.aheads.append(ahead)
        self.time += self.frozen_for
        self.frozen_for = 0
        return Taken(published + ahead, self.entries[ahead:], len(self.entries))

    async def send(
        self, records: Iterable[Record], size: int, due: int
    ) -> tuple[Sequence[Record], "Sent"]:
        made = list(records)
        runs = [record for record in made if record.topic == Topic.JOBS]
        self.said += [dict(record.headers)["event-id"] for record in runs]
        future = asyncio.get_running_loop().create_future()
        self.deliveries.append(future)
        if self.confirms:
            future.set_result(0.001)
        rest = [record for record in made if record.topic != Topic.JOBS]
        return rest, Sent(future, len(self.said))

    async def publish(self, records: Iterable[Record], position: Position, due: int) -> None:
        self.published.append(list(records))
        self.said.append(position.number)

    def abandon(self) -> None:
        self.said.append("abandoned")

    async def run(self) -> int:
        self.emitter._work.clear()
        return await self.emitter.publish_once("token")

    async def settle(self, until: Callable[[], bool]) -> None:
        """Let the second loop work until something is true."""
        task = asyncio.create_task(self.emitter._follow())
        async with asyncio.timeout(5):
            while not until() and not task.done():  # noqa: ASYNC110 - of a loop that tells nobody
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def test_runs_go_first_and_the_rest_follows_with_the_position() -> None:
    world = World(queued("a"), created("b"), MARKER)
    assert await world.run() == 3
    assert world.said == [b"i-1"]
    await world.settle(lambda: world.publisher.position.number == 3)
    assert world.said == [b"i-1", 3, "abandoned"]
    assert [record.topic for record in world.published[0]] == [Topic.RESOURCES, Topic.JOURNAL]
    assert world.publisher.position == Position(
        3,
        "i",
        at=NOW,
        replay_from=3,
        seq=5,
        instance=6,
        reset=7,
        cleared=8,
        lineage=LINEAGE,
        runs={0: 1},
    )
    assert world.announcements.number == 3
    assert await world.run() == 0
    assert world.trimmed == 3


async def test_the_position_says_where_later_runs_are() -> None:
    """Of each partition that had a run, whichever transaction it was before."""
    world = World(queued("a"))
    world.emitter.begin(Position(0, "i", lineage=LINEAGE, runs={0: 0, 3: 8}), LINEAGE)
    await world.run()
    world.time += RUN_PAUSE_MS
    await world.settle(lambda: world.publisher.position.number == 1)
    assert world.publisher.position.runs == {0: 1, 3: 8}


async def test_what_the_stager_has_taken_is_sent_without_asking_again() -> None:
    world = World(queued("a"))
    await world.run()
    world.entries.append(queued("b"))
    cursor = world.publisher.cursor(1)
    assert cursor == Cursor(0, LINEAGE, 1)
    await world.offer(cursor)
    assert world.woken
    world.time += RUN_PAUSE_MS
    await world.settle(lambda: world.publisher.position.number == 1)
    assert await world.run() == 1
    assert world.said == [b"i-1", 1, "abandoned", b"i-2"]
    assert world.publisher.cursor(2) == Cursor(1, LINEAGE, 1)


async def test_what_was_taken_long_ago_is_not_sent_either_when_the_stager_took_it() -> None:
    """Somebody else may own the shard by now."""
    world = World(queued("a"))
    cursor = world.publisher.cursor(0)
    assert cursor
    world.frozen_for = ShardRules().lease
    await world.offer(cursor)
    assert await world.run() == 1
    assert world.said == []
    assert await world.run() == 1
    assert world.said == [b"i-1"]


async def test_what_does_not_follow_is_not_sent() -> None:
    """Whatever has gone wrong: recovery finds out where Kafka is."""
    world = World(queued("a"))
    cursor = world.publisher.cursor(0)
    assert cursor
    await world.run()
    with pytest.raises(Diverged):
        world.emitter._add(Batch(0, cursor, Taken(0, world.entries, 1)))
    assert world.said == [b"i-1"]


async def test_nothing_is_taken_for_it_while_it_may_not_send() -> None:
    """Before it has said whose runs they are, and while a run waits for its job's transaction."""
    assert World(lineage="").publisher.cursor(0) is None
    world = World(created("a"), queued("a"))
    await world.run()
    await world.run()
    assert world.publisher.cursor(2) is None


async def test_the_next_batch_does_not_wait_for_the_one_before() -> None:
    world = World(queued("a"))
    world.confirms = False
    await world.run()
    world.entries.append(queued("b"))
    await world.run()
    assert world.said == [b"i-1", b"i-2"]
    assert world.aheads == [0, 1]


async def test_no_position_before_the_runs_are_on_kafka() -> None:
    """And no call is answered."""
    world = World(queued("a"), created("b"))
    world.confirms = False
    waiting = asyncio.create_task(world.announcements.wait(Receipt(LINEAGE, 2)))
    await world.run()
    settling = asyncio.create_task(world.emitter._follow())
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.said == [b"i-1"]
    assert not waiting.done()
    world.deliveries[0].set_result(0.001)
    async with asyncio.timeout(5):
        await waiting
    assert world.said == [b"i-1", 2]
    settling.cancel()


async def test_kafka_is_told_first_in_which_store_runs_may_be_ahead() -> None:
    world = World(queued(), lineage="content:server before")
    await world.run()
    assert world.said == [0, b"i-1"]
    assert world.publisher.position.lineage == LINEAGE


@pytest.mark.parametrize(
    ("entries", "wait"),
    [
        ([queued()], RUN_PAUSE_MS),
        ([b"Xa"], RUN_PAUSE_MS),
        ([MARKER], MARKER_PAUSE_MS),
        ([queued(), MARKER, created("b")], 0),
        ([b"Da"], 0),
    ],
)
async def test_what_somebody_may_wait_for_follows_at_once(entries: list[bytes], wait: int) -> None:
    """Runs have been seen already: their position may lag behind them for a moment."""
    world = World(*entries)
    await world.run()
    assert world.publisher._due() == wait
    world.time += wait
    await world.settle(lambda: world.publisher.position.number == len(entries))
    assert len(entries) in world.said


@pytest.mark.parametrize("change", [created("a"), b"Da", created("a", b"N")])
async def test_a_run_waits_for_a_change_of_its_job_and_others_for_the_run(change: bytes) -> None:
    """Redis could still forget the change: then a call would have been half done."""
    world = World(queued("b"), change, queued("a"), queued("c"))
    assert await world.run() == 2
    assert await world.run() == 0
    assert world.said == [b"i-1"]
    assert not world.settled
    await world.settle(lambda: world.woken)
    assert await world.run() == 2
    assert world.said == [b"i-1", 2, "abandoned", b"i-3", b"i-4"]


async def test_a_now_job_is_its_run_and_does_not_wait() -> None:
    world = World(created("a", b"N"), queued("a", TriggerKind.NOW))
    assert await world.run() == 2
    assert world.said == [b"i-2"]


async def test_a_now_job_of_a_record_waits() -> None:
    """A Redis that forgets it gets the record again: that would be another run."""
    head = group(2, (1, 1), source=b"jobs:0")
    world = World(head, created("a", b"N"), MARKER, queued("a", TriggerKind.NOW))
    assert await world.run() == 3
    assert await world.run() == 0
    await world.settle(lambda: world.woken)
    assert await world.run() == 1
    assert world.said == [3, "abandoned", b"i-4"]


@pytest.mark.parametrize("other", [created("b", b"N"), created("b"), b"Db", b"Xb"])
async def test_a_now_job_of_a_list_waits_for_the_others(other: bytes) -> None:
    """Redis could still forget them: then a part of the list would have been applied."""
    world = World(group(2, (1, 2)), created("a", b"N"), other, queued("a", TriggerKind.NOW))
    assert await world.run() == 3
    assert await world.run() == 0
    await world.settle(lambda: world.woken)
    assert await world.run() == 1
    assert world.said == [3, "abandoned", b"i-4"]


async def test_a_now_job_of_a_list_that_goes_in_pieces_waits() -> None:
    """Its head names no list: a piece that Redis forgets is done again, with other runs."""
    world = World(group(2), created("a", b"N"), b"Xlist", queued("a", TriggerKind.NOW))
    assert await world.run() == 3
    assert await world.run() == 0


async def test_a_now_job_beside_the_list_of_another_call_does_not_wait() -> None:
    """Redis writes calls together that come together; each is kept or forgotten by itself."""
    jobs = [created("a", b"N"), created("b", b"N"), created("c")]
    run = queued("a", TriggerKind.NOW)
    world = World(group(3, (1, 1), (2, 2)), *jobs, run, queued("b", TriggerKind.NOW))
    assert await world.run() == 5
    assert world.said == [b"i-5"]


async def test_a_job_that_became_a_now_job_waits() -> None:
    world = World(b"Da", created("a", b"N"), queued("a", TriggerKind.NOW))
    assert await world.run() == 2
    assert world.said == []


async def test_it_is_never_too_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crash sends again is bounded; the position follows at once then."""
    monkeypatch.setattr(idempotent_publisher, "MOST_AHEAD_ENTRIES", 2)
    world = World(queued("a"), queued("b"))
    await world.run()
    world.entries.append(queued("c"))
    assert await world.run() == 0
    await world.settle(lambda: world.woken)
    assert await world.run() == 1
    assert world.said == [b"i-1", b"i-2", 2, "abandoned", b"i-3"]


async def test_who_was_frozen_asks_again_before_it_sends() -> None:
    """Somebody else may own the shard by now; the next call says so."""
    world = World(queued("b"), created("a"), queued("a"))
    world.frozen_for = 3_000
    assert await world.run() == 1
    assert world.said == []
    assert await world.run() == 2
    assert world.said == [b"i-1"]


async def test_a_run_that_is_not_delivered_ends_both_loops() -> None:
    """Recovery then begins with `begin`, and sends again all that has no position."""
    world = World(queued(), created("b"))
    world.confirms = False
    await world.run()
    world.deliveries[0].set_exception(PublishFailed("timed out"))
    with pytest.raises(PublishFailed):
        await world.settle(lambda: False)
    assert world.said == [b"i-1", "abandoned"]
    assert world.woken
    with pytest.raises(PublishFailed):
        await world.run()
    world.confirms = True
    world.emitter.begin(Position(0, "i", lineage=LINEAGE), LINEAGE)
    assert await world.run() == 2
    assert world.said == [b"i-1", "abandoned", b"i-1"]


async def test_whatever_ends_the_second_loop_ends_the_first() -> None:
    """Else an owner that leaves would wait for ever for what is owed."""
    world = World(queued(), created("b"))
    world.confirms = False
    await world.run()
    world.deliveries[0].set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await world.settle(lambda: False)
    assert world.woken
    with pytest.raises(ZeroDivisionError):
        await world.run()


async def test_it_is_settled_when_redis_knows_as_well() -> None:
    """An owner that stops leaves nothing that would be sent again, and nobody who waits."""
    world = World(queued())
    settled = [world.settled]
    await world.run()
    settled.append(world.settled)
    world.time += RUN_PAUSE_MS
    await world.settle(lambda: world.woken)
    settled.append(world.settled)
    await world.run()
    settled.append(world.settled)
    world.entries.append(MARKER)
    await world.run()
    settled.append(world.settled)
    assert settled == [True, False, False, True, True]


async def test_what_is_screened_is_taken_again() -> None:
    """Other entries stand in its place then, and nothing of it was sent."""
    world = World(queued("a"), queued("b"))
    seen: list[Taken] = []

    async def screen(token: str, lineage: str, taken: Taken) -> bool:
        assert (token, lineage) == ("token", LINEAGE)
        seen.append(taken)
        world.entries = [queued("a"), MARKER]
        return len(seen) == 1

    world.screen = screen  # type: ignore[method-assign]
    assert await world.run() == 1
    assert world.said == []
    assert await world.run() == 2
    assert world.said == [b"i-1"]
