"""The restore command: puts jobs back from the events on `jobs.resource` (docs/contract.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from scheduling_srv import garbage, points
from scheduling_srv.app.announce import event_entry
from scheduling_srv.app.command_payloads import RestoreRequest
from scheduling_srv.app.commands import is_heard
from scheduling_srv.app.events import Codec, EventReader
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.ports import Clock, JobStore, Restores, Source
from scheduling_srv.app.records import Topic
from scheduling_srv.app.restore_pass import Answer, Parts, Pass, Place, Published
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.failpoints import reached

log = structlog.get_logger(__name__)

LOOK = 5.0
"""Seconds after which the owner looks for restores although nobody called."""


async def _is_published() -> None:
    pass


class Note(NamedTuple):
    """A restore command that has not ended."""

    number: str
    text: str


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
        turn: asyncio.Lock | None = None,
    ) -> None:
        """`published` returns when all that is in the store by now is on Kafka.

        `heard` says whether the topic of responses exists. All shards of a replica share `turn`:
        one of them restores at a time, so that memory does not grow with their number.
        """
        self.heard = heard
        self.place = place
        self.restores = restores
        self.clock = clock
        self.codec = codec
        self.parts = Parts(store, restores, history, clock, EventReader(codec), place, published)
        self.turn = turn or asyncio.Lock()
        self._called = asyncio.Event()

    async def start(self, request: RestoreRequest, source: Source | None) -> None:
        """Note the restore; it outlives any crash.

        Raises `TooMany`, `Unavailable`, `StaleSource`.
        """
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
        """Carry out all that is noted; returns how many. Raises `Unavailable`, `LeaseLost`."""
        ended = 0
        while notes := await self._restore(token):
            ended += notes
        return ended

    async def _restore(self, token: str) -> int:
        """One pass, which answers all equal requests that are noted when it begins."""
        async with self.turn:
            notes = _equal(await self.restores.pending())
            if not notes:
                return 0
            await reached(points.RESTORE_BEGUN)
            request = _loads(notes[-1].text)
            with garbage.none_expected():
                answer = await Pass(self.parts, token, notes[-1].number, request).run()
        # Other shards have their turn now: `_end` waits for their parts.
        for note in notes:
            await self._end(token, note, answer)
        log.info("restored", **answer, first=request.offset, commands=len(notes))
        return len(notes)

    async def _end(self, token: str, note: Note, answer: Answer) -> None:
        entry = event_entry(
            Topic.COMMANDS, b"restoreResponse", self.codec.response(json.dumps(answer).encode())
        )
        mute = self.place and not await self.place.is_last(note.text)
        if mute or not await self.heard():
            entry = b""
        await reached(points.RESTORE_END)
        await self.restores.end(token, note.number, entry)
        await reached(points.RESTORE_ENDED)


def _equal(pending: Sequence[tuple[str, str]]) -> Sequence[Note]:
    """The notes of one request, in order.

    Of several requests the one whose last note is the oldest: so the last words on each job come in
    the order in which they were noted, as if each note were carried out by itself.
    """
    requests: dict[str, list[Note]] = {}
    for number, text in pending:
        request = _without_more(text)
        notes = requests.pop(request, [])
        requests[request] = [*notes, Note(number, text)]
    return next(iter(requests.values()), [])


def _without_more(text: str) -> str:
    """The same text for equal requests. Parsing all notes would hold up the loop."""
    head, mark, _ = text.rpartition('], "')
    return f"{head}]]" if mark else text


def dumps(request: RestoreRequest, *more: str) -> str:
    """As it is noted; `more` makes it different from others."""
    return json.dumps([request.topic, request.offset, sorted(request.ignore), *more])


def _loads(text: str) -> RestoreRequest:
    topic, offset, ignore, *_ = json.loads(text)
    return RestoreRequest(topic, offset, frozenset(ignore))
