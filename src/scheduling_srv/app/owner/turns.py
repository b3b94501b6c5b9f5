"""Lets the stager and the publisher take turns.

While there is little to do: what is staged during a transaction has to wait for its end. Staging a
few runs one by one only makes calls, each with its write to disk; it is better to stage them
together when the transaction ends, and to publish them then.

While there is much: both go on at the same time, but the stager stays only a little ahead. What
waits in the outbox waits in order, and a job that a client creates now would be announced behind
everything that was staged before.

A staging call that finds the publisher at rest takes for it as well: one call, and one write to
disk, instead of two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from scheduling_srv.app.ports import Schedule
from scheduling_srv.app.replies import Backlog, Cursor, Staged, Taken
from scheduling_srv.app.waiting import wait

FEW = 200
"""Runs of a staging call below which the next call waits for the publisher."""
AHEAD = 1_000
"""Entries in the outbox with which the stager waits: a transaction."""
AHEAD_BYTES = 8_000_000
"""The same in bytes: a transaction of large jobs has few entries."""
PATIENCE = 0.1
"""Seconds that either waits for the other at most."""


class Taker(Protocol):
    """The publisher, for whom the stager may take."""

    handed_out: Callable[[Backlog], None]
    """To be called with the entries that are left, whenever there was a look at them."""

    @property
    def offered(self) -> bool:
        """Whether it has entries to publish already."""

    def cursor(self) -> Cursor | None:
        """From where to take; None when it has entries already, or must not take now."""

    def offer(self, taken: Taken, cursor: Cursor) -> None:
        """What was taken for it."""

    async def run_once(self, token: str) -> int:
        """Publish a batch; returns how many entries it had."""


class Turns:
    """Of one owner."""

    def __init__(self, schedule: Schedule, publisher: Taker) -> None:
        self.schedule = schedule
        self.publisher = publisher
        publisher.handed_out = self._handed_out
        self._taking = asyncio.Lock()
        """Held by whoever takes, or publishes what was taken. The stager never waits for it: a
        cursor that has waited is one of before."""
        self._publishing = False
        """Whether the publisher has the lock, or waits for it."""
        self._waiting = False
        self._left = Backlog()
        self._free = asyncio.Event()
        self._looked = asyncio.Event()

    async def stage(self, token: str, now: int, limit: int) -> Staged:
        """The stager's call, which takes for a publisher that is at rest."""
        cursor = None if self._publishing else self.publisher.cursor()
        if cursor is None:
            staged = await self.schedule.stage(token, now, limit)
            left = self._left
            self._left = Backlog(left.entries + staged.entries, left.size + staged.size)
            return staged
        async with self._taking:
            staged = await self.schedule.stage(token, now, limit, cursor)
            if staged.taken:
                self.publisher.offer(staged.taken, cursor)
        self._looked.set()
        return staged

    async def publish(self, token: str) -> int:
        """The publisher's round, after a look of a stager that waits for it."""
        if not self.publisher.offered:
            await self._before_taking()
        elif self._left.entries:
            self._free.set()  # more waits already: there is nothing to gather for
        self._publishing = True
        try:
            async with self._taking:
                return await self.publisher.run_once(token)
        finally:
            self._publishing = False

    async def after_staging(self, entries: int, *, more: bool = False) -> None:
        """The stager: go on when the publisher has taken what there is, or enough of it.

        `more`: something else is due already. A job that is behind runs once in each call.
        """
        self._looked.set()
        few = entries < FEW and not more
        if entries and (few or _is_far_ahead(self._left)):
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

    async def _before_taking(self) -> None:
        if self._waiting:
            self._looked.clear()
            self._free.set()
            await wait(self._looked, PATIENCE)

    def _handed_out(self, left: Backlog) -> None:
        self._left = left
        if not _is_far_ahead(left) and not self._waiting:
            self._free.set()


def _is_far_ahead(left: Backlog) -> bool:
    return left.entries >= AHEAD or left.size >= AHEAD_BYTES
