"""The restore command: puts jobs back from the events on `jobs.resource` (docs/contract.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

import structlog

from scheduling_srv import garbage, points
from scheduling_srv.app.announce import event_entry
from scheduling_srv.app.command_payloads import RestoreRequest
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.ports import Clock, JobStore, Restores, Source
from scheduling_srv.app.records import LogRecord, Topic
from scheduling_srv.app.replies import Span
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain import record
from scheduling_srv.domain.errors import InvalidRequest, RequestError, Unavailable
from scheduling_srv.domain.job import JobRequest, NewJob, Trigger, TriggerKind
from scheduling_srv.domain.validation import Rules, check_fields, find_trigger
from scheduling_srv.failpoints import reached

log = structlog.get_logger(__name__)

PIECE = 500
"""Jobs of one store call."""
LOOK = 5.0
"""Seconds after which the owner looks for restores although nobody called."""
LENIENT = Rules(min_interval=1)
"""What was accepted once is put back, whatever the settings say now."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What needs protobuf, injected."""

    created: Callable[[bytes], JobRequest]
    """A Job. Raises `InvalidRequest`."""
    deleted: Callable[[bytes], str]
    """The id in a Deleted. Raises `InvalidRequest`."""
    response: Callable[[bytes], bytes]
    """A CommandResponse with this JSON."""


Wanted: TypeAlias = tuple[Sequence[NewJob], str]
"""Jobs to be put back, and the token under which their ids are claimed."""


Published: TypeAlias = Callable[[], Awaitable[None]]


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
    ) -> None:
        """`published` returns when all that is in the store by now is on Kafka."""
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
            if self.place and not await self.place.is_last(text):
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
        last, final = request.offset - 1, dict[str, NewJob | None]()
        async for piece in self.history.resources(request.offset):
            for entry in piece:
                last = max(last, entry.offset)
                if entry.offset not in request.ignore:
                    self._note(final, entry)
            await asyncio.sleep(0)
        await reached(points.RESTORE_READ)
        for jobs, removed in _pieces(final):
            async with self._wanted(jobs) as (wanted, claim):
                span = Span(self.clock.now(), newest, claim)
                if not await self.restores.put_back(token, number, wanted, removed, span):
                    break  # a reset has come after it
            await reached(points.RESTORE_PUT_BACK)
        return last

    @asynccontextmanager
    async def _wanted(self, jobs: Sequence[NewJob]) -> AsyncIterator[Wanted]:
        """Those of them that may be put back here."""
        if not self.place:
            yield jobs, ""
            return
        async with self.place.wanted(jobs) as wanted:
            yield wanted

    def _note(self, final: dict[str, NewJob | None], entry: LogRecord) -> None:
        """What the event says of its job; the last one counts. Anything else is skipped."""
        try:
            if entry.key == b"jobsCreated":
                request = self.codec.created(entry.value or b"")
                job = self._job(request, entry)
                if job is None:
                    final.pop(request.id, None)
                else:
                    final[request.id] = job
            elif entry.key == b"jobsDeleted":
                final[self.codec.deleted(entry.value or b"")] = None
        except RequestError as fault:
            log.warning("event not restored", offset=entry.offset, reason=str(fault))
        except Exception:
            # Anybody may write to that topic; one record must not keep the others.
            log.exception("event not restored", offset=entry.offset)

    def _job(self, request: JobRequest, entry: LogRecord) -> NewJob | None:
        """The job with its next run, or None when its only run has passed.

        Raises `InvalidRequest`: anybody may write to that topic.
        """
        if not request.id:
            raise InvalidRequest("Job id not specified.")
        check_fields(request)
        now, first = self.clock.now(), first_due(entry)
        # Announced late, a one-time job may lie in the past by then; when it was due, it did not.
        trigger = find_trigger(request, entry.timestamp if first is None else first, LENIENT)
        first = trigger.due if first is None else first
        if trigger.kind == TriggerKind.CRON:
            trigger = find_trigger(request, now, LENIENT)
            due = max(first, trigger.due)
        elif trigger.kind == TriggerKind.INTERVAL:
            missed = max(0, (now - first) // trigger.interval + 1)
            due = first + missed * trigger.interval
        elif first <= now:
            return None
        else:
            due = first
        stored = record.pack(request, Trigger(trigger.kind, due, trigger.interval))
        return NewJob(request.id, due, stored)


def _pieces(
    final: dict[str, NewJob | None],
) -> Iterator[tuple[Sequence[NewJob], Sequence[str]]]:
    """Jobs to put back and ids to remove, for one store call each."""
    items = list(final.items())
    for start in range(0, len(items), PIECE):
        piece = items[start : start + PIECE]
        jobs = [job for _, job in piece if job]
        yield jobs, [job_id for job_id, job in piece if job is None]


def first_due(entry: LogRecord) -> int | None:
    """From the `nominal-time` header that this service gives to jobsCreated."""
    text = entry.headers.get("nominal-time")
    if not text:
        return None
    try:
        return round(datetime.fromisoformat(text.decode()).timestamp() * 1000)
    except ValueError:
        return None


def dumps(request: RestoreRequest, *more: str) -> str:
    """As it is noted; `more` makes it different from others."""
    return json.dumps([request.topic, request.offset, sorted(request.ignore), *more])


def _loads(text: str) -> RestoreRequest:
    topic, offset, ignore, *_ = json.loads(text)
    return RestoreRequest(topic, offset, frozenset(ignore))
