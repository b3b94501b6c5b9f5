"""The overview: one cheap call a shard, and what is known of health and lag."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from scheduling_srv.app.health.health import Health
from scheduling_srv.app.ports import Clock
from scheduling_srv.app.run_ports import ShardOverview
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.domain.overview import Overview, all_together
from scheduling_srv.formats.positions import InputPosition, Place

FRESH_SECONDS = 1.0
"""How long an overview is handed out again: callers may be many, calls to Redis must not be."""
PATIENCE_SECONDS = 1.0
"""It does not wait longer for the lag, or for a shard."""
MARKER = 1
"""The offset of the marker that ends a transaction: one may follow the last record of a partition,
and consumers need not come past it."""


class Positions(Protocol):
    """The applied positions of a shard: `InputStore`."""

    async def positions(self) -> tuple[str, Mapping[str, InputPosition]]:
        """The lineage, and `topic:partition` -> its applied position."""


class Ends(Protocol):
    """The ends of partitions."""

    async def ends(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, int]]:
        """The begin and the end of each. Raises `LogUnavailable`."""


class Lag:
    """How many records the consumer group has not applied yet."""

    def __init__(self, shards: Sequence[Positions], logs: Ends) -> None:
        self.shards = shards
        self.logs = logs

    async def records(self) -> int:
        """Of the shard that is furthest behind in each partition. Raises `Unavailable`."""
        found = await asyncio.gather(*(shard.positions() for shard in self.shards))
        behind = dict[Place, int]()
        for _, positions in found:
            for name, position in positions.items():
                place = Place.of(name)
                behind[place] = min(position.next, behind.get(place, position.next))
        ends = await self.logs.ends([*behind])
        return sum(max(0, end - behind[place] - MARKER) for place, (_, end) in ends.items())


class OverviewCalls:
    """One for a replica."""

    def __init__(
        self,
        shards: Sequence[ShardOverview],
        health: Health,
        lag: Lag,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shards`: in their order."""
        self.shards = shards
        self.health = health
        self.lag = lag
        self.clock = clock
        self.monotonic = monotonic
        self._lock = asyncio.Lock()
        self._fresh_until = float("-inf")
        self._overview: Overview | None = None

    async def overview(self) -> Overview:
        """Of the last second. While a server is away its figures are 0, and health says why."""
        async with self._lock:
            if self._overview is None or self.monotonic() >= self._fresh_until:
                self._overview = await self._ask()
                self._fresh_until = self.monotonic() + FRESH_SECONDS
            return self._overview

    async def _ask(self) -> Overview:
        now = self.clock.now()
        details = await self.health.details()
        found = await self._store(now)
        return found._replace(
            serving=details.ready,
            reasons=[*details.reasons, *details.degraded],
            lag=await self._lag() if found.owners else 0,
        )

    async def _store(self, now: int) -> Overview:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                views = await asyncio.gather(*(shard.overview(now) for shard in self.shards))
        except (Unavailable, TimeoutError):
            views = []
        return all_together(views, now)

    async def _lag(self) -> int:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self.lag.records()
        except (Unavailable, TimeoutError):
            return 0
