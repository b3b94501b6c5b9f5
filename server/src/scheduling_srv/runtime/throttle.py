"""Summarises repeated log lines: logs the first one at once, later ones together after a pause.

A fault of a client or a worker comes thousands of times. A line for each would fill the log and
hide the others. Every occurrence is counted: a timer logs those that no later line has counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import structlog

MINUTE_S = 60.0
"""Seconds between two lines about the same."""
MOST_KINDS = 100
"""Kinds of one event with lines of their own."""
TICK_SECONDS = 1.0
"""Seconds between looks for occurrences that no line has counted."""

log = structlog.get_logger(__name__)


class Throttle:
    """One event of the log. Each kind of it has its own lines and pauses.

    A kind that did not happen within its pause is forgotten.
    """

    def __init__(
        self,
        event: str,
        *,
        counted: str,
        added: Collection[str] = (),
        seconds: float = MINUTE_S,
        level: int = logging.WARNING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counted` names the field with the occurrences since the line before.

        `added` names fields that a line has the sum of; of all others it has the last value.
        """
        self.event = event
        self.counted = counted
        self.added = added
        self.seconds = seconds
        self.level = level
        self.monotonic = monotonic
        self._kinds: dict[tuple[str, ...], _Untold] = {}

    def has_room(self, *kind: str) -> bool:
        """Whether this kind may have lines of its own: not if there are too many others."""
        return kind in self._kinds or len(self._kinds) < MOST_KINDS

    def note(self, *kind: str, count: int = 1, **fields: Any) -> None:  # noqa: ANN401
        """Count `count` occurrences. `fields` are those of a line.

        There must be few kinds; if they come from outside, ask `has_room`.
        """
        untold = self._kinds.setdefault(kind, _Untold())
        untold.count += count
        for name in self.added:
            fields[name] += untold.fields.get(name, 0)
        untold.fields = fields
        self._tell(untold)

    def tick(self) -> None:
        """Log the occurrences that no line has counted yet, and forget kinds without any."""
        for kind, untold in [*self._kinds.items()]:
            if untold.count:
                self._tell(untold)
            elif self.monotonic() >= untold.next_line:
                del self._kinds[kind]

    def _tell(self, untold: _Untold) -> None:
        now = self.monotonic()
        if now >= untold.next_line:
            log.log(self.level, self.event, **untold.fields, **{self.counted: untold.count})
            untold.next_line, untold.count, untold.fields = now + self.seconds, 0, {}


class _Untold:
    """Occurrences of one kind since its last line."""

    def __init__(self) -> None:
        self.next_line = float("-inf")
        self.count = 0
        self.fields: dict[str, Any] = {}


async def tick_all(throttles: Iterable[Throttle]) -> None:
    """Tick until cancelled."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        for each in throttles:
            each.tick()
