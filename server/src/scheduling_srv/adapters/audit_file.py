"""Where the audit log goes: a file, or the log of the service."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from logging.handlers import WatchedFileHandler
from pathlib import Path

import structlog

from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.states import Kind, State

log = structlog.get_logger(__name__)


def to_log(line: Mapping[str, object]) -> None:
    """Write a line into the log of the service, which has times of its own."""
    log.info("audit", **{name: value for name, value in line.items() if name != "time"})


class AuditFile:
    """Appends JSON lines to a file. A file that was moved away (logrotate) is made anew.

    A line that cannot be written is lost, counted and reported: calls go on.
    """

    def __init__(self, path: Path) -> None:
        """Raises `StartError`."""
        self._state = State(
            "the audit log cannot be written", "the audit log is written again", kind=Kind.CHANGE
        )
        try:
            self._handler = _Handler(path, encoding="utf-8")
        except OSError as fault:
            msg = f"Cannot write {path} (SCHEDULING_AUDIT_LOG): {fault.strerror}."
            raise StartError(msg) from fault

    def __call__(self, line: Mapping[str, object]) -> None:
        """Append a line."""
        text = json.dumps(line)  # in ASCII, so that no text breaks the encoding of the file
        record = logging.LogRecord("audit", logging.INFO, "", 0, text, None, None)
        try:
            self._handler.emit(record)
        except OSError as fault:
            metrics.AUDIT_LINES_LOST.inc()
            self._state.fails(f"{self._handler.baseFilename}: {fault.strerror}.")
        else:
            self._state.works()

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _Handler(WatchedFileHandler):
    """Raises its faults instead of printing them."""

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Raise the fault that is being handled."""
        if fault := sys.exception():
            raise fault
