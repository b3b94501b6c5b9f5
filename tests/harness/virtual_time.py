"""An event loop whose clock jumps: a test of time-outs neither waits nor depends on the machine.

It suits tests of pure asyncio: a socket that answers late would see the clock run past it.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TURN_SECONDS = 1e-5
"""How long a turn of the loop takes: time passes for a task that polls without sleeping."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its time passes while all tasks wait, at once, and a little with each turn."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 0.0
        self.in_threads = 0
        """Calls that run in other threads: real time passes for them."""

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As usual; the clock stands still until the call has returned."""
        future = super().run_in_executor(executor, func, *args)
        self.in_threads += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _future: asyncio.Future[T]) -> None:
        self.in_threads -= 1


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for sockets and threads, never for the clock."""
        if timeout is None or (timeout > 0 and self._loop.in_threads):
            return super().select(None)
        events = super().select(0)
        self._loop.now += TURN_SECONDS if events else max(timeout, TURN_SECONDS)
        return events


VIRTUAL_TIME = ("asyncio", {"loop_factory": VirtualTimeLoop})
"""What a module's fixture `anyio_backend` returns when its tests run on this loop."""
