"""Keeps one piece of work from holding the event loop (docs/decisions/0007)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SLICE_MS = 5.0
"""How long work may hold the loop before other tasks get their turn."""


class TimeSlice:
    """Of one piece of work, such as the check of one list of jobs."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` counts seconds."""
        self.monotonic = monotonic
        self._ends = monotonic() + SLICE_MS / 1000

    async def yield_if_used(self) -> None:
        """Let other tasks run if the slice is used up. Call it after each item."""
        if self.monotonic() >= self._ends:
            await asyncio.sleep(0)
            self._ends = self.monotonic() + SLICE_MS / 1000
