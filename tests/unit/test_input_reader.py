"""The owner reads the topic beside the group, and comes to an end whatever the group does."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from scheduling_srv.app.inputs.input_reader import ATTEMPTS, FAR, InputReader
from scheduling_srv.app.log_ports import Polled
from scheduling_srv.app.positions import Topic
from scheduling_srv.app.records import Consumed, End
from scheduling_srv.app.starts import Begun, Found
from scheduling_srv.domain.errors import LogUnavailable, StaleSource, Undecided
from scheduling_srv.formats.positions import InputPosition, Place

NOW = 1_700_000_000_000
PLACE = Place("jobs", 0)
AT_ONCE = 10
"""Records of one poll."""


def record(offset: int) -> Consumed:
    return Consumed("jobs", 0, offset, b"key", b"value", timestamp=NOW + offset)


class World:
    """A topic of one partition, its stored position, and a group that also applies it."""

    blocked = ""

    def __init__(self, length: int) -> None:
        self.length = length
        self.stored = self.read_from = self.known = 0
        """The position in the store; that of the consumer; that which the reader believes."""
        self.done: list[int] = []
        """Offsets that the reader has applied."""
        self.skipped: list[tuple[int, int]] = []
        self.topic_id = "one"
        world: Any = self
        self.reader = InputReader(
            consumer=world,
            consume=world,
            starts=world,
            logs=world,
            clock=world,
            topic="jobs",
            strangers=world,
        )

    def group_applies(self) -> None:
        """Called whenever the reader has polled: what the group does meanwhile."""

    def now(self) -> int:
        return NOW

    # --- Kafka ------------------------------------------------------------------------------

    async def topics(self, names: Sequence[str]) -> Mapping[str, Topic]:
        return {"jobs": Topic(self.topic_id, 1)}

    async def topic_ids(self, names: Sequence[str]) -> Mapping[str, str]:
        return {"jobs": self.topic_id}

    async def high_watermarks(self, places: Sequence[Place]) -> Mapping[Place, int]:
        return dict.fromkeys(places, self.length)

    async def assign(self, starts: Mapping[Place, int]) -> None:
        self.read_from = starts.get(PLACE, 0)

    async def poll(self) -> Polled:
        first, behind = self.read_from, min(self.length, self.read_from + AT_ONCE)
        self.read_from = behind
        self.group_applies()
        records = [record(offset) for offset in range(first, behind)]
        exhausted = {PLACE: behind} if behind == self.length else {}
        ends = {PLACE: End(behind, NOW + behind)}
        return Polled(len(records), {PLACE: records}, ends, (), exhausted, False)

    # --- The store --------------------------------------------------------------------------

    async def find(self, places: Sequence[Place]) -> Found:
        positions = {PLACE: InputPosition(self.stored, 0, self.topic_id)}
        return Found([Begun("lineage", positions)], {"jobs": self.topic_id})

    def begin(self, shards: Sequence[Begun]) -> None:
        self.known = shards[0].positions[PLACE].next

    def applied(self, place: Place) -> int:
        return self.known

    async def apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        (batch,) = batches
        wanted = [each.offset for each in batch if each.offset >= self.known]
        if wanted and self.known != self.stored:
            raise StaleSource("moved")
        self.done += wanted
        self.known = self.stored = max([self.stored, *(offset + 1 for offset in wanted)])

    async def skip(self, ends: Mapping[Place, End]) -> None:
        self.skipped += ends.values()

    async def settle(self) -> None:
        """One shard sends nothing."""


async def test_it_applies_all_that_the_topic_holds() -> None:
    world = World(25)
    assert await world.reader.read() == NOW
    assert world.done == [*range(25)]


async def test_it_leaves_what_comes_later_to_the_group() -> None:
    """Both would move the same position, each from where the other has left it."""
    world = World(15)

    def one_more() -> None:
        world.length = 20

    world.group_applies = one_more  # type: ignore[method-assign]
    await world.reader.read()
    assert world.done == [*range(15)]


async def test_a_group_that_is_always_first_does_not_keep_it_from_its_end() -> None:
    """A campaign on a busy machine: for two minutes no run could expire."""
    world = World(1_000)

    def both_go_on() -> None:
        world.length += 100  # it never comes to the end of the topic
        world.stored += 90

    world.group_applies = both_go_on  # type: ignore[method-assign]
    assert await world.reader.read() == NOW
    assert world.stored >= 1_000
    assert world.done == []


async def test_it_asks_again_where_a_topic_ends_that_was_made_anew() -> None:
    """The end of before may never come."""
    world = World(25)

    def is_made_anew() -> None:
        world.topic_id, world.stored, world.length = "two", 0, 3

    world.stored = 5
    world.group_applies = is_made_anew  # type: ignore[method-assign]
    with pytest.raises(StaleSource):
        await world.reader.read()
    assert world.done == []


async def test_it_gives_up_after_a_while() -> None:
    """Whoever asks may then ask again."""
    world = World(25)
    polls = 0

    def is_moved() -> None:
        nonlocal polls
        polls += 1
        world.stored = polls % 2

    world.group_applies = is_moved  # type: ignore[method-assign]
    with pytest.raises(StaleSource):
        await world.reader.read()
    assert polls == ATTEMPTS


async def test_nothing_behind_the_end_is_skipped() -> None:
    """It was read, and not applied."""
    world = World(FAR + 5)

    def more() -> None:
        world.length = FAR + 50

    world.group_applies = more  # type: ignore[method-assign]
    await world.reader.read()
    assert world.skipped == [End(FAR + 5, NOW + FAR + 4)]


class Stuck(World):
    """Nothing comes any more. A poll takes a second."""

    def __init__(self, *ends: int) -> None:
        """`ends`: where the committed records end, once it is said."""
        super().__init__(20)
        self.said = iter(ends)
        self.seconds = 0.0
        self.reader.monotonic = lambda: self.seconds

    async def poll(self) -> Polled:
        self.seconds += 1
        end = next(self.said, None)
        return Polled(0, {}, {}, (), {} if end is None else {PLACE: end}, False)


async def test_a_transaction_that_does_not_end_is_named() -> None:
    """The owner waited for its end for ever, and no line said so."""
    with pytest.raises(Undecided, match=r"A transaction on jobs has not ended\."):
        await Stuck(0).reader.read()


async def test_a_broker_that_sends_nothing_is_given_up() -> None:
    with pytest.raises(LogUnavailable, match="nothing came for 5 s"):
        await Stuck().reader.read()


class Beside(World):
    """Two partitions. The first one has `held` committed records before an open transaction."""

    other = Place("jobs", 1)

    def __init__(self, held: int = 0, *, is_busy: bool = False) -> None:
        """`is_busy`: the other partition gets records all the time."""
        super().__init__(20)
        self.held = held
        self.is_busy = is_busy
        self.seconds = 0.0
        self.polls = 0
        self.reader.monotonic = lambda: self.seconds

    async def topics(self, names: Sequence[str]) -> Mapping[str, Topic]:
        return {"jobs": Topic(self.topic_id, 2)}

    async def find(self, places: Sequence[Place]) -> Found:
        found = await super().find(places)
        positions = {**found.shards[0].positions, self.other: InputPosition(0, 0, self.topic_id)}
        return Found([Begun("lineage", positions)], found.topic_ids)

    def applied(self, place: Place) -> int:
        return 0 if place == self.other else super().applied(place)

    async def poll(self) -> Polled:
        """Records may come together with the word that no others follow."""
        assert self.polls < 1_000, "it reads for ever"
        self.seconds += 1
        self.polls += 1
        if self.polls == 1:
            records = [record(offset) for offset in range(self.held)]
            ends = {PLACE: End(self.held, NOW)} if records else {}
            events = {PLACE: records} if records else {}
            exhausted = {PLACE: self.held, self.other: 20}
            return Polled(len(records), events, ends, (), exhausted, False)
        if not self.is_busy:
            return Polled(0, {}, {}, (), {}, False)
        end = 20 + 10 * self.polls
        return Polled(10, {}, {self.other: End(end, NOW)}, (), {self.other: end}, False)


@pytest.mark.parametrize("held", [0, 5])
async def test_the_end_before_a_transaction_may_come_with_the_last_records(held: int) -> None:
    """It is said once."""
    world = Beside(held)
    with pytest.raises(Undecided):
        await world.reader.read()
    assert world.done == [*range(held)]


@pytest.mark.parametrize("held", [0, 5])
async def test_other_partitions_do_not_hide_a_transaction_that_does_not_end(held: int) -> None:
    """The pass had no end, and no other one could begin."""
    with pytest.raises(Undecided):
        await Beside(held, is_busy=True).reader.read()
