"""Asynchronous tests that hang end by themselves.

The time-out of pytest raises where the main thread is: in any task of the event loop. That task
ends, and the test waits on for ever. Here the task of the test is cancelled.
"""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_SECONDS = 400.0
"""Real seconds, less than the time-out of pytest, also where the clock of the loop jumps."""


def bounded(
    test: Callable[P, Awaitable[T]], seconds: float = LONGEST_SECONDS
) -> Callable[P, Awaitable[T]]:
    """The same test, which raises `TimeoutError` after so long."""

    @functools.wraps(test)
    async def run(*args: P.args, **named: P.kwargs) -> T:
        watch = _Watch(seconds)
        try:
            return await test(*args, **named)
        except asyncio.CancelledError:
            watch.raise_if_late()
            raise
        finally:
            watch.end()

    return run


class _Watch:
    """Cancels the task that has made it when the time is up."""

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task
        self._task, self._loop = task, asyncio.get_running_loop()
        self._seconds = seconds
        self._is_late = self._has_ended = False
        self._timer = threading.Timer(seconds, self._wake)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        self._has_ended = True
        self._timer.cancel()

    def raise_if_late(self) -> None:
        if self._is_late:
            self._task.uncancel()
            raise TimeoutError(f"the test did not end within {self._seconds:g} s") from None

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self._has_ended:
            self._is_late = True
            self._task.cancel()
