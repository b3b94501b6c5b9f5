"""The restore command: puts jobs back from the events on `jobs.resource` (docs/contract.md)."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from scheduling_srv.app.commands.commands import is_heard
from scheduling_srv.app.commands.events import EventReader
from scheduling_srv.app.commands.payloads import RestoreRequest
from scheduling_srv.app.commands.restore_pass import Answer, Coordinator, Pass, Ports, Published
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.ports import (
    MAX_RESTORES,
    TOO_MANY_RESTORES,
    Clock,
    JobStore,
    Restores,
    Source,
)
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import TooMany, Unavailable
from scheduling_srv.domain.stored_format import StoredFormat
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.messages import encode_command_response
from scheduling_srv.formats.outbox_entries import event_entry
from scheduling_srv.runtime import garbage
from scheduling_srv.runtime.states import State

log = structlog.get_logger(__name__)

POLL_SECONDS = 5.0
"""How often the owner looks for restores without being told of one."""


async def _is_published() -> None:
    pass


class PendingRestore(NamedTuple):
    """A restore command that has not ended."""

    number: str
    text: str


class RestoreStarter:
    """Accepts restore commands on every replica, for all shards."""

    def __init__(self, shards: Sequence[Restores], clock: Clock) -> None:
        """The first of the shards answers the command."""
        self.shards = shards
        self.clock = clock

    async def start(self, request: RestoreRequest, source: Source | None) -> None:
        """Store the restore command, so that it outlives any crash.

        It is stored last in the shard that answers it. After a crash, a command in only some shards
        does no harm. Raises `TooMany`, `Unavailable`, `StaleSource`.
        """
        answering, *others = self.shards
        text = dumps(request)
        if others:
            text = dumps(request, uuid.uuid4().hex)  # the shards wait for each other's same text
            if await answering.count() >= MAX_RESTORES:  # it ends last, so it has the most
                raise TooMany(TOO_MANY_RESTORES)
        for other in others:
            await other.begin(text, self.clock.now(), None, 2 * MAX_RESTORES)
        await answering.begin(text, self.clock.now(), source)


class Restorer:
    """Carries out the restores of a shard, on its owner."""

    def __init__(
        self,
        *,
        store: JobStore,
        restores: Restores,
        history: History,
        clock: Clock,
        services: Sequence[str],
        coordinator: Coordinator,
        published: Published = _is_published,
        heard: Callable[[], Awaitable[bool]] = is_heard,
        lock: asyncio.Lock | None = None,
        stored: StoredFormat | None = None,
    ) -> None:
        """`services`: logical names that answer. `heard` says whether their topic exists.

        `stored`: the format of the store.

        All shards of a replica share `lock`. One of them restores at a time, so memory does not
        grow with their number.
        """
        self.heard = heard
        self.coordinator = coordinator
        self.restores = restores
        self.clock = clock
        self.services = services
        reader = EventReader(stored)
        self.ports = Ports(store, restores, history, clock, reader, coordinator, published)
        self.lock = lock or asyncio.Lock()
        self._called = asyncio.Event()

    def notice(self) -> None:
        """Wake `run`: a replica has stored a restore command."""
        self._called.set()

    async def run(self, token: str) -> None:
        """Carry out restores until cancelled."""
        with State("a restore waits", "restores go on").watched() as state:
            while True:
                self._called.clear()
                try:
                    await self.run_once(token)
                except Unavailable as fault:
                    state.fails(str(fault))
                else:
                    state.works()
                await wait(self._called, POLL_SECONDS)

    async def run_once(self, token: str) -> int:
        """Carry out all pending restores; returns their number.

        Raises `Unavailable`, `LeaseLost`.
        """
        ended = 0
        while count := await self._restore(token):
            ended += count
        return ended

    async def _restore(self, token: str) -> int:
        """One pass for all equal restores that are pending when it begins; returns their number."""
        async with self.lock:
            equal = _next_equal(await self.restores.pending())
            if not equal:
                return 0
            request = _loads(equal[-1].text)
            with garbage.none_expected():
                answer = await Pass(self.ports, token, equal[-1].number, request).run()
        # The lock is free now: `_end` waits for the restores of other shards.
        for restore in equal:
            await self._end(token, restore, answer)
        tell, event = (log.info, "restored")
        if "error" in answer:
            tell, event = (log.warning, "restore failed")
        tell(event, **answer, first=request.offset, commands=len(equal))
        return len(equal)

    async def _end(self, token: str, restore: PendingRestore, answer: Answer) -> None:
        response = encode_command_response(self.services, json.dumps(answer).encode())
        entry = event_entry(Topic.COMMANDS, b"restoreResponse", response)
        if not await self.coordinator.is_last(restore.text) or not await self.heard():
            entry = b""
        await self.restores.end(token, restore.number, entry)


def _next_equal(pending: Sequence[tuple[str, str]]) -> Sequence[PendingRestore]:
    """The equal restores that come next, in order.

    Their last command is older than the last command of any other request. So each job ends as if
    every command had a pass of its own.
    """
    by_request: dict[str, list[PendingRestore]] = {}
    for number, text in pending:
        request = _without_more(text)
        earlier = by_request.pop(request, [])
        by_request[request] = [*earlier, PendingRestore(number, text)]
    return next(iter(by_request.values()), [])


def _without_more(text: str) -> str:
    """The same text for equal requests. Parsing all requests would block the event loop."""
    head, mark, _ = text.rpartition('], "')
    return f"{head}]]" if mark else text


def dumps(request: RestoreRequest, *more: str) -> str:
    """The request as text. `more` makes it different from equal requests."""
    return json.dumps([request.topic, request.offset, sorted(request.ignore), *more])


def _loads(text: str) -> RestoreRequest:
    topic, offset, ignore, *_ = json.loads(text)
    return RestoreRequest(topic, offset, frozenset(ignore))
