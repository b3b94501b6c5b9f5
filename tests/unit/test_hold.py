"""No run goes to Kafka before its time, on any path (docs/decisions/0028)."""

import asyncio
from typing import Any

import pytest

from scheduling_srv.adapters.kafka import due_time
from scheduling_srv.app.owner.hold import HOLD_LIMIT_SECONDS, Hold
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.outbox_entries import QUEUED
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000
LEAD_MS = 10
LIMIT_MS = round(HOLD_LIMIT_SECONDS * 1000)
OTHER = b"C"


def run(due: int) -> bytes:
    """A queued entry, `due` so many milliseconds from now."""
    sizes = (1, 0, 2, 1)
    return b"Q" + QUEUED.pack(TriggerKind.ONCE, 7, NOW + due, 1, 9, *sizes)[1:] + b"a\x01t\x00"


class Clock:
    """Two clocks that run at the same speed until one of them is set back."""

    def __init__(self) -> None:
        self.passed = 0
        self.set_back = 0

    def now(self) -> int:
        return NOW + self.passed - self.set_back

    def until(self, instant: int) -> float:
        return (instant - self.now()) / 1000

    def monotonic(self) -> float:
        return self.passed / 1000

    def sleep(self, seconds: float) -> None:
        self.passed += max(1, round(seconds * 1000))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hold(clock: Clock) -> Hold:
    return Hold(clock, LEAD_MS, clock.monotonic)


def test_what_comes_before_the_first_run_that_is_not_due_may_go(hold: Hold, clock: Clock) -> None:
    entries = [OTHER, run(-5), run(0), OTHER, run(1), run(-5)]
    assert hold.release(entries) == (4, NOW)
    assert hold.since is None
    assert hold.release(entries[4:]) == (0, 0)
    clock.passed += 1
    assert hold.release(entries[4:]) == (2, NOW + 1)


def test_it_knows_since_when_the_first_entry_waits(hold: Hold, clock: Clock) -> None:
    for _ in range(2):
        assert hold.release([run(5)]) == (0, 0)
        assert hold.since == 0
        clock.passed += 1
    clock.passed = 5
    assert hold.release([run(5)]) == (1, NOW + 5)
    assert hold.since is None


def test_a_clock_that_was_set_back_holds_runs_for_a_while_only(hold: Hold, clock: Clock) -> None:
    clock.set_back = 3_600_000
    entries = [run(5)] * 3 + [OTHER]
    hold.release(entries)
    clock.passed = LIMIT_MS
    assert hold.release(entries) == (0, 0)
    clock.passed += 1
    assert hold.release(entries[:2]) == (2, 0)


def test_runs_that_follow_such_a_run_need_not_wait_as_long_again(hold: Hold, clock: Clock) -> None:
    """They were staged by the same clock; a transaction does not take all of them."""
    clock.set_back = 3_600_000
    hold.release([run(5)])
    clock.passed = LIMIT_MS + 1
    assert hold.release([run(5)]) == (1, 0)
    assert hold.release([run(6), OTHER]) == (2, 0)


def test_runs_of_the_new_clock_wait_for_their_time(hold: Hold, clock: Clock) -> None:
    """However long others have waited: they are never early by the clock that staged them."""
    clock.set_back = 3_600_000
    hold.release([run(5)])
    clock.passed = LIMIT_MS + 1
    staged = run(clock.passed - clock.set_back + LEAD_MS)
    assert hold.release([run(5), staged]) == (1, 0)
    assert hold.release([staged]) == (0, 0)
    clock.passed += LEAD_MS
    assert hold.release([staged]) == (1, clock.now())


def test_runs_may_go_early_with_a_commit_that_waits(clock: Clock) -> None:
    hold = Hold(clock, LEAD_MS, clock.monotonic, early=3)
    entries = [run(0), run(3), OTHER, run(4)]
    assert hold.release(entries) == (3, NOW + 3)
    assert hold.release(entries[3:]) == (0, 0)
    assert hold.opens(entries[3]) == NOW + 1


async def test_a_piece_waits_until_all_of_it_is_due(hold: Hold, clock: Clock) -> None:
    began = asyncio.get_running_loop().time()
    clock.now = lambda: NOW + round((asyncio.get_running_loop().time() - began) * 1000)  # type: ignore[method-assign]
    assert await hold.until_due([run(3), OTHER, run(7), run(-5)]) == NOW + 7
    assert clock.now() >= NOW + 7


# --- Where records become readable ----------------------------------------------------------------


class Producer:
    """Notes time stamps; 0 is that of the host's clock."""

    def __init__(self) -> None:
        self.stamps: list[int] = []

    def produce(self, *_: object, timestamp: int = 0) -> None:
        self.stamps.append(timestamp)


@pytest.fixture
def sleepless(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_time, "time", clock)


@pytest.mark.usefixtures("sleepless")
@pytest.mark.parametrize("due", [0, NOW - 5, NOW])
def test_a_record_that_is_due_goes_at_once(clock: Clock, due: int) -> None:
    producer: Any = Producer()
    due_time.produce_at(producer, clock, due)("topic")
    assert (producer.stamps, clock.passed) == ([0], 0)


@pytest.mark.usefixtures("sleepless")
def test_a_record_that_goes_early_says_when_it_is_due(clock: Clock) -> None:
    producer: Any = Producer()
    due_time.produce_at(producer, clock, NOW + 3, early=3)("topic")
    assert (producer.stamps, clock.passed) == ([NOW + 3], 0)
    due_time.produce_at(producer, clock, NOW + 5, early=3)("topic")
    assert (producer.stamps, clock.passed) == ([NOW + 3, NOW + 5], 2)


@pytest.mark.usefixtures("sleepless")
def test_a_clock_that_was_set_back_meanwhile_delays_a_record(clock: Clock) -> None:
    clock.set_back = 200
    producer: Any = Producer()
    due_time.produce_at(producer, clock, NOW)("topic")
    assert (producer.stamps, clock.now()) == ([0], NOW)


@pytest.mark.usefixtures("sleepless")
def test_one_that_was_set_back_far_does_not_delay_it_for_ever(clock: Clock) -> None:
    """Its time stamp says that it is not early."""
    clock.set_back = 3_600_000
    producer: Any = Producer()
    due_time.produce_at(producer, clock, NOW)("topic")
    assert producer.stamps == [NOW]
    assert clock.passed == pytest.approx(LIMIT_MS, abs=200)
