"""Says which failed runs are not retried because too many retries of their job wait."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from scheduling_srv.app.replies import GivenUp
from scheduling_srv.runtime import metrics

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 60.0
"""Seconds between two log lines: a job that fails all day would fill the log."""


class GivenUpLog:
    """Counts each of these runs, and logs one of them at most once a minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` counts seconds."""
        self.monotonic = monotonic
        self._next = float("-inf")

    def note(self, given_up: GivenUp) -> None:
        """Count the retries that a store call has given up."""
        if not given_up.runs:
            return
        metrics.RETRIES_GIVEN_UP.inc(given_up.runs)
        if self.monotonic() >= self._next:
            self._next = self.monotonic() + PAUSE_SECONDS
            log.warning(
                "failed runs are not retried: too many retries of their job wait",
                job=given_up.job.decode(errors="replace"),
                runs=given_up.runs,
            )


note_given_up = GivenUpLog().note
