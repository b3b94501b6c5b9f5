"""Holds refused calls of a flood for a moment (docs/decisions/0033).

The answer costs as much of the event loop as a small call. A caller that sends its call again at
once would fill the loop with refusals, and all others would wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

SECONDS = 0.25
"""How long a call is held."""
FREE = 10
"""Refusals within a second of one caller of one host that are answered at once."""
MOST_HELD = 1_000
"""Calls that are held at a time: each has memory. Others are answered at once."""
MOST_SOURCES = 1_000
"""Callers that are counted apart; all others are counted together."""
OTHERS = ("", "")


class Holding:
    """Counts refusals by host and caller."""

    def __init__(
        self, seconds: float = SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._until = float("-inf")
        self._refused: Counter[tuple[str, str]] = Counter()
        self._held = 0

    async def hold(self, host: str, caller: str, left: float | None) -> None:
        """Return when the refusal may be answered; `left`: seconds until its deadline."""
        if not self._is_flood(host, caller) or self._held >= MOST_HELD:
            return
        self._held += 1
        try:
            await asyncio.sleep(self._seconds if left is None else min(self._seconds, left / 2))
        finally:
            self._held -= 1

    def _is_flood(self, host: str, caller: str) -> bool:
        now, source = self._monotonic(), (host, caller)
        if now >= self._until:
            self._until = now + 1.0
            self._refused.clear()
        if source not in self._refused and len(self._refused) >= MOST_SOURCES:
            source = OTHERS
        self._refused[source] += 1
        return self._refused[source] > FREE
