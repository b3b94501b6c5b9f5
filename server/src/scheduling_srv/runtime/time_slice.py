"""Keeps one piece of work from holding the event loop (docs/decisions/0007)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

SLICE_MS = 5.0
"""How long work may hold the loop before other tasks get their turn."""
SHORT_SLICES = 2
"""Clients' work that takes more slices is long: an ordinary list of 500 jobs is not."""
LONG_SLICE_MS = 1.0
"""The slice of long work, and its pause. A run waits for several turns of the loop."""


class TimeSlice:
    """The time slice of one piece of work, such as the check of one list of jobs."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` counts seconds."""
        self.monotonic = monotonic
        self._ends = monotonic() + SLICE_MS / 1000

    @property
    def used(self) -> bool:
        """Whether it is used up: `pause` then. Short loops ask this first, as it costs less."""
        return self.monotonic() >= self._ends

    async def pause(self) -> None:
        """Let other tasks run; the slice begins anew."""
        milliseconds = await self._wait()
        self._ends = self.monotonic() + milliseconds / 1000

    async def yield_if_used(self) -> None:
        """Let other tasks run if the slice is used up. Call it after each item."""
        if self.used:
            await self.pause()

    async def _wait(self) -> float:
        """Returns the milliseconds of the next slice."""
        await asyncio.sleep(0)
        return SLICE_MS


class SharedSlice(TimeSlice):
    """The time slice of clients' work: all of it shares one slice in each round of the loop.

    Otherwise sixty long lists would hold the loop for sixty slices before the owner's turn. Long
    work gets half of the loop's time, in short slices, so that runs are not late beside it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic)
        self._slices = 0

    async def _wait(self) -> float:
        self._slices += 1
        is_long = self._slices >= SHORT_SLICES
        async with _queue():
            await asyncio.sleep(LONG_SLICE_MS / 1000 if is_long else 0)
        return LONG_SLICE_MS if is_long else SLICE_MS


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def _queue() -> asyncio.Lock:
    """The queue in which clients' work waits for its next slice, in order."""
    return _queues.setdefault(asyncio.get_running_loop(), asyncio.Lock())
