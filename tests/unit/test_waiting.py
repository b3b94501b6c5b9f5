"""Waiting to a fraction of a millisecond, and no longer than until something happens."""

import asyncio
import time

from scheduling_srv.adapters.clock import SystemClock
from scheduling_srv.app.waiting import COARSE, Alarm


async def test_an_alarm_is_never_early_and_rarely_late() -> None:
    alarm, clock, late = Alarm("test"), SystemClock(), list[float]()
    for _ in range(30):
        due = clock.now() + 5
        while (left := clock.until(due)) > 0:
            await alarm.wait(asyncio.Event(), left)
        assert clock.now() >= due
        late.append(-clock.until(due))
    assert sorted(late)[len(late) // 4] < COARSE  # others may be busy on this machine


async def test_an_event_ends_it() -> None:
    event, began = asyncio.Event(), time.monotonic()
    asyncio.get_running_loop().call_later(0.01, event.set)
    await Alarm("test").wait(event, 60.0)
    assert time.monotonic() - began < 30


def test_the_time_until_an_instant_is_not_rounded() -> None:
    clock = SystemClock()
    lefts = {clock.until(clock.now() + 10) for _ in range(100)}
    assert len(lefts) > 1
    assert all(0 < left <= 0.01 for left in lefts)
