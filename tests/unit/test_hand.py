"""Entries in hand go out in their order, and no run before its time."""

import asyncio
from typing import Any

import pytest

from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.owner.batch import Batch
from scheduling_srv.app.owner.emitter import Emitter
from scheduling_srv.app.owner.hand import Hand, rest_of
from scheduling_srv.app.owner.hold import HOLD_LIMIT_SECONDS, Hold
from scheduling_srv.app.replies import Cursor, Taken
from scheduling_srv.app.waiting import Alarm
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.outbox_entries import QUEUED
from scheduling_srv.formats.position_record import Position
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000
LEAD_MS = 10
CREATED = b"C"


def run(due: int = NOW) -> bytes:
    return b"Q" + QUEUED.pack(TriggerKind.ONCE, 7, due, 1, 9, 1, 0, 2, 1)[1:] + b"a\x01t\x00"


def batch(after: int, *entries: bytes, at: float = 0) -> Batch:
    return Batch(at, Cursor(0, "lineage", after), Taken(after, list(entries), len(entries)))


class Hands(Hand):
    """A hand, and a clock that the test holds."""

    def __init__(self, most: int) -> None:
        clock: Any = self
        super().__init__(most, Hold(clock, LEAD_MS))
        self.time = NOW

    def now(self) -> int:
        return self.time

    def due_by(self, now: int) -> Batch | None:
        self.time = now
        return self.due()


def due(hand: Hands, now: int = NOW) -> tuple[int, list[bytes]] | None:
    found = hand.due_by(now)
    return (found.taken.after, list(found.taken.entries)) if found else None


def test_what_is_due_goes_out_as_one() -> None:
    hand = Hands(10)
    hand.add(batch(3, run(), CREATED))
    hand.add(batch(5, run(NOW - 1)))
    assert due(hand) == (3, [run(), CREATED, run(NOW - 1)])
    assert (hand.entries, due(hand)) == (0, None)


def test_a_run_that_is_not_due_holds_what_is_behind_it() -> None:
    """The order of the outbox is the order on Kafka."""
    hand = Hands(10)
    hand.add(batch(0, run(), run(NOW + 1), CREATED))
    hand.add(batch(3, run()))
    assert due(hand) == (0, [run()])
    assert (hand.entries, due(hand), hand.opens()) == (3, None, NOW + 1)
    assert due(hand, NOW + 1) == (1, [run(NOW + 1), CREATED, run()])


def test_a_retry_of_long_ago_is_due() -> None:
    hand = Hands(10)
    hand.add(batch(0, run(NOW - 100_000)))
    assert due(hand) == (0, [run(NOW - 100_000)])


def test_more_than_a_transaction_goes_out_in_pieces() -> None:
    hand = Hands(3)
    hand.add(batch(0, CREATED, CREATED))
    hand.add(batch(2, CREATED, CREATED))
    assert [due(hand), due(hand)] == [(0, [CREATED] * 2), (2, [CREATED] * 2)]


def test_one_batch_goes_out_as_a_whole() -> None:
    """A group must not be cut."""
    hand = Hands(3)
    hand.add(batch(0, *[CREATED] * 5))
    assert due(hand) == (0, [CREATED] * 5)


def test_the_age_is_that_of_the_oldest_batch_that_goes_out() -> None:
    hand = Hands(10)
    hand.add(batch(0, run(), at=5))
    hand.add(batch(1, run(), run(NOW + 1), at=6))
    found = hand.due_by(NOW)
    assert found
    assert found.at == 5
    found = hand.due_by(NOW + 1)
    assert found
    assert found.at == 6


def test_what_was_not_published_comes_first_again() -> None:
    hand = Hands(10)
    hand.add(batch(0, CREATED, run()))
    hand.add(batch(2, run(NOW + 1)))
    found = hand.due_by(NOW)
    assert found
    hand.put_back(rest_of(found, 1))
    assert due(hand, NOW + 1) == (1, [run(), run(NOW + 1)])


def test_nothing_is_kept_of_what_has_to_be_taken_again() -> None:
    hand = Hands(10)
    hand.add(batch(0, run(NOW + 1)))
    hand.clear()
    assert (hand.entries, hand.opens(), due(hand, NOW + 1)) == (0, None, None)


