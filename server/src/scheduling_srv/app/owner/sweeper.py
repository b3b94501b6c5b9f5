"""Removes void jobs that a crash has left, and waiting retries of jobs that are gone.

The replica that deletes sweeps at once; the owner sweeps again, in case that replica has died.
"""

from __future__ import annotations

import asyncio

import structlog

from scheduling_srv.app.ports import JobStore
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.runtime.states import State

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""The owner looks so often without being called."""
PIECE_PAUSE_SECONDS = 0.02
"""Between two pieces of waiting retries: no caller waits for their removal."""


class Sweeper:
    """Of one shard, for its owner."""

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
                await wait(self._called, LOOK_SECONDS)

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
            await asyncio.sleep(PIECE_PAUSE_SECONDS)
