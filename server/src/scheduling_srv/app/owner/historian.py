"""Keeps the history within its bounds (docs/decisions/0031)."""

from __future__ import annotations

import asyncio

import structlog

from scheduling_srv.app.ports import Clock
from scheduling_srv.app.run_ports import HistoryBounds, HistoryTrimming
from scheduling_srv.domain.errors import Unavailable

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""Seconds between two looks: so much more than the bounds there may be for a moment."""
REST_SECONDS = 0.01
"""Seconds between two calls that take something out: emission goes first."""


class Historian:
    """Of one shard, for its owner."""

    def __init__(self, store: HistoryTrimming, clock: Clock, bounds: HistoryBounds) -> None:
        self.store = store
        self.clock = clock
        self.bounds = bounds

    async def run(self, token: str) -> None:
        """Take out what is too old or too much, again and again. Raises `LeaseLost`."""
        while True:
            has_more = await self.run_once(token)
            await asyncio.sleep(REST_SECONDS if has_more else PAUSE_SECONDS)

    async def run_once(self, token: str) -> bool:
        """Returns whether there may be more to take out. Raises `LeaseLost`."""
        try:
            return await self.store.trim(token, self.clock.now(), self.bounds)
        except Unavailable as fault:
            log.debug("the history cannot be trimmed now", reason=str(fault))
            return False
