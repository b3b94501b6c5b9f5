"""The use cases that pause and resume jobs and types (docs/decisions/0030)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from scheduling_srv.app.ports import Bulk, Clock, PauseStore
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored
from scheduling_srv.domain.errors import InvalidRequest, Violation

LONGEST_NOTE, LONGEST_BY = 1024, 255
"""Bytes."""
PIECE = 250
"""Ids of one store call."""


class PauseNote(NamedTuple):
    """Why something is paused, as the caller says."""

    note: str = ""
    by: str = ""


class Progress(NamedTuple):
    """What a call has done."""

    matched: int
    changed: int


class Pauses:
    """Once a call returns, nothing of what it paused is emitted, but for runs by hand."""

    def __init__(self, store: ShardedStore, pauses: Sequence[PauseStore], clock: Clock) -> None:
        """`pauses`: of the shards, in their order."""
        self.store = store
        self.pauses = pauses
        self.clock = clock

    async def pause_jobs(self, ids: Sequence[str], note: PauseNote) -> Progress:
        """Raises `InvalidRequest`, `FormatTooOld` and `Unavailable`."""
        text = self._text(note)
        return await self._in_pieces(ids, lambda at, part: at.pause(part, text, types=False))

    async def resume_jobs(self, ids: Sequence[str]) -> Progress:
        """Raises `Unavailable`. What rested goes on, piece by piece."""
        now = self.clock.now()
        return await self._in_pieces(ids, lambda at, part: at.resume(part, now, types=False))

    async def pause_type(self, job_type: str, note: PauseNote) -> Progress:
        """Raises `InvalidRequest`, `FormatTooOld`, `TooMany` and `Unavailable`."""
        text = self._text(note)
        return await self._for_type(job_type, lambda at: at.pause([job_type], text, types=True))

    async def resume_type(self, job_type: str) -> Progress:
        """Raises `Unavailable`."""
        now = self.clock.now()
        return await self._for_type(job_type, lambda at: at.resume([job_type], now, types=True))

    def _text(self, note: PauseNote) -> str:
        for name, text, most in (("note", note.note, LONGEST_NOTE), ("by", note.by, LONGEST_BY)):
            if len(text.encode()) > most:
                sentence = f"The text is longer than {most} bytes."
                raise InvalidRequest(sentence, [Violation(name, sentence)])
        return json.dumps({"since": self.clock.now(), "note": note.note, "by": note.by})

    async def _for_type(
        self, job_type: str, change: Callable[[PauseStore], Awaitable[Bulk]]
    ) -> Progress:
        shard = shard_of(job_type, len(self.pauses))
        return await self._announced([shard], [change(self.pauses[shard])])

    async def _in_pieces(
        self, ids: Sequence[str], change: Callable[[PauseStore, Sequence[str]], Awaitable[Bulk]]
    ) -> Progress:
        """Every shard looks for its own jobs."""
        names, matched, changed = list(dict.fromkeys(ids)), 0, 0
        for start in range(0, len(names), PIECE):
            part = names[start : start + PIECE]
            done = await self._announced(
                range(len(self.pauses)), [change(each, part) for each in self.pauses]
            )
            matched, changed = matched + done.matched, changed + done.changed
        return Progress(matched, changed)

    async def _announced(self, shards: Sequence[int], calls: Sequence[Awaitable[Bulk]]) -> Progress:
        floors = [self.store.shards[shard].announcements.number for shard in shards]
        done = await asyncio.gather(*calls)
        await self.store.announced(
            [
                Stored(shard, bulk.receipt, floor, ends=True)
                for shard, bulk, floor in zip(shards, done, floors, strict=True)
            ]
        )
        return Progress(sum(each.matched for each in done), sum(each.changed for each in done))
