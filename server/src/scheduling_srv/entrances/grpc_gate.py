"""Stands before every gRPC method: credentials, quotas and the audit log (decision 33).

It is an interceptor, so no service can be registered beside it. It is not installed if none of the
three is used.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from scheduling_srv.app.access import call as calls
from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.call import Call, host_of
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.access.door import Door
from scheduling_srv.app.access.holding import Holding
from scheduling_srv.app.access.quotas import Quotas
from scheduling_srv.app.access.rules import RULES
from scheduling_srv.domain.errors import (
    Forbidden,
    OverQuota,
    SchedulingError,
    Unauthenticated,
    Unavailable,
)
from scheduling_srv.entrances.grpc_errors import code_of, refuse
from scheduling_srv.entrances.grpc_wrapping import Context, Stream, Unary, Wrapping, outcome
from scheduling_srv.runtime import metrics

HEADER = "authorization"
AGAIN_SECONDS = 60.0
"""How often the credentials of a stream are looked at, before its next message."""
LIMITS_CHANGED = "The limits of this caller have changed. The stream can be begun again with them."
_REASONS: tuple[tuple[type[SchedulingError], str], ...] = (
    (Unauthenticated, "unauthenticated"),
    (Forbidden, "forbidden"),
    (OverQuota, "quota"),
)


class Gate(Wrapping):
    """Stands before the handler of each method. Parts that are None are left out."""

    def __init__(
        self,
        *,
        door: Door | None = None,
        quotas: Quotas | None = None,
        audit: AuditLog | None = None,
        holding: Holding | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`monotonic` counts seconds."""
        super().__init__()
        self._monotonic = monotonic
        self._holding = holding or Holding()
        self._door = door
        self._quotas = quotas
        self._audit = audit

    @property
    def counts_bytes(self) -> bool:
        """Whether `received` has to be called."""
        return self._quotas is not None

    def received(self, size: int) -> None:
        """Count the bytes of a message of the call under way."""
        if self._quotas and (call := calls.current()):
            self._quotas.received(call.caller.name, size)

    def unary(self, method: str, behaviour: Any) -> Unary:  # noqa: ANN401 - grpc's has no types
        """Admit the call first, and note its end."""

        async def call(request: object, context: Context) -> object:
            begun = await self._begin(method, context)
            try:
                answer = await behaviour(request, context)
            except BaseException as fault:
                self._end(begun, outcome(context, fault).name)
                raise
            self._end(begun, "OK")
            return answer

        return call

    def stream(self, method: str, behaviour: Any) -> Stream:  # noqa: ANN401
        """The same for a stream of answers, which ends when its credentials do."""
        lasting = self._door is None or _is_health(method)

        async def call(request: object, context: Context) -> AsyncIterator[object]:
            begun = await self._begin(method, context)
            checked = self._monotonic()
            try:
                async with aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        if not lasting and self._monotonic() >= checked + AGAIN_SECONDS:
                            await self._check_again(begun, context)
                            checked = self._monotonic()
                        yield answer
            except BaseException as fault:
                self._end(begun, outcome(context, fault).name)
                raise
            self._end(begun, "OK")

        return call

    async def _begin(self, method: str, context: Context) -> Call:
        """Admit the call, or end it."""
        peer = context.peer()
        call = Call(Caller(host_of(peer), Role.ADMIN), peer, method)
        try:
            if self._door:
                call.caller = Caller("unknown", Role.READER)
                call.caller = await self._identify(self._door, method, context)
                self._door.check(method, call.caller)
            if self._quotas and not _is_health(method):
                self._quotas.begin(call.caller.name)
        except SchedulingError as fault:
            self._refused(call, fault)
            await self._holding.hold(host_of(peer), call.caller.name, context.time_remaining())
            await refuse(context, fault)
        calls.begin(call)
        return call

    async def _check_again(self, call: Call, context: Context) -> None:
        """End a stream whose caller may not call it any more, or cannot be verified now.

        A stream keeps the limits of its begin, so it ends with them. Clients begin it again.
        """
        if self._door is None:
            return
        try:
            caller = await self._identify(self._door, call.method, context)
            self._door.check(call.method, caller)
            if caller.limits != call.caller.limits:
                raise Unavailable(LIMITS_CHANGED)
        except SchedulingError as fault:
            self._count(fault)
            await refuse(context, fault)

    async def _identify(self, door: Door, method: str, context: Context) -> Caller:
        return await door.identify(method, _header(context), lambda: _names(context))

    def _refused(self, call: Call, fault: SchedulingError) -> None:
        self._count(fault)
        if self._audit:
            self._audit.note(call, code_of(fault).name, admitted=False)

    def _count(self, fault: SchedulingError) -> None:
        reason = next((word for kind, word in _REASONS if isinstance(fault, kind)), None)
        if reason:
            metrics.CALLS_REFUSED.labels(reason=reason).inc()

    def _end(self, call: Call, outcome: str) -> None:
        if self._audit:
            self._audit.note(call, outcome)


def _is_health(method: str) -> bool:
    """Probes meet no quota: else the calls of others would take this replica out of service."""
    rule = RULES.get(method)
    return rule is not None and rule.health


def _header(context: Context) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == HEADER:
            return value if isinstance(value, str) else value.decode(errors="replace")
    return None


def _names(context: Context) -> tuple[str, ...]:
    """The names of the client's certificate, which gRPC has verified."""
    about = context.auth_context()
    kinds = ("x509_subject_alternative_name", "x509_common_name")
    return tuple(name.decode(errors="replace") for kind in kinds for name in about.get(kind, ()))
