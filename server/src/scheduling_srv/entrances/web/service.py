"""scheduling.v1 in process: runs operations of the client over the methods that gRPC serves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from scheduling_client.api.jobs import Progress
from scheduling_client.api.logic import Call as ClientCall
from scheduling_client.api.logic import Steps
from scheduling_srv.app.access import call as calls
from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.call import Call
from scheduling_srv.app.access.callers import Caller
from scheduling_srv.app.access.door import check
from scheduling_srv.app.access.quotas import Quotas
from scheduling_srv.app.access.rules import RULES
from scheduling_srv.app.owner import lanes
from scheduling_srv.domain.errors import SchedulingError, Unsupported
from scheduling_srv.entrances.grpc_errors import code_of
from scheduling_srv.entrances.memory_budget import (
    CALL_BYTES,
    COPIES,
    Bounded,
    MemoryBudget,
    Reservation,
)

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


class V1:
    """The methods of scheduling.v1, behind the rules, the quotas and the audit log of the doors."""

    def __init__(
        self,
        services: Mapping[str, Mapping[str, Bounded]],
        *,
        quotas: Quotas | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._methods = {
            f"/{service}/{name}": method
            for service, methods in services.items()
            for name, method in methods.items()
        }
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

    async def run_bulk(
        self, visitor: Visitor, steps: Steps[Progress], token: str = ""
    ) -> Interrupted:
        """Make the steps of a bulk call from `token` on, for a limited time."""
        until = time.monotonic() + BULK_SECONDS
        matched = changed = 0
        call: ClientCall[Any] = next(steps)
        request: Any = call.request
        request.page_token = token
        while True:
            answer = await self._call(visitor, call)
            matched += answer.progress.matched
            changed += answer.progress.changed
            token = answer.progress.next_page_token
            if not token or time.monotonic() >= until:
                steps.close()
                return Interrupted(Progress(matched, changed), token)
            call = steps.send(answer)

    async def _call(self, visitor: Visitor, call: ClientCall[Any]) -> Any:  # noqa: ANN401 - the answer
        about = Call(visitor.caller, visitor.peer, call.path)
        try:
            check(RULES.get(call.path), visitor.caller, call.path)
            if self._quotas:
                self._quotas.begin(visitor.caller.name)
        except SchedulingError as fault:
            self._note(about, code_of(fault).name, admitted=False)
            raise
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
