"""Methods of scheduling.v1 whose answers are small."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from scheduling_srv.app import deadline
from scheduling_srv.entrances.grpc_errors import Context
from scheduling_srv.entrances.memory_budget import Bounded, Reservation

Asked = TypeVar("Asked")
Result = TypeVar("Result")


def small_method(
    decode: Callable[[bytes], Asked],
    act: Callable[[Asked], Awaitable[Result]],
    encode: Callable[[Result], bytes],
) -> Bounded:
    """A method that reads its request, acts, and writes its answer."""

    async def call(raw: bytes, context: Context, _memory: Reservation) -> bytes:
        asked = decode(raw)
        with deadline.within(context.time_remaining()):
            return encode(await act(asked))

    return call
