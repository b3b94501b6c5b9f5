"""Adds the runs of backfills, so many at a time as each may have open.

A call notes how far it is together with the runs that it adds: the next owner goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

import structlog

from scheduling_srv.app.ports import Clock
from scheduling_srv.app.run_control_ports import BackfillStore, OpenBackfill
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import RequestError, Unavailable
from scheduling_srv.formats.occurrences import occurrences_within
from scheduling_srv.runtime.states import State

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
"""The owner looks so often without being called: signals may be lost."""
PIECE_RUNS = 500
"""Runs of one call."""


class Backfiller:
    """Of one shard, for its owner."""

    def __init__(self, store: BackfillStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._called = asyncio.Event()
        self._fills = State("backfills do not go on", "backfills go on again")

    def notice(self) -> None:
        """A backfill has begun, or one of its runs has ended."""
        self._called.set()

    async def run(self, token: str) -> None:
        """Add runs whenever there is room, until cancelled. Raises `LeaseLost`."""
        with self._fills.watched():
            while True:
                self._called.clear()
                try:
                    await self.run_once(token)
                except Unavailable as fault:
                    self._fills.fails(str(fault))
                else:
                    self._fills.works()
                await wait(self._called, LOOK_SECONDS)

    async def run_once(self, token: str) -> None:
        """Add the runs that there is room for. Raises `LeaseLost` and `Unavailable`."""
        while True:
            done = [
                await self._fill(token, backfill)
                for backfill in await self.store.open_backfills(token)
            ]
            if not any(done):
                return

    async def _fill(self, token: str, backfill: OpenBackfill) -> bool:
        """Returns whether it went on."""
        most = min(backfill.room, PIECE_RUNS)
        try:
            found = [*islice(self._left(backfill), most + 1)]
        except RequestError as fault:
            log.warning("a backfill ends", job=backfill.job_id, reason=str(fault))
            found = []
        following = found[most] if len(found) > most else None
        return await self.store.fill(token, backfill, following, found[:most], self.clock.now())

    @staticmethod
    def _left(backfill: OpenBackfill) -> Iterator[int]:
        return occurrences_within(backfill.record, backfill.next, backfill.next, backfill.until)
