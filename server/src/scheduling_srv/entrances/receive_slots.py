"""Receive slots bound the bytes of messages that gRPC receives at a time (decision 17).

gRPC receives a whole message of any size once the service calls `read`. Before that, a call
holds no more than its HTTP/2 window. So a call gets a slot here before it reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, TypeAlias, cast

import grpc

from scheduling_srv.domain.errors import InvalidRequest, Overloaded
from scheduling_srv.entrances.decompression import (
    Reserve,
    decompress,
    is_compressed,
    request_too_large,
)
from scheduling_srv.entrances.grpc_errors import refuse

SLOTS = 3
"""Messages that are received at a time. A small message has usually arrived before its slot."""
TICK_SECONDS = 0.25
"""How often slow senders are looked for, while calls wait."""
PATIENCE_TICKS = 4
"""How long a sender may keep other calls waiting."""

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Slot: TypeAlias = asyncio.Future[None]
"""Is done when its call has a slot."""


def _reserve_nothing(_size: int) -> None:
    """For messages that are too small to count."""


def present(message: bytes | None) -> bytes:
    """The message, if the client sent one. Raises `InvalidRequest`."""
    if message is None:
        raise InvalidRequest("The call has no message.")
    return message


class ReceiveSlots:
    """At most `count` messages are received at a time. Waiting clients are served in rotation.

    A sender that takes longer than its patience while other calls wait is refused.
    """

    def __init__(
        self,
        count: int = SLOTS,
        *,
        tick_seconds: float = TICK_SECONDS,
        patience_ticks: int = PATIENCE_TICKS,
    ) -> None:
        self._free = count
        self._tick_seconds = tick_seconds
        self._patience_ticks = patience_ticks
        self._receiving: dict[Context, int] = {}
        """Ticks for which each call has kept others waiting, the oldest call first."""
        self._waiting: dict[str, deque[Slot]] = {}
        """By the client's address. The first client is served next."""
        self._decompressing = asyncio.Lock()
        """Two calls that decompress together could use up the memory budget, and both fail."""
        self._timer: asyncio.TimerHandle | None = None
        self._evictions = set[asyncio.Task[None]]()

    async def read(
        self, context: Context, max_bytes: int, reserve: Reserve = _reserve_nothing
    ) -> bytes | None:
        """The next message, decompressed; None if the client sends no more.

        `reserve` is called with the size of the message, or of each piece of it. It may refuse.
        Raises `TooLarge` beyond `max_bytes`, and `InvalidRequest` for broken compressed messages.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(context.peer())
        try:
            self._receiving[context] = 0
            try:
                message: Any = await context.read()
            finally:
                del self._receiving[context]
            if message is grpc.aio.EOF:
                return None
            if is_compressed(message):
                async with self._decompressing:
                    return await decompress(message, max_bytes, reserve)
        finally:
            self._release()
        if len(message) > max_bytes:
            raise request_too_large(max_bytes)
        reserve(len(message))
        return cast("bytes", message)

    async def _wait(self, client: str) -> None:
        loop = asyncio.get_running_loop()
        slot: Slot = loop.create_future()
        self._waiting.setdefault(client, deque()).append(slot)
        if self._timer is None:
            self._timer = loop.call_later(self._tick_seconds, self._tick)
        try:
            await slot
        except asyncio.CancelledError:
            if not slot.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        """Give the slot to the next call that waits."""
        if self._waiting and (slot := self._next()):
            slot.set_result(None)
        else:
            self._free += 1

    def _next(self) -> Slot | None:
        """The next call of the client that was served least recently. Cancelled calls are left out.

        None if no call waits.
        """
        while self._waiting:
            client = next(iter(self._waiting))
            queue = self._waiting.pop(client)
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                slot = queue.popleft()
                if queue:
                    self._waiting[client] = queue
                return slot
        return None

    def _tick(self) -> None:
        """Refuse slow senders, the oldest first, one for each call that waits.

        Ticks are counted, not time: a blocked event loop does not make its senders slow.
        """
        self._timer = None
        if not self._waiting:
            return
        self._timer = asyncio.get_running_loop().call_later(self._tick_seconds, self._tick)
        for context in self._receiving:
            self._receiving[context] += 1
        slow = [each for each, ticks in self._receiving.items() if ticks >= self._patience_ticks]
        for context in slow[: sum(map(len, self._waiting.values()))]:
            self._receiving[context] = -self._patience_ticks  # the call is ending
            task = asyncio.create_task(self._evict(context))
            self._evictions.add(task)
            task.add_done_callback(self._evictions.discard)

    async def _evict(self, context: Context) -> None:
        """End the call, which ends its read. Cancelling the read would leak the message."""
        if context not in self._receiving:
            return  # its message has arrived meanwhile, and is being handled
        with suppress(grpc.aio.BaseError):  # gRPC raises the error that also ends the method
            await refuse(
                context, Overloaded("The message comes too slowly while other calls wait: retry.")
            )
