"""The host's wall clock, and one that stands still."""

from __future__ import annotations

import math
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


class HeldClock:
    """Implements `SettableClock`: it says the same until it is set (docs/decisions/0035)."""

    def __init__(self, instant: int) -> None:
        """`instant`: epoch ms."""
        self._instant = instant

    def now(self) -> int:
        """Epoch milliseconds."""
        return self._instant

    def until(self, instant: int) -> float:
        """Seconds until an instant in epoch ms. A later one does not come by itself."""
        left = instant - self._instant
        return math.inf if left > 0 else left / 1000

    def set(self, instant: int) -> None:
        """From now on it says `instant`, in epoch ms. It never goes back."""
        self._instant = max(self._instant, instant)
