"""The connection to Redis or Valkey; its errors become ours here and nowhere else."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    MaxConnectionsError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from scheduling_srv.domain.errors import StoreFull, StoreUnavailable

Value: TypeAlias = str | bytes | int | float

CLOSED = "the handler is closed"
"""What uvloop says, as a RuntimeError, of a connection that ended before it was used."""
FULL = "command not allowed when used memory"
SERVER_FAULTS = ("MISCONF ", "LOADING ", "READONLY ", "NOREPLICAS ", "MASTERDOWN ", "BUSY ")
"""Errors by which a server says that it cannot do it now, whoever asks."""

CONNECTIONS = 16
"""Of a replica, for each shard: one listens to signals all the time, and one call takes one."""


class RedisClient:
    """A small pool of connections. A command is sent once: whether a lost one was done is unknown.

    `timeout` in seconds is for connecting and for each answer.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        timeout: float = 5.0,
        connections: int = CONNECTIONS,
    ) -> None:
        options: dict[str, Any] = {"password": password} if password else {}
        self.pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            protocol=2,  # RESP3 would change the types of what scripts return
            retry=Retry(NoBackoff(), 0),  # a script that was sent twice would be applied twice
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            **options,
        )
        self.redis: Redis = Redis(connection_pool=self.pool)

    async def execute(self, *command: Value) -> Any:  # noqa: ANN401 - the answer's type is the command's
        """Send a command. Raises `StoreUnavailable`, or what the command is wrong about."""
        try:
            return await self._send(hiredis.pack_command(command))  # type: ignore[arg-type]
        except NoScriptError:
            raise
        except (RedisConnectionError, RedisTimeoutError, MaxConnectionsError, OSError) as fault:
            msg = f"Redis does not answer: {str(fault) or type(fault).__name__}"
            raise StoreUnavailable(msg) from fault
        except RuntimeError as fault:
            if CLOSED not in str(fault):
                raise
            msg = "Redis does not answer: it has closed the connection."
            raise StoreUnavailable(msg) from fault
        except ResponseError as fault:
            if "OOM " in str(fault) or str(fault).startswith(FULL):
                msg = "Redis is full: it has reached its maxmemory. Nothing was changed."
                raise StoreFull(msg) from fault
            if _is_servers_fault(str(fault)):
                msg = f"Redis refuses: {fault}"
                raise StoreUnavailable(msg) from fault
            raise
        except RedisError as fault:
            msg = f"Redis failed: {str(fault) or type(fault).__name__}"
            raise StoreUnavailable(msg) from fault

    async def _send(self, packed: bytes) -> Any:  # noqa: ANN401
        """What `Redis.execute_command` does, which packs in Python: a microsecond an argument.

        A connection whose answer was not read is closed, so that nobody else reads it.
        """
        cancellations = _cancellations()
        connection = await self.pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(packed)
            answer = await connection.read_response()
        except ResponseError:
            await self.pool.release(connection)
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            await self.pool.release(connection)
            raise
        await self.pool.release(connection)
        if _cancellations() > cancellations:
            # redis-py sends within asyncio.wait_for, which in Python 3.11 drops a cancellation that
            # comes when all is sent: who waits for the end of this task would wait for ever.
            raise asyncio.CancelledError
        return answer

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when there is no answer."""
        await self.execute("PING")

    async def close(self) -> None:
        """Close every connection."""
        await self.redis.aclose()
        await self.pool.disconnect()


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _is_servers_fault(text: str) -> bool:
    # redis-py strips the prefix of errors that it has a class for; a script's error wraps it.
    return any(fault in text for fault in SERVER_FAULTS) or text.startswith("command not allowed")
