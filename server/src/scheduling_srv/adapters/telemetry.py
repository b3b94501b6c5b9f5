"""Records spans with OpenTelemetry, and sends them to a collector (docs/operations.md).

Only imported if an `OTEL_*` variable asks for it: it needs the extra `otel`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanKind

from scheduling_srv import __version__
from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime.otel import context_of, parent_of
from scheduling_srv.runtime.spans import Relation, Span

NAME = "scheduling-srv"
"""Of the service, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES has another one."""
UNNAMED = "unknown_service"
"""How the SDK begins the name of a service that has none."""
MOST_LINKS = 128
"""Of a span; the SDK keeps no more."""
STOP_SECONDS = 1.0
"""How long the end of the process waits for the collector."""
PROTOCOLS = ("grpc", "http/protobuf")
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"


class Telemetry:
    """Implements `Recorder`. The SDK reads its settings from `OTEL_*` by itself."""

    def __init__(self, exporter: SpanExporter, replica: str) -> None:
        about = {"service.version": __version__, "service.instance.id": replica}
        named = Resource.create(about)
        if str(named.attributes["service.name"]).startswith(UNNAMED):
            named = named.merge(Resource({"service.name": NAME}))
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("scheduling_srv", __version__)

    @contextmanager
    def around(self, span: Span) -> Iterator[None]:
        """See `Recorder`."""
        found = self._begun(span)
        with trace.use_span(found, end_on_exit=True):
            yield

    def _begun(self, span: Span) -> trace.Span:
        if span.relation is Relation.CHILD:
            if not trace.get_current_span().is_recording():
                return trace.INVALID_SPAN
            return self._start(span, None, ())
        traces = [*islice(_different(span.traces), MOST_LINKS)]
        if span.relation is Relation.LINKED or len(traces) > 1:
            return self._start(span, Context(), traces)
        if not traces:
            return trace.INVALID_SPAN
        return self._start(span, parent_of(traces[0]), ())

    def _start(self, span: Span, parent: Context | None, traces: Sequence[bytes]) -> trace.Span:
        return self.tracer.start_span(
            span.name,
            parent,
            kind=SpanKind[span.kind.value],
            attributes=span.attributes,
            links=[Link(context_of(each)) for each in traces],
        )

    async def stop(self) -> None:
        """Send the spans that are left, for at most `STOP_SECONDS`.

        The thread is a daemon: a collector that is away must not hold up the end of the process.
        """
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            self._provider.force_flush(int(STOP_SECONDS * 1000))
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=flush, name="traces", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(sent.wait(), STOP_SECONDS)


def start(environment: Mapping[str, str], replica: str) -> Telemetry:
    """Record spans from now on. Raises `StartError`."""
    return Telemetry(_exporter(environment), replica)


def _exporter(environment: Mapping[str, str]) -> SpanExporter:
    protocol = environment.get(_TRACES_PROTOCOL) or environment.get(_PROTOCOL) or PROTOCOLS[0]
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        return OTLPSpanExporter()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415

        return trace_exporter.OTLPSpanExporter()
    raise StartError(
        f"{_PROTOCOL}: {protocol!r} is not known; write one of {', '.join(PROTOCOLS)}."
    )


def _different(traces: Iterable[bytes]) -> Iterator[bytes]:
    seen = set[bytes]()
    for each in traces:
        if each not in seen:
            seen.add(each)
            yield each


def add_ids(_logger: object, _method: str, event: Any) -> Any:  # noqa: ANN401 - structlog's
    """A processor of the log: the ids of the span under way, if it is recorded."""
    span = trace.get_current_span()
    if span.is_recording():
        context = span.get_span_context()
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event
