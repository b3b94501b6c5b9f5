"""Summarises repeated log lines: logs the first one at once, later ones together after a pause.

A fault of a client or a worker comes thousands of times. A line for each would fill the log and
hide the others. Every occurrence is counted: a timer logs those that no later line has counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

import structlog

MINUTE_S = 60.0
"""Seconds between two lines about the same."""
TICK_SECONDS = 1.0
"""Seconds between looks for occurrences that no line has counted."""

log = structlog.get_logger(__name__)


class Throttle:
    """One event of the log. Each kind of it has its own lines and pauses."""

    def __init__(
        self,
        event: str,
        *,
        counted: str,
        seconds: float = MINUTE_S,
        level: int = logging.WARNING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counted` names the field with the occurrences since the line before."""
        self.event = event
        self.counted = counted
        self.seconds = seconds
        self.level = level
        self.monotonic = monotonic
        self._kinds: dict[tuple[str, ...], _Untold] = {}

    def note(self, *kind: str, count: int = 1, **last: object) -> None:
        """Count `count` occurrences. `last` are the fields of a line; there must be few kinds."""
        untold = self._kinds.setdefault(kind, _Untold())
        untold.count += count
        untold.last = last
        self._tell(untold)

    def tick(self) -> None:
        """Log the occurrences that no line has counted yet."""
        for untold in self._kinds.values():
            if untold.count:
                self._tell(untold)

    def _tell(self, untold: _Untold) -> None:
        now = self.monotonic()
        if now >= untold.next_line:
            log.log(self.level, self.event, **untold.last, **{self.counted: untold.count})
            untold.next_line, untold.count = now + self.seconds, 0


class _Untold:
    """Occurrences of one kind since its last line."""

    def __init__(self) -> None:
        self.next_line = float("-inf")
        self.count = 0
        self.last: dict[str, object] = {}


async def tick_all(throttles: Iterable[Throttle]) -> None:
    """Tick until cancelled."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        for each in throttles:
            each.tick()
