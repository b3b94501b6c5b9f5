"""Answers that viewers share for some seconds: they may be many, and calls must not be."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

MOST_KEPT = 100
Value = TypeVar("Value")


class _Kept:
    """One answer."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.until = float("-inf")
        self.value: Any = None


class Fresh:
    """Keeps the latest answers. Who asks while one is made waits for it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept = OrderedDict[Hashable, _Kept]()

    def clear(self) -> None:
        """Make all anew: a guest has changed something, and should see it."""
        self._kept.clear()

    async def get(
        self, key: Hashable, seconds: float, make: Callable[[], Awaitable[Value]]
    ) -> Value:
        """The answer of this key, at most so many seconds old. An error is not kept."""
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        async with kept.lock:
            if self._monotonic() >= kept.until:
                kept.value = await make()
                kept.until = self._monotonic() + seconds
            found: Value = kept.value
            return found
