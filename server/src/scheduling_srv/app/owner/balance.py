"""Spreads the shards over the replicas (docs/decisions/0004).

A replica leaves free leases to others while it owns shards, and gives one back that others lack.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import structlog

from scheduling_srv.app.ports import Lease, Signals
from scheduling_srv.domain.errors import Unavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""Between looks."""
COURTESY_SECONDS = 0.3
"""For each shard that this replica owns, it leaves a free lease to others for so long."""
MOST_COURTESY_SECONDS = 1.5
"""At most: perhaps no other replica wants it."""
UNEVEN_SHARDS = 2
"""With so many more than another replica, this one gives a shard back: giving must help."""


class ShardOwner(Protocol):
    """The owner of a shard in this replica, as `Balance` sees it."""

    @property
    def shard(self) -> int:
        """Its number."""

    @property
    def owning(self) -> bool:
        """Whether this replica has the lease."""

    @property
    def emitting(self) -> bool:
        """Whether it is at work."""

    def leave(self) -> None:
        """Let others have it."""


class Holdings(set[int]):
    """Numbers of the shards that this replica owns."""

    def courtesy_seconds(self) -> float:
        """How long to wait before taking another lease."""
        return min(MOST_COURTESY_SECONDS, COURTESY_SECONDS * len(self))


class Balance:
    """Gives a shard back when another replica has two fewer."""

    def __init__(
        self, *, name: str, signals: Signals, leases: Sequence[Lease], owners: Sequence[ShardOwner]
    ) -> None:
        """`name` is that of the replica; `owners` are those of its shards."""
        self.name = name
        self.signals = signals
        self.leases = leases
        self.owners = owners

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.run_once()
            except Unavailable as fault:
                log.debug("shards not spread", reason=str(fault))

    async def run_once(self) -> bool:
        """Give back one shard, if that helps and all of ours are at work."""
        ours = [owner for owner in self.owners if owner.owning]
        if len(ours) < UNEVEN_SHARDS or not all(owner.emitting for owner in ours):
            return False
        owned = Counter(dict.fromkeys(await self.signals.replicas(), 0))
        for holder in await asyncio.gather(*(lease.holder() for lease in self.leases)):
            if holder is None:
                return False  # somebody is about to take it
            owned[holder.token.rpartition(":")[0]] += 1
        if owned[self.name] - min(owned.values()) < UNEVEN_SHARDS:
            return False
        log.info("giving a shard to another replica", shard=ours[-1].shard)
        ours[-1].leave()
        return True
