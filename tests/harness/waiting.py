"""Waiting for conditions; nothing here sleeps for a result that can be asked for."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from tests.harness.slow_machine import pause

T = TypeVar("T")

PATIENCE_SECONDS = 120.0
"""How long a test waits for what must come. It only has to end before the test's time-out: a
machine that is busy with other tests may need a hundred times as long as an idle one."""


def eventually(
    ask: Callable[[], T | None],
    *,
    what: str | Callable[[], str],
    timeout: float = PATIENCE_SECONDS,
    every: float = 0.02,
) -> T:
    """The first answer that is true; TimeoutError names `what` was awaited.

    An empty text or list is not yet the answer: a command that finds nothing prints nothing.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            pause()
            return answer
        if time.monotonic() >= deadline:
            description = what() if callable(what) else what
            raise TimeoutError(f"not within {timeout:g} s: {description}")
        time.sleep(every)


async def becomes(true: Callable[[], object], *, every: float = 0.001) -> None:
    """Return when it is true. The event loop goes on meanwhile, and may be what makes it true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110 - whatever makes it true tells nobody
            await asyncio.sleep(every)
