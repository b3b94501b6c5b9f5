"""Waits for the lease of a shard: it is given back, it ends, or its holder is gone.

A standby connects to Kafka meanwhile, so that taking over is quick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import structlog

from scheduling_srv.app.ports import Clock, Lease
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import PublishFailed, Unavailable

log = structlog.get_logger(__name__)

Prepare: TypeAlias = Callable[[], Awaitable[None]]
"""Connects, and returns at once when that is done already. Disturbs nobody."""

GONE_MS = 500
"""A holder that was not connected for so long is taken for dead.

Longer than a living one needs to connect again when Redis was restarted. A mistake costs a
take-over and nothing else: whoever is replaced is fenced, dead or alive.
"""
LOOK_MS = 250
"""Between looks."""


class StandBy:
    """Watches the holder of the lease, and finds out whether it is dead."""

    def __init__(
        self, *, lease: Lease, clock: Clock, rules: ShardRules, connect: Sequence[Prepare] = ()
    ) -> None:
        self.connect = connect
        self.lease = lease
        self.clock = clock
        self.rules = rules
        self.dead = ""
        """Token of a holder that is taken for dead."""
        self._missed = ""
        self._missed_since = 0

    async def prepare(self) -> None:
        """Connect to Kafka, so that taking over is quick. It is no problem if Kafka is away."""
        connecting = [connect() for connect in self.connect]
        for fault in await asyncio.gather(*connecting, return_exceptions=True):
            if isinstance(fault, PublishFailed | Unavailable):
                log.debug("not prepared to take over", reason=str(fault))
            elif fault:
                raise fault

    async def look(self) -> int:
        """Look at the holder; returns in how many milliseconds to try for the lease."""
        holder = await self.lease.holder()
        if holder is None:
            return 0
        if not holder.gone:
            self._missed = self.dead = ""
            return min(holder.left + 1, LOOK_MS, max(1, self.rules.lease // 6))
        now = self.clock.now()
        if self._missed != holder.token:
            self._missed, self._missed_since, self.dead = holder.token, now, ""
        left = self._missed_since + GONE_MS - now
        if left <= 0:
            self.dead = holder.token
        return max(0, min(left, holder.left + 1))

    def forget(self) -> None:
        """The store did not answer: what was seen before says nothing."""
        self._missed = self.dead = ""
