"""Counts runs that have ended for good, and says which have failed (docs/operations.md)."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from scheduling_srv import metrics
from scheduling_srv.app.replies import Ended

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""Between two log lines: a worker that fails all the time would fill the log."""


class EndedLog:
    """One log line stands for all failures since the one before."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._next = float("-inf")
        self._failed = 0

    def note(self, ended: Ended, failure: str) -> None:
        """What one call to the store has ended; `failure` is the outcome of those that failed."""
        for type_, done, failed in ended.by_type():
            metrics.ENDED["done"].of(type_).inc(done)
            metrics.ENDED[failure].of(type_).inc(failed)
        if not ended.failed:
            return
        self._failed += ended.failed
        if self.monotonic() >= self._next:
            log.warning(
                "a run has failed for good",
                outcome=failure,
                job=ended.job.decode(errors="replace"),
                runs=self._failed,
            )
            self._next, self._failed = self.monotonic() + PAUSE_SECONDS, 0


note_ended = EndedLog().note
