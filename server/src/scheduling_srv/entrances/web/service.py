"""scheduling.v1 in process: runs operations of the client over the methods that gRPC serves."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from scheduling_client.api.events import WATCH, EventFilter, Watch
from scheduling_client.api.jobs import Progress, RunRefusal
from scheduling_client.api.logic import Call as ClientCall
from scheduling_client.api.logic import Steps
from scheduling_client.api.run_messages import refusal_in
from scheduling_srv.app.access import call as calls
from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.call import Call
from scheduling_srv.app.access.callers import Caller
from scheduling_srv.app.access.door import check
from scheduling_srv.app.access.quotas import Quotas
from scheduling_srv.app.access.rules import RULES
from scheduling_srv.app.narrowing import events_within
from scheduling_srv.app.owner import lanes
from scheduling_srv.app.watching.watcher import Batch
from scheduling_srv.domain.errors import SchedulingError, Unsupported
from scheduling_srv.domain.event import EventFilter as WantedEvents
from scheduling_srv.entrances.grpc_errors import code_of
from scheduling_srv.entrances.grpc_events import EventsPort
from scheduling_srv.entrances.memory_budget import (
    CALL_BYTES,
    COPIES,
    Bounded,
    MemoryBudget,
    Reservation,
)
from scheduling_srv.formats.v1.events import decode_watch

PAGES = "admin pages"
"""The source of their watchers."""
PAGES_MEMORY = 64 * 2**20
"""Bytes that the calls of all pages may hold together."""
CALL_SECONDS = 10.0
"""Seconds that a call may take."""
BULK_SECONDS = 5.0
"""Seconds after which a bulk call is interrupted between two steps, and told how far it came."""

Result = TypeVar("Result")


class Visitor(NamedTuple):
    """For whom a call is made."""

    caller: Caller
    peer: str
    """Host and port, as the audit log shows it."""


@dataclass(frozen=True, slots=True)
class InProcess:
    """The context of a call that comes from no socket: the part of gRPC's that methods use."""

    address: str

    def peer(self) -> str:
        """The visitor's address."""
        return self.address

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """No headers."""
        return ()

    def time_remaining(self) -> float:
        """Seconds."""
        return CALL_SECONDS


class Interrupted(NamedTuple):
    """How far a bulk call came."""

    progress: Progress
    token: str
    """To go on with; empty: all is done."""
    refusals: Sequence[RunRefusal] = ()
    """Of the runs that could not be tried again."""


Take = Callable[[float], Awaitable[Batch]]
"""The next events of a watcher; none after so many seconds."""


class V1:
    """The methods of scheduling.v1, behind the rules, the quotas and the audit log of the doors."""

    def __init__(
        self,
        services: Mapping[str, Mapping[str, Bounded]],
        *,
        events: EventsPort | None = None,
        quotas: Quotas | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._methods = {
            f"/{service}/{name}": method
            for service, methods in services.items()
            for name, method in methods.items()
        }
        self._events = events
        self._quotas = quotas
        self._audit = audit
        self._memory = MemoryBudget(PAGES_MEMORY)

    async def run(self, visitor: Visitor, steps: Steps[Result]) -> Result:
        """Make all calls of an operation. Raises `SchedulingError` of the domain."""
        try:
            call = next(steps)
            while True:
                call = steps.send(await self._call(visitor, call))
        except StopIteration as end:
            result: Result = end.value
            return result

    async def run_bulk(self, visitor: Visitor, steps: Steps[Any], token: str = "") -> Interrupted:
        """Make the steps of a bulk call from `token` on, for a limited time."""
        until = time.monotonic() + BULK_SECONDS
        matched = changed = 0
        refusals: list[RunRefusal] = []
        call: ClientCall[Any] = next(steps)
        request: Any = call.request
        request.page_token = token
        while True:
            answer = await self._call(visitor, call)
            step = _step_of(answer)
            matched += step.progress.matched
            changed += step.progress.changed
            refusals += step.refusals
            if not step.token or time.monotonic() >= until:
                steps.close()
                return Interrupted(Progress(matched, changed), step.token, refusals)
            call = steps.send(answer)

    @asynccontextmanager
    async def watch(self, visitor: Visitor, where: EventFilter) -> AsyncGenerator[Take]:
        """Events from now on, after `admit_watch`. Raises `Overloaded` and `Unavailable`.

        Without a filter it is a glance: of many events the newest, and the number of the others.
        """
        if self._events is None:
            raise Unsupported("This version of the service tells no events.")
        wanted = decode_watch(Watch(where, "", 0).request.SerializeToString()).wanted
        wanted = events_within(wanted, visitor.caller.limits)
        is_open = wanted == WantedEvents()
        async with self._events.watcher(wanted, "", PAGES, glances=is_open) as watcher:
            yield watcher.take

    def admit_watch(self, visitor: Visitor) -> None:
        """Raises `Forbidden` and `OverQuota`."""
        self.admit(visitor, WATCH)

    def admit(self, visitor: Visitor, path: str) -> Call:
        """The call of a visitor who may make it. Raises `Forbidden` and `OverQuota`."""
        about = Call(visitor.caller, visitor.peer, path)
        try:
            check(RULES.get(path), visitor.caller, path)
            if self._quotas:
                self._quotas.begin(visitor.caller.name)
        except SchedulingError as fault:
            self._note(about, code_of(fault).name, admitted=False)
            raise
        return about

    async def _call(self, visitor: Visitor, call: ClientCall[Any]) -> Any:  # noqa: ANN401 - the answer
        about = self.admit(visitor, call.path)
        raw = call.request.SerializeToString()
        if self._quotas:
            self._quotas.received(visitor.caller.name, len(raw))
        calls.begin(about)
        try:
            answer = await self._answer(call.path, raw, visitor.peer)
        except Exception as fault:
            self._note(about, code_of(fault).name)
            raise
        self._note(about, "OK")
        return call.answer.FromString(answer)

    async def _answer(self, path: str, raw: bytes, peer: str) -> bytes:
        memory = Reservation(self._memory)
        if path not in self._methods:
            raise Unsupported(f"This version of the service cannot do {path} yet.")
        context: Any = InProcess(peer)
        try:
            memory.reserve(CALL_BYTES + COPIES * len(raw))
            with lanes.client_call():
                return await self._methods[path](raw, context, memory)
        finally:
            memory.release()

    def _note(self, about: Call, outcome: str, *, admitted: bool = True) -> None:
        if self._audit:
            self._audit.note(about, outcome, admitted=admitted)

    def note_refusal(self, about: Call) -> None:
        """A guest could not sign in."""
        self._note(about, "UNAUTHENTICATED", admitted=False)


def _step_of(answer: Any) -> Interrupted:  # noqa: ANN401 - of any bulk call
    """How far one step of a bulk call came. Dead letters have no message for it."""
    if hasattr(answer, "progress"):
        progress, refusals = answer.progress, getattr(answer, "refusals", ())
        done = Progress(progress.matched, progress.changed)
        return Interrupted(done, progress.next_page_token, [*map(refusal_in, refusals)])
    changed = answer.replayed if hasattr(answer, "replayed") else answer.hidden
    return Interrupted(Progress(answer.matched, changed), answer.next_page_token)
