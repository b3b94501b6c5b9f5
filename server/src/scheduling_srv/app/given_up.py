"""Says which failed runs are not retried because too many retries of their job wait."""

from __future__ import annotations

import time
from collections.abc import Callable

from scheduling_srv.app.replies import GivenUp
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.throttle import Throttle


class GivenUpLog:
    """Counts each of these runs. One line a minute stands for all: a job may fail all day."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` counts seconds."""
        self.throttle = Throttle(
            "failed runs are not retried: too many retries of their job wait",
            counted="runs",
            monotonic=monotonic,
        )

    def note(self, given_up: GivenUp) -> None:
        """Count the retries that a store call has given up."""
        if not given_up.runs:
            return
        metrics.RETRIES_GIVEN_UP.inc(given_up.runs)
        job = given_up.job.decode(errors="replace")
        self.throttle.note(count=given_up.runs, last_job=job)


GIVEN_UP = GivenUpLog()
note_given_up = GIVEN_UP.note
