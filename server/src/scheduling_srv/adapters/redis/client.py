"""The connections to Redis or Valkey; its errors become ours here and nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import hiredis
import structlog
from redis.asyncio import ConnectionPool, Redis, SSLConnection
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from scheduling_srv.adapters.redis.refusals import CallAgain, Meaning, meaning_of, translated
from scheduling_srv.app.owner import lanes
from scheduling_srv.domain.errors import (
    Overloaded,
    StartError,
    StoreFault,
    StoreUnavailable,
    Unavailable,
)
from scheduling_srv.runtime.states import Seldom

Value: TypeAlias = str | bytes | int | float

log = structlog.get_logger(__name__)

CLOSED = "the handler is closed"
"""Text of uvloop's RuntimeError for a connection that ended before it was used."""

CALL_CONNECTIONS = 16
"""Connections of a replica for each shard, shared by the calls of clients."""
OWN_CONNECTIONS = 8
"""Connections of a replica for each shard, for its owner, its listener and its health."""
PATIENCE_SECONDS = 5.0
"""Seconds to wait for a connection while all are in use."""
PING_SECONDS = 0.9
"""Seconds to wait for the answer to a ping: a question for health ends within one."""
LEAVE_PAUSE_SECONDS = 0.5
"""Seconds between two times that all connections are given up because the server is a replica."""
PRIMARY = "#!lua flags=allow-oom\nreturn redis.call(unpack(ARGV))"
"""A script that may write, and so is refused by a replica: its reads are never old ones."""


@dataclass(slots=True)
class Lane:
    """Connections that some callers share."""

    pool: ConnectionPool
    size: int
    crowded: Callable[[], Unavailable]
    """Makes the error for a caller that finds all of them in use for too long."""
    free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """As many as there are."""
        self.free = asyncio.Semaphore(self.size)

    async def take(self) -> None:
        """Wait for one to be free. Raises `crowded`."""
        if not self.free.locked():
            await self.free.acquire()
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.free.acquire()
        except TimeoutError:
            raise self.crowded() from None


class Subscription:
    """A connection that listens."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self._ended = False

    def end(self) -> None:
        """End the connection: `message` raises `ConnectionError` from now on."""
        self._ended = True
        connection: Any = self._pubsub.connection
        if connection:
            connection._close()  # noqa: SLF001 - without waiting for the server

    async def message(self) -> bytes:
        """The next one. Raises redis-py's errors, and `ConnectionError` at the end."""
        while not self._ended:  # redis-py would connect again, and say nothing
            message = await self._pubsub.get_message(timeout=None)
            if message:
                data: bytes = message["data"]
                return data
        raise RedisConnectionError("this replica has left a server that is not the primary")


