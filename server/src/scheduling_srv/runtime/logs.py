"""Logs: one line an event on standard error, JSON or for people. Payloads are never logged."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FIRST = ("timestamp", "level", "event")
LONGEST_TEXT = 2_000
"""Characters of a value; a traceback may be longer."""


def configure(
    level: str, style: Literal["json", "console"], more: Sequence[Processor] = ()
) -> None:
    """Log from `level` on, of the libraries as well. `more` processors add to each line."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_shared(), *more, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(style)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Of the libraries, only lines that an operator can act on.
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("scheduling_srv").setLevel(number)


def _shared() -> Sequence[Processor]:
    return (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper("iso", utc=True),
        _without_payloads,
    )


def _last(style: Literal["json", "console"]) -> Sequence[Processor]:
    if style == "json":
        return (
            structlog.processors.format_exc_info,
            _in_order,
            structlog.processors.JSONRenderer(default=str, sort_keys=False),
        )
    # The plain traceback: others show local variables, and so the payloads of jobs.
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),)


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Time, level and event first, as people read the lines as well."""
    first = {name: event.pop(name) for name in FIRST if name in event}
    logger = event.pop("logger", None)
    return {**first, **event, "logger": logger}


def _without_payloads(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Bytes and long texts may be a client's data, which must not be logged."""
    for name, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview):
            event[name] = f"<{len(value)} bytes>"
        elif isinstance(value, str) and len(value) > LONGEST_TEXT:
            event[name] = f"{value[:LONGEST_TEXT]}..."
    return event
