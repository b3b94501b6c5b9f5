"""Lets the stager and the publisher take turns.

While there is little to do: what is staged during a transaction has to wait for its end. Staging a
few runs one by one only makes calls, each with its write to disk; it is better to stage them
together when the transaction ends, and to publish them then.

While there is much: both go on at the same time, but the stager stays only a little ahead. What
waits in the outbox waits in order, and a job that a client creates now would be announced behind
everything that was staged before.
"""

from __future__ import annotations

import asyncio

from scheduling_srv.app.waiting import wait

FEW = 200
"""Runs of a staging call below which the next call waits for the publisher."""
AHEAD = 1_000
"""Entries in the outbox with which the stager waits: a transaction."""
PATIENCE = 0.1
"""Seconds that either waits for the other at most."""


class Turns:
    """Of one owner."""

    def __init__(self) -> None:
        self._waiting = False
        self._ahead = 0
        self._free = asyncio.Event()
        self._looked = asyncio.Event()

    async def after_staging(self, entries: int, *, more: bool = False) -> None:
        """The stager: go on when the publisher has taken what there is, or enough of it.

        `more`: something else is due already. A job that is behind runs once in each call.
        """
        self._looked.set()
        self._ahead += entries
        few = entries < FEW and not more
        if entries and (few or self._ahead >= AHEAD):
            self._free.clear()
            self._waiting = few
            try:
                await wait(self._free, PATIENCE)
            finally:
                self._waiting = False

    def leave(self) -> None:
        """Nobody waits for the other any more."""
        self._free.set()
        self._looked.set()

    def nothing_due(self) -> None:
        """The stager: the publisher need not wait."""
        self._looked.set()

    async def before_taking(self) -> None:
        """The publisher: let a stager that waits look once."""
        if self._waiting:
            self._looked.clear()
            self._free.set()
            await wait(self._looked, PATIENCE)

    def taken(self, left: int) -> None:
        """The publisher: so many entries are left in the outbox."""
        self._ahead = left
        if left < AHEAD and not self._waiting:
            self._free.set()
