"""Removes void jobs, if nobody else did, and waiting retries of jobs that are gone."""

from __future__ import annotations

import asyncio

import structlog

from scheduling_srv.app.ports import JobStore
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.runtime.states import State

log = structlog.get_logger(__name__)

LOOK = 30.0
"""Seconds after which the owner looks although nobody called."""
PIECE_PAUSE_S = 0.02
"""Seconds between two pieces of waiting retries: nobody waits for their removal."""


class Sweeper:
    """Whoever deletes sweeps at once; the owner sweeps again, in case that one has died."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self._called = asyncio.Event()
        self._sweeps = State("deleted jobs are not removed", "deleted jobs are removed again")

    def notice(self) -> None:
        """Something was made void."""
        self._called.set()

    async def run(self, _token: str) -> None:
        """Sweep whenever it is called for, until cancelled."""
        with self._sweeps.watched():
            while True:
                self._called.clear()
                await self.run_once()
                await wait(self._called, LOOK)

    async def run_once(self) -> None:
        """Sweep what there is."""
        try:
            await self.store.sweep()
            await self._sweep_retries()
        except Unavailable as fault:
            self._sweeps.fails(str(fault))
        else:
            self._sweeps.works()

    async def _sweep_retries(self) -> None:
        while True:
            if not await self.store.sweep_retries():
                return
            await asyncio.sleep(PIECE_PAUSE_S)
