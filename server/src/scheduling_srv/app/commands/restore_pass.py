"""One pass of a restore over `jobs.resource`, within a memory budget (docs/decisions/0018).

The pass reads the topic twice: to find the last event of each job, then to put these back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import structlog

from scheduling_srv.app.calls import Calls
from scheduling_srv.app.commands.events import CREATED, EventReader, LastEvents, WantedEvents
from scheduling_srv.app.commands.payloads import RestoreRequest
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.ports import Clock, JobStore, Restores
from scheduling_srv.app.replies import Span
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.kafka_records import Extent, LogRecord
from scheduling_srv.runtime.pieces import pieces

log = structlog.get_logger(__name__)

PIECE_JOBS = 1000
"""Jobs of one store call, which blocks Redis for some 10 ms."""
PIECE_BYTES = 1_000_000
"""Bytes of the events of one store call, unless a single event has more."""
UNPUBLISHED_CALLS = 25
"""Store calls after which the pass asks Kafka for them, and waits for as many before them. So the
outbox in Redis has no more than twice so many, and is never empty meanwhile."""
UNPUBLISHED_BYTES = 8_000_000
"""The same in bytes of jobs."""
CHECK_BATCH = 100
"""Events that are checked at a time, which blocks the event loop for a millisecond."""

Targets: TypeAlias = tuple[Sequence[NewJob], str]
"""Jobs to be put back, and the token under which their ids are claimed."""

Published: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Returns when Kafka has all that the store has announced by now."""

Answer: TypeAlias = Mapping[str, object]
"""JSON of the Response event."""


class Coordinator(Protocol):
    """Coordinates the restore of a shard with those of the other shards."""

    def claimed(self, jobs: Sequence[NewJob]) -> AbstractAsyncContextManager[Targets]:
        """The jobs that this shard may put back. No other call changes their ids meanwhile."""

    async def is_last(self, text: str) -> bool:
        """Whether this shard answers the restore. It then waits until the others have ended."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a shard that every pass uses."""

    store: JobStore
    restores: Restores
    history: History
    clock: Clock
    reader: EventReader
    coordinator: Coordinator
    published: Published


class Pass:
    """Carries out one request. It frees all events that it has read, even if it fails."""

    def __init__(self, ports: Ports, token: str, number: str, request: RestoreRequest) -> None:
        """`number` is that of the newest restore command that this pass carries out."""
        self.ports = ports
        self.token = token
        self.number = number
        self.request = request
        self.newest = 0
        """Creation number of the newest job before the pass."""
        self.last = -1
        """The last offset that was read."""
        self.is_void = False
        """Whether a reset came after the restore command."""

    async def run(self) -> Answer:
        """Put the jobs back, and return the answer. Raises `Unavailable`, `LeaseLost`."""
        topic, offset = self.request.topic, self.request.offset
        self.newest = await self.ports.store.last_seq()
        await self.ports.published()  # or the topic would lack the latest changes
        extents = await self.ports.history.resource_extents()
        end = max((extent.end for extent in extents), default=0)
        if offset > end:
            sentence = f"The topic {topic} ends at offset {end}: nothing to restore from {offset}."
            return {"error": sentence}
        wanted = await self._find(
            [extent._replace(first=max(extent.first, offset)) for extent in extents]
        )
        await self._put_all_back(wanted)
        if not self.is_void and (missed := wanted.end()):
            log.error("events were deleted during a restore", topic=topic, events=missed)
            return {
                "error": f"Kafka deleted {missed} events of {topic} during the restore:"
                " their jobs are not restored, all others are."
            }
        return {"topic": topic, "offset": self.last}

    async def _find(self, extents: Sequence[Extent]) -> WantedEvents:
        found, ignored = LastEvents(self.ports.reader), self.request.ignore
        self.last = max((min(first, end) - 1 for _, first, end in extents), default=-1)
        async with aclosing(self.ports.history.resources(extents)) as read:
            async for entries in read:
                self.last = max(self.last, entries[-1].offset)
                for piece in pieces(entries, CHECK_BATCH):
                    heard = [entry for entry in piece if entry.offset not in ignored]
                    found.add(heard, self.ports.clock.now())
                    await asyncio.sleep(0)
        return await found.take()

    async def _put_all_back(self, wanted: WantedEvents) -> None:
        """One call at a time: creation numbers follow the order of the events."""
        calls_made = size = 0
        async with (
            Calls(1) as calls,
            Calls(1) as publishing,
            aclosing(self._events(wanted)) as found,
        ):
            async for events in found:
                jobs = await self._check(events)  # while Redis works on the call before
                removed = self._removed(events)
                await calls.finish()
                if self.is_void:
                    return
                if not jobs and not removed:
                    continue
                await calls.begin(self._put_back(jobs, removed))
                calls_made, size = calls_made + 1, size + sum(len(job.record) for job in jobs)
                if calls_made >= UNPUBLISHED_CALLS or size >= UNPUBLISHED_BYTES:
                    await publishing.begin(self.ports.published())
                    calls_made = size = 0
            await calls.finish()

    async def _events(self, wanted: WantedEvents) -> AsyncGenerator[Sequence[LogRecord]]:
        """The wanted events, in pieces that one store call takes."""
        piece, size = list[LogRecord](), 0
        async with aclosing(self.ports.history.resources(wanted.extents())) as read:
            async for entries in read:
                for event in wanted.pick(entries):
                    more = len(event.value or b"")
                    if len(piece) >= PIECE_JOBS or (piece and size + more > PIECE_BYTES):
                        yield piece
                        piece, size = [], 0
                    piece.append(event)
                    size += more
        if piece:
            yield piece

    async def _check(self, events: Sequence[LogRecord]) -> Sequence[NewJob]:
        """Check in small batches, so that other tasks can run."""
        jobs: list[NewJob] = []
        for piece in pieces((event for event in events if event.key == CREATED), CHECK_BATCH):
            jobs += self.ports.reader.jobs(piece, self.ports.clock.now())
            await asyncio.sleep(0)
        return jobs

    def _removed(self, events: Sequence[LogRecord]) -> Sequence[str]:
        ids = (self.ports.reader.deleted(event) for event in events if event.key != CREATED)
        return [job_id for job_id in ids if job_id is not None]

    async def _put_back(self, jobs: Sequence[NewJob], removed: Sequence[str]) -> None:
        async with self.ports.coordinator.claimed(jobs) as (targets, claim):
            span = Span(self.ports.clock.now(), self.newest, claim)
            goes_on = await self.ports.restores.put_back(
                self.token, self.number, targets, removed, span
            )
        self.is_void = not goes_on
