"""The host's wall clock."""

from __future__ import annotations

import time

NANOSECONDS = 1_000_000


class SystemClock:
    """Implements `Clock`."""

    def now(self) -> int:
        """Epoch milliseconds, rounded down: what is due at 10:30:00.000 is not due before."""
        return time.time_ns() // NANOSECONDS
