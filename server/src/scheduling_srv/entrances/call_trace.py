"""The trace context of a call, which its jobs keep for the worker (docs/contract.md)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import grpc

from scheduling_srv.formats.trace import trace_from_headers

_own: ContextVar[bytes] = ContextVar("own_trace", default=b"")
set_own = _own.set
"""Note the span of the call under way, which an interceptor has begun."""


def trace_of(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """That of the service's own span, if it records one; else that of the caller."""
    return _own.get() or trace_from_headers(context.invocation_metadata() or ())
