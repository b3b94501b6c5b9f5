"""Which failed calls are sent again, and when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from scheduling_client.api.errors import SchedulingError, TimedOut, Unavailable

MOST_ATTEMPTS = 5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
NOTHING_DONE = frozenset({"OVERLOADED", "RECOVERING", "REDIS_FULL", "CONTENDED"})
"""Reasons of calls that had no effect: any of these may be sent again."""


class Attempts:
    """The attempts of one call. The whole of them has a deadline."""

    def __init__(
        self,
        seconds: float,
        *,
        repeatable: bool,
        monotonic: Callable[[], float] = time.monotonic,
        share: Callable[[], float] = random.random,
    ) -> None:
        """`repeatable`: the call has the same effect if it is made twice."""
        self._ends = monotonic() + seconds
        self._repeatable = repeatable
        self._monotonic = monotonic
        self._share = share
        self._made = 0

    @property
    def seconds_left(self) -> float:
        """Until the deadline, not negative."""
        return max(0.0, self._ends - self._monotonic())

    def pause_after(self, error: SchedulingError) -> float:
        """Seconds to wait before the next attempt. Raises the error if there is none."""
        self._made += 1
        may = isinstance(error, Unavailable) and not isinstance(error, TimedOut)
        if not may or not (self._repeatable or error.reason in NOTHING_DONE):
            raise error
        pause: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (self._made - 1))
        pause = max(pause, error.retry_seconds or 0.0) * (0.5 + self._share() / 2)
        if self._made >= MOST_ATTEMPTS or pause >= self.seconds_left:
            raise error
        return pause
