"""Spreads the shards over the replicas (docs/decisions/0004)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from scheduling_srv.app.owner.owner import Owner
from scheduling_srv.app.ports import Lease, Signals
from scheduling_srv.domain.errors import Unavailable

log = structlog.get_logger(__name__)

LOOK = 1.0
"""Seconds between looks."""
HELD_BACK = 0.3
"""Seconds, for each shard that this replica owns, that it leaves a free lease to others."""
LONGEST = 1.5
"""Seconds at most: nobody else may want it."""
UNEVEN = 2
"""Shards that one replica may have more than another, less one: giving one back must help."""


class Balance:
    """Gives a shard back when another replica has two fewer, and lets others take leases first."""

    def __init__(self, name: str, signals: Signals, leases: Sequence[Lease]) -> None:
        self.name = name
        self.signals = signals
        self.leases = leases
        self.owners: Sequence[Owner] = ()

    def held_back(self) -> float:
        """Seconds to wait before taking another lease."""
        return min(LONGEST, HELD_BACK * sum(owner.owning for owner in self.owners))

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.run_once()
            except Unavailable as fault:
                log.debug("shards not spread", reason=str(fault))

    async def run_once(self) -> bool:
        """Give back one shard, if that helps and all of ours are at work."""
        ours = [owner for owner in self.owners if owner.owning]
        if len(ours) < UNEVEN or not all(owner.emitting for owner in ours):
            return False
        owned = Counter(dict.fromkeys(await self.signals.replicas(), 0))
        for holder in await asyncio.gather(*(lease.holder() for lease in self.leases)):
            if holder is None:
                return False  # somebody is about to take it
            owned[holder.token.rpartition(":")[0]] += 1
        if owned[self.name] - min(owned.values()) < UNEVEN:
            return False
        log.info("giving a shard to another replica", shard=ours[-1].shard)
        ours[-1].leave()
        return True
