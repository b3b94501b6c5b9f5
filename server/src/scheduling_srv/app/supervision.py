"""Parts of the service that must not end: a fault of one is logged, and it starts again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import SchedulingError, StartError

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 1.0
"""Seconds before a part that broke starts again; twice as long each time."""
LONGEST_PAUSE_SECONDS = 30.0
"""Longest pause before it starts again."""
SOUND_AFTER_SECONDS = 60.0
"""Seconds after which a part that broke before counts as sound again."""

Part: TypeAlias = Callable[[], Awaitable[None]]
Work: TypeAlias = Callable[[str], Awaitable[None]]
"""A task of an owner beside emitting; it gets the token."""


async def supervised(
    name: str,
    part: Part,
    *,
    stopping: asyncio.Event | None = None,
    passing: type[SchedulingError] = StartError,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Run a part until it returns or is cancelled; `stopping`: it is not started again.

    An error that it raises is a fault of ours: it is logged with its traceback, and the part starts
    again after a pause. Raises only `passing` errors.
    """
    stopping, pause = stopping or asyncio.Event(), FIRST_PAUSE_SECONDS
    while True:
        began = monotonic()
        try:
            return await part()
        except passing:
            raise
        except Exception:
            if monotonic() - began > SOUND_AFTER_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            log.exception("a part of the service broke", part=name, again_in_seconds=pause)
        await wait(stopping, pause)
        if stopping.is_set():
            return None
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def isolated(name: str, work: Work) -> Work:
    """Work of the owner that has no part in emitting, and must not end it by a fault of ours."""

    async def run(token: str) -> None:
        await supervised(name, lambda: work(token), passing=SchedulingError)

    return run
