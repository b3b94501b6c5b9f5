"""Trace contexts as jobs keep them, and as OpenTelemetry has them. Only imported for tracing."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState


def context_of(text: bytes) -> SpanContext:
    """A trace context as `formats/trace.py` has it, not empty."""
    parent, _, state = text.decode().partition("\n")
    _, trace_id, span_id, flags = parent.split("-")[:4]
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def text_of(context: SpanContext) -> bytes:
    """The same the other way round."""
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header()
    return f"{parent}\n{state}".encode() if state else parent.encode()


def parent_of(text: bytes) -> Context:
    """For the children of a span elsewhere; empty: they begin a trace."""
    if not text:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(context_of(text)), Context())