class RedisClient:
    """A bounded number of connections: some for calls of clients, others for the service itself.

    A command is sent once: whether a lost one was done is unknown.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        supplied_by: str = "SCHEDULING_REDIS_URL",
        timeout: float = 5.0,
        shards: int = 1,
    ) -> None:
        """`timeout` in seconds is for connecting and for each answer. Raises `StartError`.

        `supplied_by` is the setting that an operator has to correct if Redis refuses it.
        """
        self.timeout = timeout
        self.supplied_by = supplied_by
        self._options: dict[str, Any] = {"password": password} if password else {}
        calls, own = CALL_CONNECTIONS * shards, OWN_CONNECTIONS * shards
        crowd = f"Too many calls at once: all {calls} connections to Redis for them are in use."
        slow = f"Redis is slow: all {own} connections for this replica's own work wait for it."
        self.calls = Lane(self._pool(url, calls), calls, lambda: Overloaded(crowd))
        # Each shard has a subscription besides.
        self.own = Lane(self._pool(url, own + shards), own, lambda: StoreUnavailable(slow))
        about = self.calls.pool.connection_kwargs
        self.address = about.get("path") or f"{about.get('host')}:{about.get('port')}"
        self.database = int(about.get("db") or 0)
        self.tls = issubclass(self.calls.pool.connection_class, SSLConnection)
        self._subscriptions: set[Subscription] = set()
        self._left = float("-inf")
        """When all connections were given up last, in monotonic seconds."""
        self._seldom = Seldom()

    def _pool(self, url: str, most: int) -> ConnectionPool:
        try:
            pool = ConnectionPool.from_url(
                url,
                max_connections=most,
                protocol=2,  # RESP3 would change the types of what scripts return
                retry=Retry(NoBackoff(), 0),  # a script that was sent twice would be applied twice
                socket_timeout=self.timeout,
                socket_connect_timeout=self.timeout,
                socket_keepalive=True,
                **self._options,
            )
            connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]
            if context := getattr(connection, "ssl_context", None):
                context.get()  # reads the files that the URL names
        except (RedisError, ValueError, TypeError, OSError) as fault:
            raise StartError(f"SCHEDULING_REDIS_URL: the value is refused: {fault}.") from None
        return pool

    async def execute(self, *command: Value) -> Any:  # noqa: ANN401 - the answer's type is the command's
        """Send a command. Raises `StoreUnavailable` and its kinds, `Overloaded` and `CallAgain`."""
        lane = self.calls if lanes.is_client_call() else self.own
        await lane.take()
        try:
            with _CancellationKept():
                return await self._send(lane.pool, hiredis.pack_command(command))  # type: ignore[arg-type]
        finally:
            lane.free.release()

    async def on_primary(self, *command: Value) -> Any:  # noqa: ANN401 - as above
        """A command that reads, but never of a server that is a replica by now."""
        return await self.execute("EVAL", PRIMARY, 0, *command)

    async def _send(self, pool: ConnectionPool, packed: bytes) -> Any:  # noqa: ANN401
        """As `Redis.execute_command`, which packs in Python: a microsecond an argument.

        A connection whose answer was not read is closed, so that no other call reads it.
        """
        try:
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, RuntimeError) as fault:
            self._raise(fault, connecting=True)
        if connection.should_reconnect():
            await self._reconnect(pool, connection)
        try:
            await connection.send_packed_command(packed)
            answer = await connection.read_response()
        except NoScriptError:
            await pool.release(connection)
            raise
        except ResponseError as fault:
            meaning = meaning_of(fault)
            if meaning is Meaning.REPLICA:
                self._leave()
            await pool.release(connection)
            if meaning is Meaning.AGAIN:
                raise CallAgain from None
            self._raise(fault)
        except BaseException as fault:
            await connection.disconnect(nowait=True)
            await pool.release(connection)
            if isinstance(fault, RedisError | OSError | RuntimeError):
                self._raise(fault)
            raise
        await pool.release(connection)
        return answer

    async def _reconnect(self, pool: ConnectionPool, connection: Any) -> None:  # noqa: ANN401 - of redis-py
        """It gives the connection back if that fails or is cancelled: the pool has a bound."""
        try:
            await connection.disconnect()
            await connection.connect()
        except BaseException as fault:
            await connection.disconnect(nowait=True)
            await pool.release(connection)
            if isinstance(fault, RedisError | OSError | RuntimeError):
                self._raise(fault, connecting=True)
            raise

    def _raise(self, fault: Exception, *, connecting: bool = False) -> NoReturn:
        """Raise our error for it, or itself if it is none of the server's."""
        if isinstance(fault, RuntimeError):
            if CLOSED not in str(fault):
                raise fault
            msg = f"Redis does not answer: {self.address} has closed the connection."
            raise StoreUnavailable(msg) from fault
        error = translated(
            fault,
            connecting=connecting,
            address=self.address,
            tls=self.tls,
            supplied_by=self.supplied_by,
        )
        if isinstance(error, StoreFault):
            self._log_fault(fault)
        try:
            raise error from fault
        finally:
            del error, fault  # they refer to this frame: the cycle would keep both

    def _log_fault(self, fault: Exception) -> None:
        """Log the traceback, but seldom: a loop may meet the fault many times a second."""
        if self._seldom.is_due(str(fault)):
            log.error("Redis has answered an error that is a fault of ours", exc_info=fault)

    # --- The primary --------------------------------------------------------------------------

    def _leave(self) -> None:
        """The address may lead to the new primary by now: each connection is made anew."""
        now = time.monotonic()
        if now - self._left < LEAVE_PAUSE_SECONDS:
            return
        self._left = now
        if self._seldom.is_due("replica"):
            log.warning("Redis is a read-only replica now: connecting again")
        connection: Any
        for pool in (self.calls.pool, self.own.pool):
            for connection in (*pool._available_connections, *pool._in_use_connections):  # noqa: SLF001
                connection.mark_for_reconnect()
        for subscription in self._subscriptions:
            subscription.end()

    @asynccontextmanager
    async def subscription(self, *channels: str) -> AsyncGenerator[Subscription, None]:
        """Messages of these channels.

        Raises `StoreUnavailable` when its connection ends, also because it led to a replica.
        """
        redis: Redis = Redis(connection_pool=self.own.pool)
        pubsub = redis.pubsub(ignore_subscribe_messages=True)
        subscription = Subscription(pubsub)
        self._subscriptions.add(subscription)
        try:
            with _CancellationKept():
                await pubsub.subscribe(*channels)
                await pubsub.get_message(timeout=self.timeout)  # a refusal comes as the answer
            yield subscription
        except (RedisError, OSError, RuntimeError) as fault:
            self._raise(fault)
        finally:
            self._subscriptions.discard(subscription)
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when there is no answer soon, or not of a primary."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self.on_primary("PING")
        except TimeoutError:
            msg = f"Redis does not answer: {self.address} does not answer in time."
            raise StoreUnavailable(msg) from None

    async def close(self) -> None:
        """Close every connection."""
        for pool in (self.calls.pool, self.own.pool):
            await pool.aclose()


class _CancellationKept:
    """Raises `CancelledError` at its end if the task was cancelled in it, whatever else it raises.

    redis-py sends within asyncio.wait_for. In Python 3.11 that drops a cancellation that comes when
    all is sent. A caller that then tries again, or waits for something else, would never end.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _cancellations()

    def __exit__(self, *_fault: object) -> None:
        if _cancellations() > self._before:
            raise asyncio.CancelledError


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0
