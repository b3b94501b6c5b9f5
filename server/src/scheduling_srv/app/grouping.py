"""Group commit: single calls that arrive together share one store call."""

from __future__ import annotations

import asyncio

from scheduling_srv.app.budget import CALL_BYTES, CALL_JOBS, bytes_of, jobs_of
from scheduling_srv.app.gathering import Gathering
from scheduling_srv.app.ports import Clock, JobStore, Receipt, Refusal, WriteGroup

FEW_JOBS = 200
"""Jobs below which a store call may wait for more."""
MOST_GROUPS = 500
"""Calls that share one store call."""

Outcome = tuple[Receipt, Refusal | None]


class GroupCommit:
    """While one store call is under way, the next one gathers.

    With `gathering` also for a while longer, when it says so.
    """

    def __init__(self, store: JobStore, clock: Clock, gathering: Gathering | None = None) -> None:
        self.store = store
        self.clock = clock
        self.gathering = gathering
        self._queue: list[tuple[WriteGroup, asyncio.Future[Outcome]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, group: WriteGroup) -> Outcome:
        """Write the group, together with other waiting groups. Raises `Unavailable`."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((group, future))
        if self.gathering:
            self.gathering.called()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        while self._queue:
            if self.gathering and sum(len(group.jobs) for group, _ in self._queue) < FEW_JOBS:
                await self.gathering.until_worthwhile()
            if not (batch := self._next_batch()):
                continue
            try:
                written = await self.store.write([group for group, _ in batch], self.clock.now())
            except Exception as fault:  # noqa: BLE001 - each caller raises it as its own
                for _, future in batch:
                    if not future.done():
                        future.set_exception(fault)
                continue
            if self.gathering and None in written.refusals:
                self.gathering.stored(written.receipt)
            for (_, future), refusal in zip(batch, written.refusals, strict=True):
                if not future.done():
                    future.set_result((written.receipt, refusal))

    def _next_batch(self) -> list[tuple[WriteGroup, asyncio.Future[Outcome]]]:
        # The jobs of a caller that has given up are not written.
        self._queue = [call for call in self._queue if not call[1].done()]
        size = jobs = volume = 0
        for group, _ in self._queue[:MOST_GROUPS]:
            jobs += jobs_of(group)
            volume += bytes_of(group)
            if size and (jobs > CALL_JOBS or volume > CALL_BYTES):
                break
            size += 1
        batch, self._queue = self._queue[:size], self._queue[size:]
        return batch
