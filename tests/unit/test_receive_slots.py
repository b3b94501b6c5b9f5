"""Receive slots: how many messages are received at a time, in which order, and for how long."""

import asyncio
import gzip
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import pytest

from scheduling_srv.domain.errors import InvalidRequest, TooLarge
from scheduling_srv.entrances.receive_slots import PATIENCE_TICKS, ReceiveSlots, present
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


TICK_SECONDS = 0.01


class Call:
    """A call as gRPC shows it. The test sets `message` when it arrives."""

    def __init__(self, client: str = "a") -> None:
        self.client = client
        self.message: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked = False
        self.refusal: tuple[grpc.StatusCode, str] | None = None

    def peer(self) -> str:
        return self.client

    async def read(self) -> Any:
        self.asked = True
        return await self.message

    async def abort(self, code: grpc.StatusCode, details: str, _metadata: object) -> None:
        self.refusal = code, details
        error = grpc.aio.AbortError("Locally aborted.")
        if not self.message.done():
            self.message.set_exception(error)
        raise error


def begin(slots: ReceiveSlots, call: Call) -> asyncio.Task[bytes | None]:
    return asyncio.create_task(slots.read(call, 1_000))  # type: ignore[arg-type]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def asked(calls: Sequence[Call]) -> list[bool]:
    return [call.asked for call in calls]


async def test_a_bounded_number_of_messages_is_received_at_a_time() -> None:
    slots, calls = ReceiveSlots(2), [Call() for _ in range(4)]
    reads = [begin(slots, call) for call in calls]
    await settle()
    assert asked(calls) == [True, True, False, False]
    calls[0].message.set_result(b"0")
    await settle()
    assert asked(calls) == [True, True, True, False]
    for number, call in enumerate(calls[1:], 1):
        call.message.set_result(b"%d" % number)
    assert await asyncio.gather(*reads) == [b"0", b"1", b"2", b"3"]


async def test_clients_are_served_in_rotation() -> None:
    """A client with many calls does not make another one wait for all of them."""
    slots = ReceiveSlots(1)
    calls = [Call("a"), Call("a"), Call("a"), Call("b"), Call("c"), Call("b")]
    order = list[int]()
    reads = [begin(slots, call) for call in calls]
    for _ in calls:
        await settle()
        [number] = [
            number for number, call in enumerate(calls) if call.asked and not call.message.done()
        ]
        order.append(number)
        calls[number].message.set_result(b"")
    await asyncio.gather(*reads)
    assert order == [0, 1, 3, 4, 2, 5]


async def test_a_slow_sender_is_refused_while_others_wait() -> None:
    slots, slow, other = ReceiveSlots(1, tick_seconds=TICK_SECONDS), Call(), Call("b")
    first, second = begin(slots, slow), begin(slots, other)
    other.message.set_result(b"other")
    assert await second == b"other"
    with pytest.raises(grpc.aio.AbortError):
        await first
    assert slow.refusal is not None
    assert slow.refusal[0] is grpc.StatusCode.UNAVAILABLE
    assert "slowly" in slow.refusal[1]


async def test_only_the_oldest_slow_sender_is_refused_for_one_waiting_call() -> None:
    slots, slow = ReceiveSlots(3, tick_seconds=TICK_SECONDS), [Call() for _ in range(3)]
    reads = [begin(slots, call) for call in slow]
    other = Call("b")
    other.message.set_result(b"other")
    assert await begin(slots, other) == b"other"
    await asyncio.sleep(3 * PATIENCE_TICKS * TICK_SECONDS)
    assert [call.refusal is None for call in slow] == [False, True, True]
    for call in slow[1:]:
        call.message.set_result(b"late")
    assert await asyncio.gather(*reads[1:]) == [b"late", b"late"]
    await asyncio.gather(reads[0], return_exceptions=True)


async def test_a_slow_sender_is_refused_for_each_waiting_call() -> None:
    """With one in each tick, sixty connections made a health check wait for twenty seconds."""
    slots, slow = ReceiveSlots(3, tick_seconds=TICK_SECONDS), [Call() for _ in range(3)]
    reads = [begin(slots, call) for call in slow]
    others = [Call(f"b{number}") for number in range(3)]
    waiting = [begin(slots, other) for other in others]
    await settle()
    for _ in range(PATIENCE_TICKS):
        slots._tick()
    await settle()
    assert all(call.refusal for call in slow)
    assert asked(others) == [True] * 3
    for other in others:
        other.message.set_result(b"other")
    assert await asyncio.gather(*waiting) == [b"other"] * 3
    await asyncio.gather(*reads, return_exceptions=True)


async def test_a_message_that_arrives_just_before_its_refusal_is_handled() -> None:
    """The call was handled and refused: its client repeated it, and the job was there twice."""
    slots, slow, other = ReceiveSlots(1), Call(), Call("b")
    first, second = begin(slots, slow), begin(slots, other)
    await settle()
    slow.message.set_result(b"late")
    for _ in range(PATIENCE_TICKS):
        slots._tick()  # makes the task that refuses
    await settle()
    assert (await first, slow.refusal) == (b"late", None)
    other.message.set_result(b"other")
    assert await second == b"other"


async def test_a_slow_sender_keeps_its_slot_while_no_call_waits() -> None:
    slots, slow = ReceiveSlots(1, tick_seconds=TICK_SECONDS), Call()
    read = begin(slots, slow)
    await asyncio.sleep(3 * PATIENCE_TICKS * TICK_SECONDS)
    slow.message.set_result(b"late")
    assert await read == b"late"
    assert slow.refusal is None


@pytest.mark.parametrize("gives_up", ["while it receives", "while it waits", "with its slot"])
async def test_a_call_that_ends_releases_its_slot(gives_up: str) -> None:
    slots = ReceiveSlots(1)
    first, second, third = Call(), Call(), Call("b")
    reads = [begin(slots, call) for call in (first, second, third)]
    await settle()
    if gives_up == "while it receives":
        reads[0].cancel()
        second.message.set_result(b"second")
    elif gives_up == "while it waits":
        reads[1].cancel()
        await settle()
        first.message.set_result(b"first")
    else:
        first.message.set_result(b"first")
        await reads[0]  # the second call has its slot, and has not run yet
        reads[1].cancel()
    third.message.set_result(b"third")
    assert await reads[2] == b"third"
    await asyncio.gather(*reads, return_exceptions=True)
    last = Call()
    last.message.set_result(b"last")
    assert await begin(slots, last) == b"last"


async def test_a_call_without_a_message_is_the_clients_fault() -> None:
    slots, call = ReceiveSlots(1), Call()
    call.message.set_result(grpc.aio.EOF)
    with pytest.raises(InvalidRequest):
        present(await begin(slots, call))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
async def test_a_message_that_is_too_large_is_refused(pack: Callable[[bytes], bytes]) -> None:
    for size in (1_000, 1_001):
        slots, call = ReceiveSlots(1), Call()
        call.message.set_result(pack(b"x" * size))
        read = begin(slots, call)
        if size == 1_000:
            assert await read == b"x" * size
        else:
            with pytest.raises(TooLarge):
                await read
