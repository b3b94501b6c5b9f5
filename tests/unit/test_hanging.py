"""A transaction whose end Kafka has lost gets another one; one of somebody else is named."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from scheduling_srv.app.recovery import hanging
from scheduling_srv.app.recovery.hanging import (
    MOST_ASKED,
    PATIENCE_SECONDS,
    SUSPECTS,
    HangingTransactions,
)
from scheduling_srv.domain.errors import LogUnavailable, PublishFailed
from scheduling_srv.formats.positions import Place
from scheduling_srv.runtime.states import STATES

JOBS, RESOURCES = Place("jobs", 0), Place("jobs.resource", 0)


class World:
    """Kafka with two topics, and the producers of a shard. A look takes no time."""

    def __init__(self) -> None:
        self.high = {JOBS: 10, RESOURCES: 20}
        self.stable = dict(self.high)
        self.is_ours = True
        self.is_away = False
        self.settled: list[Sequence[Place]] = []
        self.asked: list[Sequence[Place]] = []
        self.seconds = 0.0
        self.watch = HangingTransactions(
            ends=self, publisher=self, shard=0, monotonic=lambda: self.seconds
        )

    async def after(self, seconds: float) -> None:
        self.seconds += seconds
        await self.watch.look()

    def problem(self) -> str:
        (state,) = (each for each in STATES.all if each is self.watch._blocked)
        return state.reason if state.failing else ""

    # --- Kafka ------------------------------------------------------------------------------

    async def high_watermarks(self, places: Sequence[Place]) -> Mapping[Place, int]:
        if self.is_away:
            raise LogUnavailable("away")
        return {place: self.high[place] for place in places if place in self.high}

    async def last_stable_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]:
        self.asked.append(places)
        return {place: self.stable[place] for place in places if place in self.stable}

    # --- The producers ----------------------------------------------------------------------

    def places(self) -> Sequence[Place]:
        return [*self.high]

    async def settle(self, places: Sequence[Place] = ()) -> None:
        self.settled.append(places)
        for place in places:
            self.high[place] += 1
            if self.is_ours:
                self.stable[place] = self.high[place]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_transaction_that_stays_open_gets_another_end(world: World) -> None:
    world.stable[JOBS] = 7
    await world.after(0)
    await world.after(PATIENCE_SECONDS - 0.1)
    assert world.settled == []
    await world.after(0.1)
    assert world.settled == [[JOBS]]
    await world.after(PATIENCE_SECONDS)
    assert (world.settled, world.problem()) == ([[JOBS]], "")


async def test_transactions_that_end_are_let_alone(world: World) -> None:
    """Under load there is always an open one, but another one each time."""
    for number in range(10):
        world.high[JOBS], world.stable[JOBS] = 20 + number, 15 + number
        await world.after(PATIENCE_SECONDS)
    assert world.settled == []


async def test_one_that_was_ended_in_vain_is_of_somebody_else(world: World) -> None:
    """It is ended once only: else the topic would grow for as long as it is open."""
    world.is_ours, world.stable[JOBS] = False, 7
    await world.after(0)
    for _ in range(5):
        await world.after(PATIENCE_SECONDS)
    assert world.settled == [[JOBS]]
    assert world.problem().startswith(
        "A transaction of another producer is open at offset 7 of jobs:0"
    )
    world.stable[JOBS] = world.high[JOBS]
    await world.after(1)
    assert world.problem() == ""


async def test_another_one_in_the_same_partition_is_ended_as_well(world: World) -> None:
    for offset in (7, 12):
        world.high[JOBS], world.stable[JOBS] = offset + 2, offset
        await world.after(0)
        await world.after(PATIENCE_SECONDS)
    assert world.settled == [[JOBS], [JOBS]]


async def test_an_outage_of_kafka_does_not_count(world: World) -> None:
    """The broker may be about to end it."""
    world.stable[JOBS] = 7
    await world.after(0)
    world.is_away = True
    await world.after(PATIENCE_SECONDS)
    world.is_away = False
    await world.after(PATIENCE_SECONDS)
    assert world.settled == []
    await world.after(PATIENCE_SECONDS)
    assert world.settled == [[JOBS]]


async def test_producers_that_fail_end_the_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner recovers: it opens new ones."""

    async def fail(places: Sequence[Place] = ()) -> None:
        raise PublishFailed("no")

    monkeypatch.setattr(world, "settle", fail)
    monkeypatch.setattr(hanging, "LOOK_SECONDS", 0)
    monkeypatch.setattr(hanging, "PATIENCE_SECONDS", 0)
    world.stable[JOBS] = 7
    with pytest.raises(PublishFailed):
        await world.watch.run("token")