class World:
    """An outbox that others fill, and two clocks that run at the same speed."""

    def __init__(self, *entries: bytes) -> None:
        self.entries = list(entries)
        self.sent: list[tuple[int, list[bytes]]] = []
        """When, and what."""
        self.set_back = 0
        """Milliseconds by which an operator has set the clock back."""
        world: Any = self
        self.emitter = Emitter(
            shard=0,
            stager=world,
            outbox=world,
            publisher=world,
            refusals=world,
            hold=Hold(world, LEAD_MS, self.monotonic),
            known=KnownRuns(),
            clock=world,
            monotonic=self.monotonic,
        )
        self.emitter.begin(Position(0, "i"), "lineage")

    def monotonic(self) -> float:
        return asyncio.get_event_loop().time()

    def _microseconds(self) -> int:
        return round(self.monotonic() * 1_000_000)

    def now(self) -> int:
        return NOW + self._microseconds() // 1000 - self.set_back

    def until(self, instant: int) -> float:
        return ((instant - NOW + self.set_back) * 1000 - self._microseconds()) / 1_000_000

    async def take(self, token: str, cursor: Cursor, now: int) -> Taken:
        end = cursor.published + cursor.ahead
        return Taken(end, self.entries[end:], len(self.entries))

    def begin(self, position: Position, lineage: str) -> None:
        """Nothing to remember."""

    async def prepare(self) -> None:
        """Nothing precedes a batch."""

    def cursor(self, end: int) -> Cursor:
        return Cursor(0, "lineage", end)

    def is_settled(self, trimmed: int) -> bool:
        return True

    def is_stale(self, taken: Batch) -> bool:
        return False

    def may_wait(self, entries: list[bytes]) -> bool:
        return False

    async def screen(self, token: str, lineage: str, taken: Taken) -> bool:
        return False

    async def publish(self, taken: Batch) -> int:
        self.sent.append((self.now() + self.set_back - NOW, list(taken.taken.entries)))
        return len(taken.taken.entries)

    async def publish_all(self) -> None:
        """As an owner that leaves does."""
        leaving = asyncio.Event()
        leaving.set()
        await self.emitter._publish("token", leaving)


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last milliseconds pass in virtual time, not in a thread."""

    async def wait(_alarm: object, _event: object, seconds: float) -> None:
        await asyncio.sleep(seconds)

    monkeypatch.setattr(Alarm, "wait", wait)


@pytest.mark.usefixtures("sleeping")
async def test_each_run_leaves_at_its_time_and_none_before() -> None:
    """An owner that leaves waits for them: nobody else would take them at once."""
    world = World(run(), run(NOW + 5), CREATED, run(NOW + 9))
    await world.publish_all()
    assert world.sent == [(0, [run()]), (5, [run(NOW + 5), CREATED]), (9, [run(NOW + 9)])]


@pytest.mark.usefixtures("sleeping")
async def test_what_recovery_finds_in_the_outbox_waits_for_its_time() -> None:
    """The owner before has staged it and was killed."""
    world = World(run(NOW + 7))
    world.emitter.begin(Position(0, "i"), "another lineage")
    await world.publish_all()
    assert world.sent == [(7, [run(NOW + 7)])]


@pytest.mark.usefixtures("sleeping")
async def test_a_clock_that_is_set_back_holds_the_runs_in_hand() -> None:
    world = World(run(NOW + 5))
    world.set_back = 100
    await world.publish_all()
    assert world.sent == [(105, [run(NOW + 5)])]


@pytest.mark.usefixtures("sleeping")
async def test_a_clock_that_is_set_back_by_an_hour_holds_them_for_a_while_only() -> None:
    """All announcements wait behind them."""
    world = World(run(NOW + 5), CREATED)
    world.set_back = 3_600_000
    await world.publish_all()
    ((at, entries),) = world.sent
    assert HOLD_LIMIT_SECONDS * 1000 <= at < (HOLD_LIMIT_SECONDS + 2) * 1000
    assert entries == [run(NOW + 5), CREATED]
