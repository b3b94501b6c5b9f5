"""When a store call for a few jobs is worth making.

What is stored during a transaction is announced by the next one, and each costs a write to disk and
a round of Kafka's coordinator. So calls with few jobs wait for the end of the one that is under
way. Its end answers the calls that it announced; who made them may be about to make the next ones,
so these are waited for as well, briefly. A client that was alone is not kept waiting by that: its
own call is the one that was waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scheduling_srv.app.waiting import wait

PATIENCE = 0.02
"""Seconds that a call may wait for the end of a transaction."""
GAP = 0.003
"""Seconds without a call after which nobody is likely to come back."""
LONGEST = 0.02
"""Seconds that it may wait for others to come back, however many do."""
MOST = 0.75
"""Of those who were answered, so many are enough."""


class Gathering:
    """Of one shard."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._quiet = asyncio.Event()
        self._quiet.set()
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

    def answered(self, calls: int) -> None:
        """So many calls were answered at once."""
        if calls:
            self._awaited = int(calls * MOST)

    def called(self) -> None:
        """A call came."""
        self._awaited = max(0, self._awaited - 1)
        if self._awaited <= 0:
            self._back.set()

    async def until_worthwhile(self) -> None:
        """Return when what is stored next may well be announced next."""
        await wait(self._quiet, PATIENCE)
        last = self.monotonic() + LONGEST
        while self._awaited > 0:
            before = self._awaited
            self._back.clear()
            await wait(self._back, GAP)
            if self._awaited == before or self.monotonic() > last:
                self._awaited = 0
