"""The loop that empties the outbox: one transaction a batch, markers may wait."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.owner.batch import Batch
from scheduling_srv.app.owner.emitter import Emitter
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.owner.publisher import MARKER_PAUSE_MS, MOST_MARKERS, OutboxPublisher
from scheduling_srv.app.replies import Cursor, Taken
from scheduling_srv.domain.errors import Diverged, LeaseLost, PublishFailed
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Record, Topic
from scheduling_srv.formats.outbox_entries import event_entry
from scheduling_srv.formats.position_record import Position

EVENT = event_entry(Topic.COMMANDS, b"key", b"value")


def marker(replay_from: int = 3, **inputs: int) -> bytes:
    fields: dict[str, Any] = {
        "replay_from": str(replay_from),
        "seq": "5",
        "instance": "6",
        "reset": "7",
        "cleared": "8",
    }
    if inputs:
        fields["inputs"] = {name: str(at) for name, at in inputs.items()}
    return b"M" + json.dumps(fields).encode()


class World:
    """The outbox, Kafka and the clock."""

    def __init__(self, *entries: bytes) -> None:
        self.entries = list(entries)
        self.trimmed = 0
        self.sent: list[tuple[list[Record], Position]] = []
        self.fault: Exception | None = None
        self.time = MARKER_PAUSE_MS
        self.announcements = Announcements()
        world: Any = self
        self.publisher = OutboxPublisher(
            publisher=world,
            announcer=Announcer(),
            announcements=self.announcements,
            clock=world,
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
        )
        self.emitter.begin(Position(0, "i"), "lineage")

    def offer(self, after: int, entries: list[bytes], waiting: int) -> None:
        """The stager has taken it."""
        self.emitter._add(Batch(0, Cursor(after, "lineage"), Taken(after, entries, waiting)))

    @property
    def in_hand(self) -> int:
        return self.emitter._hand.entries

    async def screen(self, token: str, lineage: str, taken: Taken) -> bool:
        return False

    def now(self) -> int:
        return self.time

    async def take(self, token: str, cursor: Cursor, now: int) -> Taken:
        published, lineage, ahead = cursor
        assert lineage == "lineage"
        self.entries = self.entries[published - self.trimmed :]
        self.trimmed = published
        return Taken(published + ahead, self.entries[ahead : ahead + 2000], len(self.entries))

    async def publish(self, records: Iterable[Record], position: Position, due: int) -> None:
        if self.fault:
            raise self.fault
        self.sent.append((list(records), position))


async def test_a_batch_is_one_transaction_with_its_position() -> None:
    world = World(EVENT, EVENT, marker(t=9), EVENT)
    assert await world.emitter.publish_once("token") == 4
    ((records, position),) = world.sent
    assert [record.key for record in records] == [b"key"] * 3
    assert position == Position(
        4,
        "i",
        at=MARKER_PAUSE_MS,
        replay_from=3,
        seq=5,
        instance=6,
        reset=7,
        cleared=8,
        inputs={"t": 9},
    )
    assert world.announcements.number == 4
    assert await world.emitter.publish_once("token") == 0
    assert world.trimmed == 4


async def test_what_a_marker_said_holds_until_the_next() -> None:
    world = World(marker(t=9))
    await world.emitter.publish_once("token")
    world.entries.append(EVENT)
    await world.emitter.publish_once("token")
    world.entries.append(marker(u=1))
    world.entries.append(EVENT)
    await world.emitter.publish_once("token")
    assert [position.number for _, position in world.sent] == [1, 2, 4]
    assert [dict(position.inputs) for _, position in world.sent] == [
        {"t": 9},
        {"t": 9},
        {"t": 9, "u": 1},
    ]


async def test_markers_alone_may_wait() -> None:
    """They announce nothing to anybody; after a while they go as well."""
    world = World(EVENT)
    await world.emitter.publish_once("token")
    world.entries += [marker()] * 3
    world.time += MARKER_PAUSE_MS - 10
    assert await world.emitter.publish_once("token") == 0
    world.time += 10
    assert await world.emitter.publish_once("token") == 3


async def test_markers_go_with_whatever_comes() -> None:
    world = World(EVENT)
    await world.emitter.publish_once("token")
    world.entries += [marker(), EVENT]
    assert await world.emitter.publish_once("token") == 2


async def test_too_many_markers_do_not_wait() -> None:
    world = World(EVENT)
    await world.emitter.publish_once("token")
    world.entries += [marker()] * (MOST_MARKERS + 1)
    assert await world.emitter.publish_once("token") == MOST_MARKERS + 1


async def test_a_failed_transaction_changes_nothing_here() -> None:
    """Whether it was committed, only recovery finds out."""
    world = World(EVENT)
    world.fault = PublishFailed("gone")
    with pytest.raises(PublishFailed):
        await world.emitter.publish_once("token")
    assert world.announcements.number == 0
    assert world.publisher.position.number == 0


async def test_what_comes_next_is_taken_while_a_batch_is_published() -> None:
    """Once for each batch; what was published before is trimmed by that."""
    world = World(*[EVENT] * 4500)
    taken: list[tuple[int, int]] = []
    take = world.take

    async def noting(token: str, cursor: Cursor, now: int) -> Taken:
        taken.append((cursor.published, cursor.ahead))
        return await take(token, cursor, now)

    world.take = noting  # type: ignore[method-assign]
    assert [await world.emitter.publish_once("token") for _ in range(4)] == [2000, 2000, 500, 0]
    assert taken == [(0, 0), (0, 2000), (2000, 2000), (4500, 0)]
    assert [position.number for _, position in world.sent] == [2000, 4000, 4500]
    assert sum(len(records) for records, _ in world.sent) == 4500


async def test_what_was_taken_ahead_is_forgotten_when_publishing_fails() -> None:
    """Recovery says where to go on."""
    world = World(*[EVENT] * 3000)
    world.fault = PublishFailed("no broker")
    with pytest.raises(PublishFailed):
        await world.emitter.publish_once("token")
    world.fault = None
    world.emitter.begin(Position(0, "i"), "lineage")
    assert [await world.emitter.publish_once("token") for _ in range(3)] == [2000, 1000, 0]
    assert sum(len(records) for records, _ in world.sent) == 3000


async def test_a_batch_counts_as_published_when_the_next_one_cannot_be_taken() -> None:
    """Whoever waits for it is told, and the fault is told as well."""
    world = World(*[EVENT] * 3000)
    take = world.take

    async def failing(token: str, cursor: Cursor, now: int) -> Taken:
        if cursor.ahead:
            raise LeaseLost("somebody else has it")
        return await take(token, cursor, now)

    world.take = failing  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        await world.emitter.publish_once("token")
    assert world.announcements.number == 2000


async def test_what_comes_while_kafka_commits_does_not_wait_behind_a_marker() -> None:
    """The next batch was a marker alone when it was taken ahead; there is more to it by now."""
    world = World(*[EVENT] * 2000, marker())
    publish = world.publish

    async def while_something_comes(
        records: Iterable[Record], position: Position, due: int
    ) -> None:
        await publish(records, position, due)
        await asyncio.sleep(0)  # the next batch is taken
        if len(world.sent) == 1:
            world.entries.append(EVENT)

    world.publish = while_something_comes  # type: ignore[method-assign]
    assert [await world.emitter.publish_once("token") for _ in range(3)] == [2000, 2, 0]


async def test_markers_do_not_hold_up_what_is_behind_them() -> None:
    """However many there are."""
    world = World(*[marker()] * 2000, EVENT)
    world.publisher.last_publish = world.time
    assert [await world.emitter.publish_once("token") for _ in range(3)] == [2000, 1, 0]


async def test_what_the_stager_has_taken_is_published_without_asking_again() -> None:
    world = World(EVENT, EVENT)
    cursor = world.publisher.cursor(0)
    assert cursor == Cursor(0, "lineage")
    world.emitter._add(Batch(0, cursor, await world.take("token", cursor, 0)))
    assert world.in_hand == 2
    world.entries.append(EVENT)
    assert await world.emitter.publish_once("token") == 2
    assert not world.in_hand
    assert world.publisher.cursor(2) == Cursor(2, "lineage")
    assert await world.emitter.publish_once("token") == 1
    assert [position.number for _, position in world.sent] == [2, 3]


async def test_markers_in_hand_wait_for_what_a_client_stores() -> None:
    """They may wait; what a client has stored since must not wait with them."""
    world = World(marker())
    world.publisher.last_publish = world.time
    world.offer(0, [marker()], 1)
    assert await world.emitter.publish_once("token") == 0
    world.entries.append(EVENT)
    assert await world.emitter.publish_once("token") == 2


async def test_what_does_not_follow_is_not_published() -> None:
    """Whatever has gone wrong: recovery finds out where Kafka is."""
    world = World(EVENT)
    with pytest.raises(Diverged):
        world.offer(1, [EVENT], 1)
    assert world.sent == []


async def test_what_is_in_hand_is_forgotten_when_it_begins_anew() -> None:
    """Recovery says where to go on."""
    world = World(EVENT)
    world.offer(0, [EVENT], 1)
    world.emitter.begin(Position(0, "i"), "lineage")
    assert not world.in_hand


async def test_what_is_screened_is_taken_again() -> None:
    """Other entries stand in its place then, and nothing of it was sent."""
    world = World(EVENT, EVENT)
    seen: list[Taken] = []

    async def screen(token: str, lineage: str, taken: Taken) -> bool:
        assert (token, lineage) == ("token", "lineage")
        seen.append(taken)
        world.entries = [EVENT, marker()]
        return len(seen) == 1

    world.screen = screen  # type: ignore[method-assign]
    assert await world.emitter.publish_once("token") == 1
    assert world.sent == []
    assert await world.emitter.publish_once("token") == 2
    ((records, position),) = world.sent
    assert (len(records), position.number) == (1, 2)
