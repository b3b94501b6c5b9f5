"""What the connection to Redis does about cancellations."""

import asyncio

import pytest

from scheduling_srv.adapters.redis.client import RedisClient


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
