"""Waiting to a fraction of a millisecond, and no longer than until something happens."""

import asyncio

from scheduling_srv.adapters.clock import SystemClock
from scheduling_srv.app.waiting import COARSE, Alarm


async def test_an_alarm_is_never_early_and_rarely_late() -> None:
    """Others may be busy on this machine: of some thirty in a row, a quarter is punctual."""
    alarm, clock, late = Alarm("test"), SystemClock(), list[float]()
    while len(late) < 30 or sorted(late[-30:])[7] >= COARSE:
        due = clock.now() + 5
        while (left := clock.until(due)) > 0:
            await alarm.wait(asyncio.Event(), left)
        assert clock.now() >= due
        late.append(-clock.until(due))


async def test_an_event_ends_it() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    await Alarm("test").wait(event, 1e6)


def test_the_time_until_an_instant_is_not_rounded() -> None:
    clock = SystemClock()
    lefts = {clock.until(clock.now() + 100_000) for _ in range(100)}
    assert len(lefts) > 1
    assert all(0 < left <= 100 for left in lefts)
