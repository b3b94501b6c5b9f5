"""A span for each gRPC call (docs/operations.md). Only imported if the service traces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from scheduling_srv.app.access.call import host_of
from scheduling_srv.entrances.call_trace import set_own
from scheduling_srv.entrances.grpc_health import HEALTH_SERVICE
from scheduling_srv.entrances.grpc_wrapping import Context, Stream, Unary, Wrapping, outcome
from scheduling_srv.formats.trace import trace_from_headers
from scheduling_srv.runtime.otel import parent_of, text_of

CODE = "rpc.grpc.status_code"
FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes of which a server is to blame, as OpenTelemetry's conventions say."""


class CallSpans(Wrapping):
    """Begins a span before each call but those of the health service.

    It is a child of the caller's, and the jobs of the call keep it.
    """

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def unary(self, method: str, behaviour: Any) -> Unary:  # noqa: ANN401 - grpc's has no types
        """The span is current in the method."""
        if _is_health(method):
            return behaviour  # type: ignore[no-any-return]

        async def call(request: object, context: Context) -> object:
            with trace.use_span(self._begin(method, context), record_exception=False) as span:
                try:
                    answer = await behaviour(request, context)
                except BaseException as fault:
                    _end(span, outcome(context, fault))
                    raise
                _end(span, grpc.StatusCode.OK)
                return answer

        return call

    def stream(self, method: str, behaviour: Any) -> Stream:  # noqa: ANN401
        """The span is not current: a generator may be closed in another context."""
        if _is_health(method):
            return behaviour  # type: ignore[no-any-return]

        async def call(request: object, context: Context) -> AsyncIterator[object]:
            span = self._begin(method, context)
            try:
                async for answer in behaviour(request, context):
                    yield answer
            except BaseException as fault:
                _end(span, outcome(context, fault))
                raise
            _end(span, grpc.StatusCode.OK)

        return call

    def _begin(self, method: str, context: Context) -> trace.Span:
        service, _, name = method[1:].rpartition("/")
        given = trace_from_headers(context.invocation_metadata() or ())
        span = self._tracer.start_span(
            method[1:],
            parent_of(given),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": name,
                "client.address": host_of(context.peer()),
            },
        )
        if span.is_recording():
            set_own(text_of(span.get_span_context()))
        return span


def _is_health(method: str) -> bool:
    return method.startswith(f"/{HEALTH_SERVICE}/")


def _end(span: trace.Span, code: grpc.StatusCode) -> None:
    span.set_attribute(CODE, int(code.value[0]))
    if code in FAULTS:
        span.set_status(Status(StatusCode.ERROR, code.name))
    span.end()
