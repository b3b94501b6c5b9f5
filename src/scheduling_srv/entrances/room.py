"""What bounds the memory of calls: requests and answers share one room (docs/operations.md).

A call takes its share when it begins and as its answer grows, and gives it back when the answer is
on its way. What finds no room is UNAVAILABLE at once: a queue of calls would need room as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from scheduling_srv.domain.errors import Overloaded, TooLarge
from scheduling_srv.entrances.grpc_errors import Context, Method
from scheduling_srv.entrances.turns import Turns, present
from scheduling_srv.heap import Trimmer

CALL = 65_536
"""Bytes that a call needs, whatever it asks for: the window of its stream, as it may wait."""
COPIES = 7
"""How often the bytes of a request are there at most, on their way to Redis, Kafka and back."""
JOB = 2_048
"""Bytes that a job of a request needs beside them."""


class Room:
    """Bytes that all calls under way may hold together."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self._trimmer = Trimmer()

    @property
    def largest_answer(self) -> int:
        """So that one answer leaves room for other calls."""
        return self.size // 2

    def give_back(self, held: int, asked_for: int) -> None:
        """What one call held, of what it asked for."""
        self.used -= held
        self._trimmer.freed(asked_for)


class Share:
    """What one call holds of the room."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._held = self._asked_for = 0

    def take(self, size: int) -> None:
        """Hold `size` bytes more. Raises `Overloaded`, or `TooLarge` if it can never be."""
        self._asked_for += size
        if self._held + size > self.room.size:
            msg = "The request is too large: send it in pieces (SCHEDULING_CALL_MEMORY)."
            raise TooLarge(msg)
        if self.room.used + size > self.room.size:
            msg = "Too many calls are under way: send it again a little later."
            raise Overloaded(msg)
        self.room.used += size
        self._held += size

    def give_back(self) -> None:
        """All of it."""
        self.room.give_back(self._held, self._asked_for)
        self._held = self._asked_for = 0


Bounded = Callable[[bytes, Context, Share], Awaitable[bytes]]
"""A method that takes what it needs beside its request."""


def bounded(room: Room, turns: Turns, largest: int, method: Bounded) -> Method:
    """`method` with a share of the room, until its answer has left or its call has ended.

    The share begins before the message, of at most `largest` bytes, is received in its turn.
    """

    async def call(context: Context) -> bytes:
        share = Share(room)
        context.add_done_callback(lambda _: share.give_back())  # type: ignore[arg-type]
        share.take(CALL)
        raw = await turns.read(context, largest, lambda size: share.take(COPIES * size))
        return await method(present(raw), context, share)

    return call
