"""Decides when to make a store call for a few jobs.

Each store call costs a write to disk, and a transaction that announces it. Anything stored during a
transaction is published by the next one. So calls with few jobs wait for the end of the current
transaction. Its end answers calls, and their clients may soon make the next ones. So the store call
also waits for those, as long as they keep coming. A single client does not wait longer: the next
call is its own.

While Kafka is behind, the next transaction is full already. Then a change that is stored later is
only announced later, so no call waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.waiting import wait

PATIENCE_SECONDS = 0.02
"""Seconds that a call may wait for the end of a transaction."""
GAP_SECONDS = 0.003
"""Seconds without a call after which no further client is likely to call again."""
LONGEST_SECONDS = 0.02
"""Seconds that a call may wait for other clients to call again."""
ENOUGH_SHARE = 0.75
"""Share of the answered clients that is enough."""


class Gathering:
    """Decides for one shard when a store call is made."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._announced = asyncio.Event()
        self._stored = self._published = Receipt("", 0)
        self._back = asyncio.Event()
        self._awaited = 0
        self._behind = False
        """Whether more waited for Kafka than the last transaction took."""

    @contextmanager
    def under_way(self, *, behind: bool = False) -> Iterator[None]:
        """While something is being published; `behind`: more waits than that."""
        self._behind = behind
        self._quiet.clear()
        try:
            yield
        finally:
            self._quiet.set()

    def called(self) -> None:
        """A call came."""
        self._awaited = max(0, self._awaited - 1)
        if self._awaited <= 0:
            self._back.set()

    def stored(self, receipt: Receipt) -> None:
        """Something was stored that is to be announced."""
        self._stored = receipt

    def published(self, lineage: str, number: int, answered: int) -> None:
        """All up to `number` is announced, which has answered so many calls."""
        self._published = Receipt(lineage, number)
        if not self._is_pending():
            self._announced.set()
        if answered:
            self._awaited = int(answered * ENOUGH_SHARE)

    def _is_pending(self) -> bool:
        stored, published = self._stored, self._published
        return stored.lineage == published.lineage and stored.number > published.number

    async def until_worthwhile(self) -> None:
        """Return when the next transaction can announce a change that is stored now."""
        if self._behind:
            return
        if not self._quiet.is_set():
            await wait(self._quiet, PATIENCE_SECONDS)
        elif self._is_pending():
            self._announced.clear()
            await wait(self._announced, PATIENCE_SECONDS)
        await self._until_back()

    async def _until_back(self) -> None:
        last = self.monotonic() + LONGEST_SECONDS
        while self._awaited > 0:
            before = self._awaited
            self._back.clear()
            await wait(self._back, GAP_SECONDS)
            if self._awaited == before or self.monotonic() > last:
                self._awaited = 0
