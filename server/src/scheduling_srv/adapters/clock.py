"""The host's wall clock."""

from __future__ import annotations

import time

MILLISECOND, SECOND = 1_000_000, 1_000_000_000
"""Nanoseconds."""


class SystemClock:
    """Implements `ExactClock`."""

    def now(self) -> int:
        """Epoch milliseconds, rounded down: a run that is due at 10:30:00.000 is not due before."""
        return time.time_ns() // MILLISECOND

    def until(self, instant: int) -> float:
        """Seconds until an instant in epoch ms; below zero when it has passed."""
        return (instant * MILLISECOND - time.time_ns()) / SECOND
