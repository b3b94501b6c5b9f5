"""Daemon threads for plain functions: one that hangs keeps no process from its end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_OF_THE_LOOP = (StopIteration, KeyboardInterrupt, GeneratorExit)
"""A future refuses the first. In a task the others mean the end of the worker, not of a call."""
Work = tuple[Callable[[], Any], asyncio.Future[Any], contextvars.Context]


class Threads:
    """At most `most` threads; each begins when no other one is free."""

    def __init__(self, most: int, name: str, freed: Callable[[], None]) -> None:
        """`freed` is called when a call has ended whose future was cancelled."""
        self._most, self._name, self._freed = most, name, freed
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._started = self._busy = 0
        self.abandoned = 0
        """Calls that go on although their tasks were cancelled. Each keeps its thread."""

    async def run(self, function: Callable[[], Any]) -> Any:  # noqa: ANN401 - of the function
        """Call `function` in a thread.

        Cancellation does not end a call that has begun; one that still waits for a thread is
        never made.
        """
        future = self._send(function)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self.abandoned += 1
            raise

    def _send(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._busy += 1
        if self._busy > self._started < self._most:
            self._started += 1
            name = f"{self._name}-{self._started}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        self._work.put((function, future, contextvars.copy_context()))
        return future

    def close(self) -> None:
        """End the threads that are free, and the others after their call."""
        for _ in range(self._started):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            function, future, context = work
            result, fault = None, None
            if not future.done():  # else its task was cancelled, and its run is answered
                try:
                    result = context.run(function)
                except BaseException as raised:  # noqa: BLE001 - the future carries it to its task
                    fault = raised
            try:
                self._loop.call_soon_threadsafe(self._ended, future, result, fault)
            except RuntimeError:  # the loop is closed: the worker has stopped without this call
                return

    def _ended(
        self, future: asyncio.Future[Any], result: object, fault: BaseException | None
    ) -> None:
        self._busy -= 1
        if future.done():
            self.abandoned -= 1
            self._freed()
            return
        if isinstance(fault, _OF_THE_LOOP):
            fault = RuntimeError(f"The function raised {type(fault).__name__}.")
        if fault is not None:
            future.set_exception(fault)
        else:
            future.set_result(result)
