"""Counts runs that have ended for good, and says which have failed (docs/operations.md)."""

from __future__ import annotations

import time
from collections.abc import Callable

from scheduling_srv.app.replies import Ended
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.throttle import Throttle

PAUSE_SECONDS = 1.0
"""Seconds between two log lines: a worker that fails all the time would fill the log."""
LONGEST_ERROR = 200
"""Characters of a worker's error that a line repeats."""


class EndedLog:
    """One log line stands for all failures since the one before."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.throttle = Throttle(
            "a run has failed for good",
            counted="failed_since_last_line",
            seconds=PAUSE_SECONDS,
            monotonic=monotonic,
        )

    def note(self, ended: Ended, failure: str) -> None:
        """Count the runs that a store call has ended; `failure` is the outcome of failed ones."""
        for type_, done, failed in ended.by_type():
            metrics.ENDED["done"].of(type_).inc(done)
            metrics.ENDED[failure].of(type_).inc(failed)
        if not ended.failed:
            return
        error = ended.error.decode(errors="replace")[:LONGEST_ERROR]
        self.throttle.note(
            count=ended.failed,
            outcome=failure,
            job=ended.job.decode(errors="replace"),
            type=ended.type.decode(errors="replace"),
            attempts=ended.attempts,
            **({"error": error} if error else {}),
        )


ENDED = EndedLog()
note_ended = ENDED.note
