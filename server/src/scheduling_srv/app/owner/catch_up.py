"""Applies the waiting events of the jobs topic before time moves on (docs/decisions/0012).

After a take-over the owner reads the topic itself, and stages overdue runs only after that. A run
expires only after the owner has read the topic up to its end as of the run's deadline.
"""

from __future__ import annotations

import asyncio

import structlog

from scheduling_srv.app.ports import Inputs
from scheduling_srv.domain.errors import StaleSource, Unavailable
from scheduling_srv.runtime.states import State

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.2
"""Between two attempts, and between two looks for runs that are to expire."""


class CatchUp:
    """Of one shard, for its owner."""

    def __init__(
        self, *, inputs: Inputs, limit_ms: int, rest_seconds: float = RETRY_SECONDS
    ) -> None:
        """`limit_ms` bounds how long overdue runs wait for it; `rest_seconds`: after a reading."""
        self.inputs = inputs
        self.rest_seconds = rest_seconds
        self.limit_ms = limit_ms
        self.read_at = 0
        """All that the topic held at this instant, in epoch ms, is applied."""
        self._wanted = asyncio.Event()

    async def before_staging(self) -> None:
        """Return when all inputs are applied, or when the limit is reached."""
        self.read_at = 0
        try:
            async with asyncio.timeout(self.limit_ms / 1000):
                await self._until_read()
        except TimeoutError:
            log.warning(
                "not all waiting events are applied: overdue runs are emitted now",
                waited_ms=self.limit_ms,
            )

    def covers(self, deadline: int) -> bool:
        """Whether a run with this deadline, in epoch ms, may expire. If not, `run` reads on."""
        if self.read_at < deadline:
            self._wanted.set()
        return self.read_at >= deadline

    async def run(self, _token: str) -> None:
        """Read whenever a run waits for it, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._until_read()
            await asyncio.sleep(self.rest_seconds)

    async def _until_read(self) -> None:
        names = "waiting events are not read yet", "waiting events are read"
        with State(*names).watched() as state:
            while True:
                try:
                    self.read_at = await self.inputs.read()
                except (StaleSource, Unavailable) as fault:
                    state.fails(str(fault))
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    state.works()
                    return
