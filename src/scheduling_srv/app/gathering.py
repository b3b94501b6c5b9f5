"""When a store call for a few jobs is worth making.

Each costs a write to disk, and a transaction that announces it. What is stored while another
transaction is under way, or about to begin, is announced by the one behind it, as is all that comes
until then. So calls with few jobs wait for its end. Its end answers the calls that it announced;
who made them may be about to make the next ones, so these are waited for as well while they keep
coming. A client that was alone is not kept waiting by that: its own call is the one that was waited
for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.waiting import wait

PATIENCE = 0.02
"""Seconds that a call may wait for the end of a transaction."""
GAP = 0.003
"""Seconds without a call after which nobody is likely to come back."""
LONGEST = 0.02
"""Seconds that a call may wait for others to come back, however many do."""
MOST = 0.75
"""Of those who were answered, so many are enough."""


class Gathering:
    """Of one shard."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._announced = asyncio.Event()
        self._stored = self._published = Receipt("", 0)
        self._back = asyncio.Event()
        self._awaited = 0

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While something is being published."""
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
            self._awaited = int(answered * MOST)

    def _is_pending(self) -> bool:
        stored, published = self._stored, self._published
        return stored.lineage == published.lineage and stored.number > published.number

    async def until_worthwhile(self) -> None:
        """Return when what is stored next may well be announced next."""
        if not self._quiet.is_set():
            await wait(self._quiet, PATIENCE)
        elif self._is_pending():
            self._announced.clear()
            await wait(self._announced, PATIENCE)
        await self._until_back()

    async def _until_back(self) -> None:
        last = self.monotonic() + LONGEST
        while self._awaited > 0:
            before = self._awaited
            self._back.clear()
            await wait(self._back, GAP)
            if self._awaited == before or self.monotonic() > last:
                self._awaited = 0
