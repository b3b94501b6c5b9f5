"""Messages are received in turns, which bounds the bytes that gRPC takes in (decision 17).

gRPC receives a message as soon as it is asked for the next one, whatever its size. Before that, a
call holds no more than its HTTP/2 window. So a call waits here until it may ask.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, cast

import grpc

from scheduling_srv.domain.errors import InvalidRequest, Overloaded
from scheduling_srv.entrances.grpc_errors import refuse
from scheduling_srv.entrances.unpacking import Take, is_packed, too_large, unpack

READERS = 3
"""Messages that are received at a time. A small one is normally there when its turn comes."""
TICK = 0.25
"""Seconds between looks at how long senders take, while calls wait."""
PATIENCE = 4
"""Ticks that a sender may keep others waiting."""

Context = grpc.aio.ServicerContext[Any, Any]
Turn = asyncio.Future[None]


def _take_nothing(_size: int) -> None:
    """For messages that are too small to be counted."""


def present(message: bytes | None) -> bytes:
    """The message of a call that has one. Raises `InvalidRequest`."""
    if message is None:
        raise InvalidRequest("The call has no message.")
    return message


class Turns:
    """At most `count` messages are received at a time; clients that wait are served in rotation.

    A sender that takes longer than its patience while others wait is refused.
    """

    def __init__(self, count: int = READERS, *, tick: float = TICK) -> None:
        self._free = count
        self._tick = tick
        self._reading: dict[Context, int] = {}
        """Calls that receive, the oldest first, and for how many ticks others have waited."""
        self._waiting: dict[str, deque[Turn]] = {}
        """By client's address; the first one is served next."""
        self._unpacking = asyncio.Lock()
        """Two that unpack together could take the room from each other, and both be refused."""
        self._timer: asyncio.TimerHandle | None = None
        self._evictions = set[asyncio.Task[None]]()

    async def read(
        self, context: Context, largest: int, take: Take = _take_nothing
    ) -> bytes | None:
        """The next message, unpacked; None if the client sends no more.

        `take` is told of its bytes, which are `largest` at most, and may refuse them. Raises
        `TooLarge`, and `InvalidRequest` if it cannot be unpacked.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(context.peer())
        try:
            self._reading[context] = 0
            try:
                message: Any = await context.read()
            finally:
                del self._reading[context]
            if message is grpc.aio.EOF:
                return None
            if is_packed(message):
                async with self._unpacking:
                    return await unpack(message, largest, take)
        finally:
            self._pass_on()
        if len(message) > largest:
            raise too_large(largest)
        take(len(message))
        return cast("bytes", message)

    async def _wait(self, client: str) -> None:
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        if self._timer is None:
            self._timer = loop.call_later(self._tick, self._look)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        if self._waiting and (turn := self._next()):
            turn.set_result(None)
        else:
            self._free += 1

    def _next(self) -> Turn | None:
        """Of the client that was served least recently. Calls that gave up are left out."""
        while self._waiting:
            client = next(iter(self._waiting))
            queue = self._waiting.pop(client)
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                turn = queue.popleft()
                if queue:
                    self._waiting[client] = queue
                return turn
        return None

    def _look(self) -> None:
        """Refuse the slowest sender, if others wait for it. A tick of a busy loop counts once."""
        self._timer = None
        if not self._waiting:
            return
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._look)
        for context in self._reading:
            self._reading[context] += 1
        slow = next((each for each, ticks in self._reading.items() if ticks >= PATIENCE), None)
        if slow is not None:
            self._reading[slow] = -PATIENCE  # it is on its way out
            task = asyncio.create_task(self._evict(slow))
            self._evictions.add(task)
            task.add_done_callback(self._evictions.discard)

    async def _evict(self, context: Context) -> None:
        """End the call, which ends its read; to cancel the read would leak the message."""
        with suppress(grpc.aio.BaseError):  # gRPC raises what also ends the method
            await refuse(
                context, Overloaded("The message comes too slowly while other calls wait: retry.")
            )
