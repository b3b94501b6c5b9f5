"""One pass of a restore over `jobs.resource`, within a memory budget (docs/decisions/0018).

The topic is read twice: first to find the last event of each job, then to put these events back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import structlog

from scheduling_srv import points
from scheduling_srv.app.calls import Calls
from scheduling_srv.app.command_payloads import RestoreRequest
from scheduling_srv.app.events import CREATED, EventReader, LastEvents, Wanted
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.pieces import pieces
from scheduling_srv.app.ports import Clock, JobStore, Restores
from scheduling_srv.app.records import Extent, LogRecord
from scheduling_srv.app.replies import Span
from scheduling_srv.domain.job import NewJob
from scheduling_srv.failpoints import reached

log = structlog.get_logger(__name__)

PIECE = 1000
"""Jobs of one store call: it blocks Redis for some 10 ms."""
PIECE_BYTES = 1_000_000
"""Bytes of their events, unless a single one has more."""
UNPUBLISHED = 50
"""Such calls after which Kafka has to have all of it: that bounds what waits for it in Redis."""
UNPUBLISHED_BYTES = 16_000_000
"""Bytes of the jobs after which that holds as well."""
AT_ONCE = 100
"""Events that are checked at a time: that blocks the loop for a millisecond."""

Targets: TypeAlias = tuple[Sequence[NewJob], str]
"""Jobs to be put back, and the token under which their ids are claimed."""

Published: TypeAlias = Callable[[], Awaitable[None]]
"""Returns when all that is in the store by now is on Kafka."""

Answer: TypeAlias = Mapping[str, object]
"""JSON of the Response event."""


class Place(Protocol):
    """Where a restorer stands among those of several shards."""

    def wanted(self, jobs: Sequence[NewJob]) -> AbstractAsyncContextManager[Targets]:
        """Those that may be put back here, while nobody else decides about them."""

    async def is_last(self, text: str) -> bool:
        """Whether this one answers the restore; waits until the others have done their part."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the shard that every pass uses."""

    store: JobStore
    restores: Restores
    history: History
    clock: Clock
    reader: EventReader
    place: Place | None
    published: Published


class Pass:
    """Carries out one request. It frees all that it has read, also if it fails."""

    def __init__(self, parts: Parts, token: str, number: str, request: RestoreRequest) -> None:
        """`number` is that of the newest note that it carries out."""
        self.parts = parts
        self.token = token
        self.number = number
        self.request = request
        self.newest = 0
        """Creation number of the newest job that the topic tells of."""
        self.last = -1
        """The last offset that was looked at."""
        self.is_void = False
        """A reset has come after the restore."""

    async def run(self) -> Answer:
        """The answer. Raises `Unavailable`, `LeaseLost`."""
        topic, offset = self.request.topic, self.request.offset
        self.newest = await self.parts.store.last_seq()
        await self.parts.published()  # or the topic would not know of what the store has done
        extents = await self.parts.history.resource_extents()
        end = max((extent.end for extent in extents), default=0)
        if offset > end:
            sentence = f"The topic {topic} ends at offset {end}: nothing to restore from {offset}."
            return {"error": sentence}
        wanted = await self._find(
            [extent._replace(first=max(extent.first, offset)) for extent in extents]
        )
        await reached(points.RESTORE_READ)
        await self._put_all_back(wanted)
        if not self.is_void and (missed := wanted.end()):
            log.error("events were deleted during a restore", topic=topic, events=missed)
            return {
                "error": f"Kafka deleted {missed} events of {topic} during the restore:"
                " their jobs are not restored, all others are."
            }
        return {"topic": topic, "offset": self.last}

    async def _find(self, extents: Sequence[Extent]) -> Wanted:
        found, ignored = LastEvents(self.parts.reader), self.request.ignore
        self.last = max((min(first, end) - 1 for _, first, end in extents), default=-1)
        async with aclosing(self.parts.history.resources(extents)) as read:
            async for entries in read:
                self.last = max(self.last, entries[-1].offset)
                for piece in pieces(entries, AT_ONCE):
                    heard = [entry for entry in piece if entry.offset not in ignored]
                    found.add(heard, self.parts.clock.now())
                    await asyncio.sleep(0)
        return await found.take()

    async def _put_all_back(self, wanted: Wanted) -> None:
        """One call at a time: creation numbers follow the order of the events."""
        calls_made = size = 0
        async with Calls(1) as calls, aclosing(self._events(wanted)) as found:
            async for events in found:
                jobs = await self._check(events)  # while Redis works on those before
                removed = self._removed(events)
                await calls.finish()
                if self.is_void:
                    return
                if not jobs and not removed:
                    continue
                await calls.begin(self._put_back(jobs, removed))
                calls_made, size = calls_made + 1, size + sum(len(job.record) for job in jobs)
                if calls_made >= UNPUBLISHED or size >= UNPUBLISHED_BYTES:
                    await calls.finish()
                    await self.parts.published()
                    calls_made = size = 0
            await calls.finish()

    async def _events(self, wanted: Wanted) -> AsyncGenerator[Sequence[LogRecord]]:
        """The wanted events, as many at a time as one call takes."""
        piece, size = list[LogRecord](), 0
        async with aclosing(self.parts.history.resources(wanted.extents())) as read:
            async for entries in read:
                for event in wanted.pick(entries):
                    more = len(event.value or b"")
                    if len(piece) >= PIECE or (piece and size + more > PIECE_BYTES):
                        yield piece
                        piece, size = [], 0
                    piece.append(event)
                    size += more
        if piece:
            yield piece

    async def _check(self, events: Sequence[LogRecord]) -> Sequence[NewJob]:
        """In small pieces: the loop has other things to do."""
        jobs: list[NewJob] = []
        for piece in pieces((event for event in events if event.key == CREATED), AT_ONCE):
            jobs += self.parts.reader.jobs(piece, self.parts.clock.now())
            await asyncio.sleep(0)
        return jobs

    def _removed(self, events: Sequence[LogRecord]) -> Sequence[str]:
        ids = (self.parts.reader.deleted(event) for event in events if event.key != CREATED)
        return [job_id for job_id in ids if job_id is not None]

    async def _put_back(self, jobs: Sequence[NewJob], removed: Sequence[str]) -> None:
        async with self._targets(jobs) as (targets, claim):
            span = Span(self.parts.clock.now(), self.newest, claim)
            goes_on = await self.parts.restores.put_back(
                self.token, self.number, targets, removed, span
            )
        self.is_void = not goes_on
        await reached(points.RESTORE_PUT_BACK)

    @asynccontextmanager
    async def _targets(self, jobs: Sequence[NewJob]) -> AsyncIterator[Targets]:
        """Those of them that may be put back here."""
        if not self.parts.place:
            yield jobs, ""
            return
        async with self.parts.place.wanted(jobs) as targets:
            yield targets
