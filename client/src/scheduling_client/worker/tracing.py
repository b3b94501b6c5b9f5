"""OpenTelemetry spans of runs, linked to the trace of the job; none where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scheduling_client.worker.answers import Ended
from scheduling_client.worker.runs import Run


class Span:
    """The span of a run."""

    def __init__(self, span: Any) -> None:  # noqa: ANN401
        self._span = span

    def end(self, ended: Ended) -> None:
        """How the run ended."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        if ended.error is not None:
            self._span.set_status(StatusCode.ERROR, ended.error)


class Spans:
    """Begins a span for each run, if OpenTelemetry is there."""

    def __init__(self, name: str) -> None:
        self._name = name
        try:
            from opentelemetry import trace  # noqa: PLC0415 - it may be missing

            provider = trace.get_tracer_provider()
            unset = type(provider).__name__ == "ProxyTracerProvider"
            self._tracer: Any = None if unset else trace.get_tracer("scheduling_client.worker")
        except ImportError:
            self._tracer = None
        self.are_on = self._tracer is not None
        """Whether there is anything to record."""

    @contextmanager
    def of(self, run: Run) -> Iterator[Span]:
        """The span of a run: current in its handler, except in child processes."""
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        carrier = {"traceparent": run.traceparent, "tracestate": run.tracestate}
        origin = TraceContextTextMapPropagator().extract(
            {name: value for name, value in carrier.items() if value}
        )
        context = trace.get_current_span(origin).get_span_context()
        links = [trace.Link(context)] if context.is_valid else []
        attributes = {
            "messaging.system": "kafka",
            "scheduling.worker": self._name,
            "scheduling.job_id": run.job_id,
            "scheduling.occurrence_id": run.occurrence_id,
            "scheduling.attempt": run.attempt,
        }
        with self._tracer.start_as_current_span(
            f"run {run.type}", kind=trace.SpanKind.CONSUMER, links=links, attributes=attributes
        ) as span:
            yield Span(span)
