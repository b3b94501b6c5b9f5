"""The restore command: puts jobs back from the events on `jobs.resource` (docs/contract.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeAlias

import structlog

from scheduling_srv import garbage, points
from scheduling_srv.app.announce import event_entry
from scheduling_srv.app.command_payloads import RestoreRequest
from scheduling_srv.app.commands import is_heard
from scheduling_srv.app.events import Codec, Created, Events
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.ports import Clock, JobStore, Restores, Source
from scheduling_srv.app.records import Topic
from scheduling_srv.app.replies import Span
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.domain.job import NewJob
from scheduling_srv.failpoints import reached

log = structlog.get_logger(__name__)

PIECE = 1000
"""Jobs of one store call: it blocks Redis for some 10 ms."""
UNPUBLISHED = 50
"""Such calls after which Kafka has to have all of it: that bounds what waits for it in Redis."""
AT_ONCE = 100
"""Events that are checked at a time: that blocks the loop for a millisecond."""
LOOK = 5.0
"""Seconds after which the owner looks for restores although nobody called."""

Wanted: TypeAlias = tuple[Sequence[NewJob], str]
"""Jobs to be put back, and the token under which their ids are claimed."""

Published: TypeAlias = Callable[[], Awaitable[None]]
"""Returns when all that is in the store by now is on Kafka."""


async def _is_published() -> None:
    pass


class Place(Protocol):
    """Where a restorer stands among those of several shards."""

    def wanted(self, jobs: Sequence[NewJob]) -> AbstractAsyncContextManager[Wanted]:
        """Those that may be put back here, while nobody else decides about them."""

    async def is_last(self, text: str) -> bool:
        """Whether this one answers the restore; waits until the others have done their part."""


class Restorer:
    """Accepts restores on every replica, and carries them out on the owner."""

    def __init__(
        self,
        *,
        store: JobStore,
        restores: Restores,
        history: History,
        clock: Clock,
        codec: Codec,
        place: Place | None = None,
        published: Published = _is_published,
        heard: Callable[[], Awaitable[bool]] = is_heard,
    ) -> None:
        """`published` returns when all that is in the store by now is on Kafka.

        `heard` says whether the topic of responses exists.
        """
        self.heard = heard
        self.place = place
        self.published = published
        self.store = store
        self.restores = restores
        self.history = history
        self.clock = clock
        self.codec = codec
        self._called = asyncio.Event()

    async def start(self, request: RestoreRequest, source: Source | None) -> None:
        """Note the restore; it outlives any crash. Raises `Unavailable`, `StaleSource`."""
        await self.restores.begin(dumps(request), self.clock.now(), source)
        await reached(points.RESTORE_NOTED)

    def notice(self) -> None:
        """Somebody has noted a restore."""
        self._called.set()

    async def run(self, token: str) -> None:
        """Carry out restores until cancelled."""
        while True:
            self._called.clear()
            try:
                await self.run_once(token)
            except Unavailable as fault:
                log.warning("a restore waits", reason=str(fault))
            await wait(self._called, LOOK)

    async def run_once(self, token: str) -> int:
        """Carry out what is noted; returns how many. Raises `Unavailable`, `LeaseLost`."""
        pending = await self.restores.pending()
        for number, text in pending:
            await reached(points.RESTORE_BEGUN)
            request = _loads(text)
            with garbage.none_expected():
                last = await self._restore(token, number, request)
            answer = json.dumps({"topic": request.topic, "offset": last}).encode()
            entry = event_entry(Topic.COMMANDS, b"restoreResponse", self.codec.response(answer))
            mute = self.place and not await self.place.is_last(text)
            if mute or not await self.heard():
                entry = b""
            await reached(points.RESTORE_END)
            await self.restores.end(token, number, entry)
            await reached(points.RESTORE_ENDED)
            log.info("restored", topic=request.topic, offset=last)
        return len(pending)

    async def _restore(self, token: str, number: str, request: RestoreRequest) -> int:
        """One pass over the topic; returns the last offset that was looked at."""
        newest = await self.store.last_seq()
        await self.published()  # or the topic would not know of what the store has done
        last, events = request.offset - 1, Events(self.codec)
        async for piece in self.history.resources(request.offset):
            last = max(last, piece[-1].offset)
            heard = [entry for entry in piece if entry.offset not in request.ignore]
            events.add(heard, self.clock.now())
            await asyncio.sleep(0)
        await reached(points.RESTORE_READ)
        await self._put_all_back(token, number, newest, events)
        return last

    async def _put_all_back(self, token: str, number: str, newest: int, events: Events) -> None:
        """One call at a time: creation numbers follow the order of the events."""
        call: asyncio.Task[bool] | None = None
        try:
            async with asyncio.TaskGroup() as calls:
                for count, (created, removed) in enumerate(events.pieces(PIECE), 1):
                    jobs = await self._check(events, created)  # while Redis works on those before
                    if call and not await call:
                        return  # a reset has come after it
                    if not jobs and not removed:
                        continue
                    call = calls.create_task(self._put_back(token, number, newest, jobs, removed))
                    if count % UNPUBLISHED == 0:
                        await call
                        await self.published()
        except ExceptionGroup as faults:
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from None
            raise faults.exceptions[0] from None

    async def _check(self, events: Events, created: Sequence[Created]) -> Sequence[NewJob]:
        """In small pieces: the loop has other things to do."""
        jobs: list[NewJob] = []
        for start in range(0, len(created), AT_ONCE):
            jobs += events.jobs(created[start : start + AT_ONCE], self.clock.now())
            await asyncio.sleep(0)
        return jobs

    async def _put_back(
        self, token: str, number: str, newest: int, jobs: Sequence[NewJob], removed: Sequence[str]
    ) -> bool:
        """False: a reset has come after the restore."""
        async with self._wanted(jobs) as (wanted, claim):
            span = Span(self.clock.now(), newest, claim)
            goes_on = await self.restores.put_back(token, number, wanted, removed, span)
        await reached(points.RESTORE_PUT_BACK)
        return goes_on

    @asynccontextmanager
    async def _wanted(self, jobs: Sequence[NewJob]) -> AsyncIterator[Wanted]:
        """Those of them that may be put back here."""
        if not self.place:
            yield jobs, ""
            return
        async with self.place.wanted(jobs) as wanted:
            yield wanted


def dumps(request: RestoreRequest, *more: str) -> str:
    """As it is noted; `more` makes it different from others."""
    return json.dumps([request.topic, request.offset, sorted(request.ignore), *more])


def _loads(text: str) -> RestoreRequest:
    topic, offset, ignore, *_ = json.loads(text)
    return RestoreRequest(topic, offset, frozenset(ignore))
