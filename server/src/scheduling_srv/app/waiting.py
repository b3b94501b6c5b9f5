"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

COARSE = 0.002
"""Seconds by which a timer of the event loop may be late: it counts in whole milliseconds."""


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """Return at the event, or after `seconds`; None: without limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class Alarm:
    """Waits for an instant as exactly as the system can."""

    def __init__(self, name: str) -> None:
        """`name` is that of the thread that sleeps."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return at the event or the instant, or before: callers check, and wait again.

        The last two milliseconds pass in a thread, and no event ends them.
        """
        if seconds > COARSE:
            await wait(event, seconds - COARSE)
        else:
            await asyncio.get_running_loop().run_in_executor(self._thread, time.sleep, seconds)
