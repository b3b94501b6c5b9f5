"""The loop that empties the outbox: one transaction a batch, markers may wait."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from scheduling_srv.app.announce import Announcer, event_entry
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.publisher import MARKER_LIMIT, MARKER_PAUSE, OutboxPublisher
from scheduling_srv.app.records import Position, Record, Topic
from scheduling_srv.app.replies import Taken
from scheduling_srv.domain.errors import PublishFailed

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
        self.time = MARKER_PAUSE
        self.announcements = Announcements()
        world: Any = self
        self.loop = OutboxPublisher(
            world,
            world,
            Announcer(),
            self.announcements,
            world,
            monotonic=lambda: self.time / 1000,
        )
        self.loop.begin(Position(0, "i"), "lineage")

    def now(self) -> int:
        return self.time

    async def take(self, token: str, published: int, lineage: str) -> Taken:
        assert lineage == "lineage"
        self.entries = self.entries[published - self.trimmed :]
        self.trimmed = published
        return Taken(published, self.entries[:2000], len(self.entries))

    async def publish(self, records: Iterable[Record], position: Position) -> None:
        if self.fault:
            raise self.fault
        self.sent.append((list(records), position))


async def test_a_batch_is_one_transaction_with_its_position() -> None:
    world = World(EVENT, EVENT, marker(t=9), EVENT)
    assert await world.loop.run_once("token") == 4
    ((records, position),) = world.sent
    assert [record.key for record in records] == [b"key"] * 3
    assert position == Position(
        4,
        "i",
        at=MARKER_PAUSE,
        replay_from=3,
        seq=5,
        instance=6,
        reset=7,
        cleared=8,
        inputs={"t": 9},
    )
    assert world.announcements.number == 4
    assert await world.loop.run_once("token") == 0
    assert world.trimmed == 4


async def test_what_a_marker_said_holds_until_the_next() -> None:
    world = World(marker(t=9))
    await world.loop.run_once("token")
    world.entries.append(EVENT)
    await world.loop.run_once("token")
    world.entries.append(marker(u=1))
    world.entries.append(EVENT)
    await world.loop.run_once("token")
    assert [position.number for _, position in world.sent] == [1, 2, 4]
    assert [dict(position.inputs) for _, position in world.sent] == [
        {"t": 9},
        {"t": 9},
        {"t": 9, "u": 1},
    ]


async def test_markers_alone_may_wait() -> None:
    """They announce nothing to anybody; after a while they go as well."""
    world = World(EVENT)
    await world.loop.run_once("token")
    world.entries += [marker()] * 3
    world.time += MARKER_PAUSE - 10
    assert await world.loop.run_once("token") == 0
    world.time += 10
    assert await world.loop.run_once("token") == 3


async def test_markers_go_with_whatever_comes() -> None:
    world = World(EVENT)
    await world.loop.run_once("token")
    world.entries += [marker(), EVENT]
    assert await world.loop.run_once("token") == 2


async def test_too_many_markers_do_not_wait() -> None:
    world = World(EVENT)
    await world.loop.run_once("token")
    world.entries += [marker()] * (MARKER_LIMIT + 1)
    assert await world.loop.run_once("token") == MARKER_LIMIT + 1


async def test_a_failed_transaction_changes_nothing_here() -> None:
    """Whether it was committed, only recovery finds out."""
    world = World(EVENT)
    world.fault = PublishFailed("gone")
    with pytest.raises(PublishFailed):
        await world.loop.run_once("token")
    assert world.announcements.number == 0
    assert world.loop.position.number == 0
