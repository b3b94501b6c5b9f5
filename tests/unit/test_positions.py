"""Where a partition is read from, whatever has become of its topic (docs/decisions/0008)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from scheduling_srv.app.positions import PartitionLog, Start, Topic, begin, is_another
from scheduling_srv.app.starts import Starts
from scheduling_srv.domain.errors import StaleSource
from scheduling_srv.formats.positions import InputPosition, Place

NOW = 1_700_000_000_000
JOBS = Place("jobs", 0)
OLD, NEW = "old-id", "new-id"


@pytest.mark.parametrize(
    ("known", "found", "another", "next_offset"),
    [
        # A partition that was never read.
        (None, PartitionLog(3, 9, NEW), False, 3),
        # The same topic.
        (InputPosition(50, 7, OLD), PartitionLog(0, 60, OLD), False, 50),
        (InputPosition(50, 7, OLD), PartitionLog(55, 60, OLD), False, 55),  # the retention
        (InputPosition(50, 7, OLD), PartitionLog(0, 48, OLD), False, 48),  # it lost its end
        # Another topic, shorter or longer: 12 is the first newer record, if there is one.
        (InputPosition(50, 7, OLD), PartitionLog(0, 20, NEW), True, 12),
        (InputPosition(50, 7, OLD), PartitionLog(0, 60, NEW), True, 12),
        (InputPosition(50, 0, OLD), PartitionLog(2, 60, NEW), True, 2),  # nothing was read
        # A broker without ids: a position beyond the end says it.
        (InputPosition(50, 7), PartitionLog(0, 49), True, 12),
        (InputPosition(50, 7), PartitionLog(0, 60), False, 50),
        # A position of a version that knew neither.
        (InputPosition(50), PartitionLog(0, 60, NEW), False, 50),
        (InputPosition(50), PartitionLog(0, 48, NEW), False, 48),
        (InputPosition(50), PartitionLog(0, 20, NEW), True, 0),
        (InputPosition(50), PartitionLog(60, 70, NEW), False, 60),
        # An id is not lost because a broker does not say it.
        (InputPosition(50, 7, OLD), PartitionLog(0, 60), False, 50),
    ],
)
def test_where_it_begins(
    known: InputPosition | None,
    found: PartitionLog,
    another: bool,
    next_offset: int,
) -> None:
    assert (known is not None and is_another(known, found)) is another
    at = begin(known, found, 12)
    assert at.next == next_offset
    assert at.stamp == (known.stamp if known else 0)
    assert at.topic_id == (found.topic_id or (known.topic_id if known else ""))


def test_a_topic_without_newer_records_is_read_from_its_end() -> None:
    at = begin(InputPosition(50, 7, OLD), PartitionLog(0, 20, NEW), None)
    assert at == InputPosition(20, 7, NEW)


@pytest.mark.parametrize(
    "position", [InputPosition(5), InputPosition(5, 7, "id"), InputPosition(5, 7)]
)
def test_it_is_read_as_it_was_stored(position: InputPosition) -> None:
    assert InputPosition.of(5, position.pack()) == position


@pytest.mark.parametrize("origin", [None, "", "4 7 id", "50 7 id"])
def test_what_is_said_of_another_offset_does_not_count(origin: str | None) -> None:
    assert InputPosition.of(5, origin) == InputPosition(5)


def test_later_versions_may_add_to_it() -> None:
    assert InputPosition.of(5, "5 7 id more than that") == InputPosition(5, 7, "id")


class World:
    """A store and a Kafka."""

    def __init__(self, topics: Mapping[str, Topic], **stored: InputPosition) -> None:
        self.now_there = [topics]
        self.stored = {Place(name, 0).name: at for name, at in stored.items()}
        self.ends_of: dict[Place, tuple[int, int]] = {JOBS: (0, 60)}
        self.newer: int | None = 12
        self.asked: list[Any] = []
        self.moved: list[Start] = []
        self.forgotten: list[Place] = []
        self.applied_meanwhile = 0
        world: Any = self
        self.starts = Starts([world], world, world, ["jobs", "commands"])

    def now(self) -> int:
        return NOW

    async def topics(self, topics: Sequence[str]) -> Mapping[str, Topic]:
        there = self.now_there[0]
        if len(self.now_there) > 1:
            del self.now_there[0]
        return {name: there[name] for name in topics if name in there}

    async def ends(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, int]]:
        found = {place: self.ends_of[place] for place in places if place in self.ends_of}
        self._apply_meanwhile()
        return found

    async def first_after(self, stamps: Mapping[Place, int]) -> Mapping[Place, int | None]:
        self.asked.append(dict(stamps))
        return dict.fromkeys(stamps, self.newer)

    async def positions(self) -> tuple[str, Mapping[str, InputPosition]]:
        found = dict(self.stored)
        self._apply_meanwhile()
        return "lineage", found

    def _apply_meanwhile(self) -> None:
        """Records arrive, and another replica applies them."""
        if count := self.applied_meanwhile:
            low, high = self.ends_of[JOBS]
            self.ends_of[JOBS] = low, high + count
            at = self.stored[JOBS.name]
            self.stored[JOBS.name] = at._replace(next=high + count)

    async def set_positions(self, starts: Sequence[Start], lineage: str, now: int) -> None:
        assert (lineage, now) == ("lineage", NOW)
        for start in starts:
            known = self.stored.get(start.partition)
            assert start.before == (known.next if known else None)
            self.stored[start.partition] = start.to
        self.moved += starts

    async def forget(self, positions: Mapping[Place, int], lineage: str, now: int) -> None:
        assert (lineage, now) == ("lineage", NOW)
        self.forgotten += positions


async def test_a_known_position_is_left_alone() -> None:
    at = InputPosition(50, 7, OLD)
    world = World({"jobs": Topic(OLD, 1)}, jobs=at)
    found = await world.starts.find([JOBS])
    assert found.shards[0].positions == {JOBS: at}
    assert (world.moved, world.asked) == ([], [])


async def test_records_that_another_replica_applies_meanwhile_are_not_applied_again() -> None:
    """Before, ends were read first, so the log seemed to have lost its last records."""
    world = World({"jobs": Topic(OLD, 1)}, jobs=InputPosition(60, 7, OLD))
    world.applied_meanwhile = 6
    await world.starts.find([JOBS])
    assert world.moved == []


async def test_a_position_of_before_takes_the_topic_that_is_there() -> None:
    world = World({"jobs": Topic(NEW, 1)}, jobs=InputPosition(50))
    await world.starts.find([JOBS])
    assert world.moved == [Start("jobs:0", 50, InputPosition(50, 0, NEW))]


async def test_a_topic_made_anew_is_read_from_the_first_newer_record() -> None:
    world = World({"jobs": Topic(NEW, 1)}, jobs=InputPosition(50, 7, OLD))
    found = await world.starts.find([JOBS])
    assert world.asked == [{JOBS: 7}]
    assert found.topic_ids == {"jobs": NEW}
    assert world.moved == [Start("jobs:0", 50, InputPosition(12, 7, NEW))]


async def test_a_topic_that_changes_meanwhile_is_asked_for_again() -> None:
    world = World({"jobs": Topic(OLD, 1)}, jobs=InputPosition(50, 7, OLD))
    world.now_there.append({"jobs": Topic(NEW, 1)})
    with pytest.raises(StaleSource):
        await world.starts.find([JOBS])
    assert world.moved == []


async def test_a_partition_that_is_not_there_is_left_out() -> None:
    """Its position stays: it may come back."""
    world = World({}, jobs=InputPosition(50, 7, OLD))
    found = await world.starts.find([JOBS])
    assert found.shards[0].positions == {}
    assert (world.moved, world.forgotten) == ([], [])


async def test_partitions_are_looked_for_until_one_of_them_is_there() -> None:
    world = World({"jobs": Topic(NEW, 1)})
    assert not await world.starts.find_any([Place("jobs", 1), Place("commands", 0)])
    assert await world.starts.find_any([Place("commands", 0), JOBS])
    del world.ends_of[JOBS]  # it has no leader
    assert not await world.starts.find_any([JOBS])


async def test_partitions_that_are_gone_are_forgotten() -> None:
    """Of a topic that has fewer by now, and of one that is neither there nor wanted."""
    world = World({"jobs": Topic(OLD, 1), "kept": Topic(OLD, 1)}, jobs=InputPosition(50, 7, OLD))
    for name in ("jobs:1", "renamed:0", "kept:0", "commands:0", "@1"):
        world.stored[name] = InputPosition(9)
    await world.starts.find([JOBS])
    assert world.forgotten == [Place("jobs", 1), Place("renamed", 0)]
