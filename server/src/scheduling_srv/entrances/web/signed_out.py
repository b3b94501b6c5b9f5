"""Sessions that were signed out: a copy of their cookie opens nothing any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.entrances.web.sessions import Session

MOST_KNOWN = 10_000
"""Sessions that a replica knows by itself."""
AGAIN_SECONDS = 5.0
"""For which a store that has failed is not asked again."""


class SignedOutStore(Protocol):
    """What all replicas share."""

    async def add(self, session: str, until: int) -> None:
        """Keep the id of a session until it would have ended. Raises `Unavailable`."""

    async def has(self, session: str) -> bool:
        """Raises `Unavailable`."""


class SignedOut:
    """Without the store each replica knows those that signed out there."""

    def __init__(self, store: SignedOutStore | None, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._clock = time.time
        self._known: dict[str, int] = {}
        """Id -> when the session ends, in epoch seconds; the oldest entry first."""
        self._again_at = float("-inf")

    async def end(self, session: Session) -> None:
        """No request with it counts any more. Raises `Unavailable`: others do not know of it."""
        self._note(session.id, session.until)
        if self._store:
            await self._store.add(session.id, session.until)

    def knows(self, session: str) -> bool:
        """Whether this replica has seen it end."""
        return session in self._known

    async def has(self, session: Session) -> bool:
        """Whether it has ended. While Redis is away, it counts: the pages show the outage."""
        if self.knows(session.id):
            return True
        if self._store is None or self._monotonic() < self._again_at:
            return False
        try:
            found = await self._store.has(session.id)
        except Unavailable:
            self._again_at = self._monotonic() + AGAIN_SECONDS
            return False
        if found:
            self._note(session.id, session.until)
        return found

    def _note(self, session: str, until: int) -> None:
        now = self._clock()
        while self._known:
            oldest = next(iter(self._known))
            if len(self._known) < MOST_KNOWN and self._known[oldest] > now:
                break
            del self._known[oldest]
        self._known[session] = until
