"""A budget bounds the memory of gRPC calls: of their requests and answers (docs/operations.md).

A call reserves memory when it begins and as its answer grows. It releases the memory when gRPC has
the answer. A call that exceeds the budget is UNAVAILABLE at once: a queue would need memory too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from scheduling_srv.domain.errors import Overloaded, TooLarge
from scheduling_srv.entrances.grpc_errors import Context, Method
from scheduling_srv.entrances.receive_slots import ReceiveSlots, present
from scheduling_srv.runtime.heap import Trimmer

CALL_BYTES = 65_536
"""Reserved for each call: the HTTP/2 window of its stream, which a waiting call may fill."""
COPIES = 7
"""How many copies of a request exist at most, on its way to Redis, to Kafka and back."""
JOB_BYTES = 2_048
"""Reserved for each job of a request, besides its copies."""


class Limits(NamedTuple):
    """Limits of requests that are checked before they are decoded."""

    items: int
    job_bytes: int


class MemoryBudget:
    """Bytes that all calls in progress may hold together."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self._trimmer = Trimmer()

    @property
    def largest_answer(self) -> int:
        """One answer leaves memory for other calls."""
        return self.size // 2

    def release(self, held: int, requested: int) -> None:
        """Release the bytes that one call held, of those that it requested."""
        self.used -= held
        self._trimmer.freed(requested)


class Reservation:
    """The part of the budget that one call holds."""

    def __init__(self, budget: MemoryBudget) -> None:
        self.budget = budget
        self._held = self._requested = 0

    def reserve(self, size: int) -> None:
        """Hold `size` bytes more. Raises `Overloaded`, or `TooLarge` if no retry can succeed."""
        self._requested += size
        if self._held + size > self.budget.size:
            msg = "The request is too large: send it in pieces (SCHEDULING_CALL_MEMORY)."
            raise TooLarge(msg)
        if self.budget.used + size > self.budget.size:
            msg = "Too many calls are under way: send it again a little later."
            raise Overloaded(msg)
        self.budget.used += size
        self._held += size

    def release(self) -> None:
        """Release all of it."""
        self.budget.release(self._held, self._requested)
        self._held = self._requested = 0


Bounded = Callable[[bytes, Context, Reservation], Awaitable[bytes]]
"""A method that reserves the memory that it needs besides its request."""


def bounded(
    budget: MemoryBudget,
    slots: ReceiveSlots,
    max_bytes: int,
    method: Bounded,
    received: Callable[[int], None] | None = None,
) -> Method:
    """`method` with a reservation, which is released when the call ends.

    The reservation begins before the call waits for a slot to receive its message. `received` is
    called with the size of the message.
    """

    async def call(context: Context) -> bytes:
        memory = Reservation(budget)
        context.add_done_callback(lambda _: memory.release())  # type: ignore[arg-type]
        memory.reserve(CALL_BYTES)
        raw = await slots.read(context, max_bytes, lambda size: memory.reserve(COPIES * size))
        if received and raw:
            received(len(raw))
        return await method(present(raw), context, memory)

    return call
