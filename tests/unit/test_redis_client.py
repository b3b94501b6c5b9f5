"""What the connection to Redis does about cancellations, and about its own end."""

import asyncio

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.domain.errors import StoreUnavailable


class Deaf:
    """A connection, and its pool, that drop a cancellation as asyncio.wait_for may in 3.11."""

    def __init__(self) -> None:
        self.sending = asyncio.Event()
        self.released = 0

    async def get_connection(self) -> "Deaf":
        return self

    async def release(self, _connection: "Deaf") -> None:
        self.released += 1

    async def send_packed_command(self, _packed: bytes) -> None:
        self.sending.set()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return

    async def read_response(self) -> bytes:
        return b"answer"


async def test_a_cancellation_is_not_lost_on_the_way() -> None:
    client, deaf = RedisClient("redis://127.0.0.1:1/0"), Deaf()
    client.pool = deaf  # type: ignore[assignment]
    call = asyncio.create_task(client.execute("PING"))
    await deaf.sending.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert deaf.released == 1


async def test_a_timeout_is_one() -> None:
    client, deaf = RedisClient("redis://127.0.0.1:1/0"), Deaf()
    client.pool = deaf  # type: ignore[assignment]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await client.execute("PING")


class Ended(Deaf):
    """A connection whose transport the server has closed already."""

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self.sentence = sentence

    async def send_packed_command(self, _packed: bytes) -> None:
        raise RuntimeError(self.sentence)

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait


async def test_a_connection_that_ended_is_an_absent_server() -> None:
    """uvloop has no error of its own for it; any other RuntimeError is a fault of ours."""
    client = RedisClient("redis://127.0.0.1:1/0")
    said = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
    client.pool = Ended(said)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable, match="closed the connection"):
        await client.execute("PING")
    client.pool = Ended("no running event loop")  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="no running"):
        await client.execute("PING")
