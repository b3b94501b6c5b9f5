"""The use cases that pause and resume jobs and types (docs/decisions/0030)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from scheduling_srv.app.ports import Bulk, Clock, PauseStore
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.requests.pause_notes import PauseNotes
from scheduling_srv.app.requests.selecting import Selected, select
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.pause import NOT_PAUSED, Pause
from scheduling_srv.formats import pause_note

Told = Callable[[Sequence[str]], None]
"""Is called with the ids of a step before they are changed."""


class PauseCalls:
    """After a call has paused jobs, only runs by hand of these jobs are emitted."""

    def __init__(
        self, store: ShardedStore, listing: JobListing, notes: PauseNotes, clock: Clock
    ) -> None:
        self.store = store
        self.listing = listing
        self.notes = notes
        self.clock = clock

    async def pause(
        self, call: BulkCall, note: str, by: str, selected: Told = lambda _ids: None
    ) -> Progress:
        """Pause jobs, one step. A job that is paused already keeps its note.

        Raises `InvalidRequest`, `FormatTooOld` and `Unavailable`.
        """
        text = pause_note.pack(Pause(self.clock.now(), note, by))
        chosen = await select(self.listing, call)
        selected(chosen.ids)
        if call.dry_run:
            return self._progress(chosen, len(chosen.jobs) - await self._paused(chosen))
        return await self._change(
            chosen, lambda at: at.pause(chosen.ids, text, types=False, within=call.within)
        )

    async def resume(self, call: BulkCall, selected: Told = lambda _ids: None) -> Progress:
        """End the pauses of jobs, one step. Raises `InvalidRequest` and `Unavailable`.

        The owner lets what rested go on, piece by piece.
        """
        now = self.clock.now()
        chosen = await select(self.listing, call)
        selected(chosen.ids)
        if call.dry_run:
            return self._progress(chosen, await self._paused(chosen))
        return await self._change(
            chosen, lambda at: at.resume(chosen.ids, now, types=False, within=call.within)
        )

    async def pause_type(self, job_type: str, note: str, by: str) -> Pause:
        """Returns the pause: the earlier one if the type was paused already.

        Raises `FormatTooOld`, `TooMany` and `Unavailable`.
        """
        pause = Pause(self.clock.now(), note, by)
        text = pause_note.pack(pause)
        changed = await self._for_type(job_type, lambda at: at.pause([job_type], text, types=True))
        return pause if changed else await self.notes.of_type(job_type) or pause

    async def resume_type(self, job_type: str) -> bool:
        """Returns whether it was paused. Raises `Unavailable`."""
        now = self.clock.now()
        return await self._for_type(job_type, lambda at: at.resume([job_type], now, types=True))

    async def paused_types(self) -> Sequence[tuple[str, Pause]]:
        """The types that are paused, in the order of their names. Raises `Unavailable`."""
        return await self.notes.types()

    async def _paused(self, chosen: Selected) -> int:
        """How many of the jobs are paused themselves."""
        notes = await self.notes.of_jobs(chosen.jobs)
        return sum(notes.get(each.job.id, NOT_PAUSED).own is not None for each in chosen.jobs)

    async def _change(
        self, chosen: Selected, change: Callable[[PauseStore], Awaitable[Bulk]]
    ) -> Progress:
        """Every shard looks for its own jobs."""
        shards = range(len(self.notes.shards)) if chosen.ids else ()
        return self._progress(chosen, await self._announced(shards, change))

    async def _for_type(
        self, job_type: str, change: Callable[[PauseStore], Awaitable[Bulk]]
    ) -> bool:
        return bool(await self._announced([shard_of(job_type, len(self.notes.shards))], change))

    async def _announced(
        self, shards: Sequence[int], change: Callable[[PauseStore], Awaitable[Bulk]]
    ) -> int:
        """Returns how many were changed, once Kafka has all of it."""
        floors = [self.store.shards[shard].announcements.number for shard in shards]
        done = await asyncio.gather(*(change(self.notes.shards[shard]) for shard in shards))
        await self.store.announced(
            [
                Stored(shard, bulk.receipt, floor, ends=True)
                for shard, bulk, floor in zip(shards, done, floors, strict=True)
            ]
        )
        return sum(each.changed for each in done)

    @staticmethod
    def _progress(chosen: Selected, changed: int) -> Progress:
        return Progress(len(chosen.jobs), changed, chosen.token)
