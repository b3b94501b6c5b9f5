"""Indexes the jobs and runs that an earlier format has stored (docs/decisions/0031).

The owner does it once after an upgrade, piece by piece. Lists show all jobs before.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from scheduling_srv.app.ports import JobIndex
from scheduling_srv.domain.errors import Unavailable

log = structlog.get_logger(__name__)

REST = 3
"""How many times as long as a call took the indexer rests after it: emission goes first."""
LEAST_REST_SECONDS = 0.005
RETRY_SECONDS = 1.0
"""Seconds until it goes on after Redis did not answer."""


class Indexer:
    """Of one shard, for its owner."""

    def __init__(self, index: JobIndex) -> None:
        self.index = index

    async def run(self, token: str) -> None:
        """Index what there is, then wait to be cancelled. Raises `LeaseLost`."""
        while True:
            try:
                await self.run_once(token)
            except Unavailable as fault:
                log.debug("older jobs cannot be indexed now", reason=str(fault))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                # A later format takes the lease away: the next owner indexes again.
                await asyncio.get_running_loop().create_future()

    async def run_once(self, token: str) -> None:
        """Index what there is. Raises `Unavailable`, `LeaseLost`."""
        while True:
            began = time.monotonic()
            if not await self.index.index_older(token):
                return
            await asyncio.sleep(max(LEAST_REST_SECONDS, REST * (time.monotonic() - began)))
