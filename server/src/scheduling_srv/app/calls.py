"""Calls under way at the same time, a few of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Self, TypeVar

CANCEL_AGAIN_SECONDS = 5.0
"""Then a task that was told to end is told so again: nothing may hang for ever."""

Ended = TypeVar("Ended", bound=asyncio.Future[Any])


def raise_first(ended: list[Ended]) -> None:
    """Raise the exception of the first task that failed. Removes the tasks up to that one.

    An exception refers to the frames that it passed through. If one of them refers to the task,
    there is a cycle. It keeps all that the frames hold until the garbage collector runs.
    """
    while ended:
        ended.pop(0).result()


async def cancel_all(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel all of them, and return when they have ended, also if this is cancelled meanwhile."""
    for task in tasks:
        task.cancel()
    try:
        for task in tasks:
            await cancel(task)
    except asyncio.CancelledError:
        for task in tasks:
            await cancel(task)
        raise


async def cancel(task: asyncio.Future[Any]) -> None:
    """Cancel it, and return when it has ended."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()  # asyncio would log it as lost: what ended the others is what counts


class Calls:
    """At most `most` calls at a time. `begin` and `finish` raise the fault of an earlier one.

    On leaving, calls under way are cancelled. No exception outlives it: a group of exceptions would
    hold its frames, and all data that was read, until the next garbage collection.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._tasks = set[asyncio.Task[Any]]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_fault: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def begin(self, call: Coroutine[Any, Any, None]) -> None:
        """Begin it as soon as there is a place."""
        try:
            while len(self._tasks) >= self.most:
                await self._next()
        except BaseException:
            call.close()
            raise
        self._tasks.add(asyncio.create_task(call))

    async def finish(self) -> None:
        """Wait for all of them."""
        while self._tasks:
            await self._next()

    async def _next(self) -> None:
        done, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [*done]
        done.clear()
        raise_first(ended)