async def test_a_partition_that_is_gone_is_left_out(world: World) -> None:
    world.stable[JOBS] = 7
    del world.high[JOBS]
    assert await world.watch.find() == {}


# --- Many partitions ------------------------------------------------------------------------------

MANY = 10 * MOST_ASKED


@pytest.fixture
def wide(world: World) -> World:
    """The jobs topic has many partitions."""
    world.high = {Place("jobs", number): 10 for number in range(MANY)}
    world.stable = dict(world.high)
    return world


async def test_a_look_asks_for_some_partitions_in_turn(wide: World) -> None:
    for _ in range(10):
        await wide.after(1)
    assert {len(places) for places in wide.asked} == {MOST_ASKED}
    assert {place for places in wide.asked for place in places} == {*wide.high}


async def test_all_few_partitions_are_looked_at_each_time(world: World) -> None:
    world.stable[JOBS] = 7
    for _ in range(3):
        await world.after(0.5)
    assert [{*places} for places in world.asked] == [{JOBS, RESOURCES}] * 3


async def test_a_recovery_asks_for_all_in_pieces(wide: World) -> None:
    wide.stable[Place("jobs", MANY - 1)] = 7
    assert await wide.watch.find() == {Place("jobs", MANY - 1): 7}
    assert [len(places) for places in wide.asked] == [MOST_ASKED] * 10


async def test_one_that_hangs_among_many_under_load_gets_another_end(wide: World) -> None:
    """Each other partition has an open transaction at each look, but another one each time."""
    hanging = Place("jobs", MANY - 1)
    wide.stable[hanging] = 7
    for second in range(2 * MANY // SUSPECTS):
        wide.high |= {place: 20 + second for place in wide.high if place != hanging}
        wide.stable |= {place: 15 + second for place in wide.stable if place != hanging}
        await wide.after(1)
    assert wide.settled == [[hanging]]
    assert max(map(len, wide.asked)) <= MOST_ASKED


async def test_many_of_somebody_else_do_not_hide_ours(wide: World) -> None:
    """They are ended once each, however often their turn comes."""
    wide.is_ours = False
    foreign = [Place("jobs", number) for number in range(2 * SUSPECTS)]
    wide.stable |= dict.fromkeys(foreign, 7)
    for _ in range(3 * MANY // SUSPECTS):
        await wide.after(1)
    settled = [place for places in wide.settled for place in places]
    assert sorted(settled) == foreign
    ours, wide.is_ours = Place("jobs", MANY - 1), True
    wide.stable[ours] = 7
    for _ in range(2 * MANY // SUSPECTS):
        await wide.after(1)
    assert wide.settled[-1] == [ours]
    assert len([place for places in wide.settled for place in places]) == len(foreign) + 1


async def test_a_look_ends_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka that does not answer keeps nobody from the next look."""

    async def hang(places: Sequence[Place]) -> Mapping[Place, int]:
        await asyncio.sleep(3600)
        return {}

    monkeypatch.setattr(hanging, "TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(world, "high_watermarks", hang)
    await world.after(1)
    assert world.asked == []
