"""Looks at the clock once more where records become readable: it may have been set back."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from confluent_kafka import Producer

from scheduling_srv.app.owner.hold import HOLD_LIMIT_SECONDS
from scheduling_srv.app.ports import ExactClock

LOOK_SECONDS = 0.1
"""Seconds between looks at a clock that was set back."""


def is_early(clock: ExactClock, due: int) -> bool:
    """Whether the clock says that `due`, in epoch ms, is still to come."""
    return clock.until(due) > 0


def until_due(clock: ExactClock, due: int) -> bool:
    """Sleep until the clock says `due`, in epoch ms, but not for ever; returns whether it does."""
    deadline = time.monotonic() + HOLD_LIMIT_SECONDS
    while (left := clock.until(due)) > 0:
        if time.monotonic() >= deadline:
            return False
        time.sleep(min(left, LOOK_SECONDS))
    return True


def produce_at(
    producer: Producer, clock: ExactClock, due: int, early: int = 0
) -> Callable[..., None]:
    """`producer.produce`, `early` milliseconds before it is `due`.

    The time stamps of records are not earlier than `due`.
    """
    if until_due(clock, due - early) and not is_early(clock, due):
        return producer.produce
    return partial(producer.produce, timestamp=due)
