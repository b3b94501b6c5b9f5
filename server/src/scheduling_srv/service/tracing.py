"""OpenTelemetry, if an `OTEL_*` variable asks for it (docs/operations.md). Else nothing of it runs.

The service then does not even import it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from structlog.typing import Processor

from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime import spans

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER, DISABLED = "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"
OTLP, NONE = "otlp", "none"
NEEDS_EXTRA = (
    '{} needs more packages. Install them with pip install "scheduling-srv[otel]", or unset it.'
)


async def _nothing() -> None:
    """Nothing is left to send."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the service adds to itself in order to trace; by default nothing."""

    calls: grpc.aio.ServerInterceptor | None = None
    """Begins a span before each call."""
    processors: Sequence[Processor] = ()
    """Of the log."""
    stop: Callable[[], Awaitable[None]] = _nothing
    """Sends the spans that are left."""


OFF = Tracing()


def begin(environment: Mapping[str, str], replica: str) -> Tracing:
    """Record spans from now on, if the environment asks for it. Raises `StartError`."""
    spans.record_with(None)
    if not (variable := _asking(environment)):
        return OFF
    try:
        from scheduling_srv.adapters import telemetry  # noqa: PLC0415 - an extra, and 0.2 s
        from scheduling_srv.entrances.grpc_spans import CallSpans  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise StartError(NEEDS_EXTRA.format(variable)) from missing
    recorder = telemetry.start(environment, replica)
    spans.record_with(recorder)
    return Tracing(CallSpans(recorder.tracer), (telemetry.add_ids,), recorder.stop)


def _asking(environment: Mapping[str, str]) -> str:
    """The variable that asks for traces; empty: none does. Raises `StartError`."""
    if environment.get(DISABLED, "").lower() == "true":
        return ""
    exporter = environment.get(EXPORTER, "")
    if exporter not in {"", OTLP, NONE}:
        raise StartError(f"{EXPORTER}: {exporter!r} is not known; write {OTLP} or {NONE}.")
    if exporter == NONE:
        return ""
    given = (*ENDPOINTS, EXPORTER)
    return next((name for name in given if environment.get(name)), "")
