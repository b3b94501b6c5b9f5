"""The connections to Redis: who may use which, cancellations, and their own end."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from scheduling_srv.adapters.redis import client as client_module
from scheduling_srv.adapters.redis import client as module
from scheduling_srv.adapters.redis.client import CALL_CONNECTIONS, OWN_CONNECTIONS, RedisClient
from scheduling_srv.app.owner.lanes import client_call
from scheduling_srv.domain.errors import Overloaded, StartError, StoreUnavailable
from tests.harness.waiting import PATIENCE_SECONDS

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Deaf:
    """A connection, and its pool, that drop a cancellation as asyncio.wait_for may in 3.11."""

    def __init__(self) -> None:
        self.sending = asyncio.Event()
        self.released = 0

    async def get_connection(self) -> "Deaf":
        return self

    def should_reconnect(self) -> bool:
        return False

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


class Refusing(Deaf):
    """It answers with an error."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.fault = fault

    async def read_response(self) -> bytes:
        raise self.fault

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait


@pytest.mark.parametrize(
    "fault", [None, NoScriptError("no"), ResponseError("no"), ConnectionError("no")]
)
async def test_a_cancellation_is_not_lost_on_the_way(fault: Exception | None) -> None:
    """Before, a script that Redis did not know yet was sent again, and its caller waited on."""
    client, deaf = RedisClient("redis://127.0.0.1:1/0"), Refusing(fault) if fault else Deaf()
    client.own.pool = deaf  # type: ignore[assignment]
    call = asyncio.create_task(client.execute("PING"))
    await deaf.sending.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert deaf.released == 1


class DeafPubSub(Deaf):
    """A subscription that drops a cancellation on its way."""

    connection = None

    async def subscribe(self, *_channels: str) -> None:
        await self.send_packed_command(b"")

    async def get_message(self, *, timeout: float | None) -> None:  # noqa: ASYNC109 - as redis-py
        if timeout is None:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.released += 1


async def test_a_cancellation_is_not_lost_while_it_begins_to_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, deaf = RedisClient("redis://127.0.0.1:1/0"), DeafPubSub()
    monkeypatch.setattr(Redis, "pubsub", lambda *_, **__: deaf)

    async def listen() -> None:
        async with client.subscription("channel") as subscription:
            await subscription.message()

    listening = asyncio.create_task(listen())
    await deaf.sending.wait()
    listening.cancel()
    done, _ = await asyncio.wait([listening], timeout=PATIENCE_SECONDS)
    assert [task.cancelled() for task in done] == [True]
    assert deaf.released == 1


async def test_a_timeout_is_one() -> None:
    client, deaf = RedisClient("redis://127.0.0.1:1/0"), Deaf()
    client.own.pool = deaf  # type: ignore[assignment]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await client.execute("PING")


async def test_a_ping_that_is_not_answered_says_who_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "PING_SECONDS", 0.01)
    client = RedisClient("redis://127.0.0.1:1/0")
    client.own.pool = Deaf()  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable, match=r": 127\.0\.0\.1:1 does not answer in time\.$"):
        await client.ping()


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
    client.own.pool = Ended(said)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable, match="closed the connection"):
        await client.execute("PING")
    client.own.pool = Ended("no running event loop")  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="no running"):
        await client.execute("PING")


class Demoted(Deaf):
    """A connection to a server that is a replica by now: it is made anew."""

    def __init__(self, fault: Exception | None) -> None:
        super().__init__()
        self.fault = fault
        self.connecting = asyncio.Event()

    def should_reconnect(self) -> bool:
        return True

    async def disconnect(self, *, nowait: bool = False) -> None: ...

    async def connect(self) -> None:
        self.connecting.set()
        if self.fault:
            raise self.fault
        await asyncio.sleep(10)


@pytest.mark.parametrize("fault", [OSError("refused"), RedisError("no"), None])
async def test_a_connection_that_is_not_made_anew_is_given_back(fault: Exception | None) -> None:
    """Before, each failure took a place of the pool, until no call found one."""
    client, demoted = RedisClient("redis://127.0.0.1:1/0"), Demoted(fault)
    client.own.pool = demoted  # type: ignore[assignment]
    call = asyncio.create_task(client.execute("PING"))
    await demoted.connecting.wait()
    if fault is None:
        call.cancel()
    with pytest.raises(StoreUnavailable if fault else asyncio.CancelledError):
        await call
    assert demoted.released == 1


# --- Lanes ---


class Broken(Ended):
    """A connection that breaks."""

    async def send_packed_command(self, _packed: bytes) -> None:
        raise BrokenPipeError(self.sentence)


async def test_an_error_does_not_keep_the_frames_that_it_passed_through() -> None:
    """Before, it was part of a cycle, which kept the whole command."""
    client = RedisClient("redis://127.0.0.1:1/0")
    client.own.pool = Broken("gone")  # type: ignore[assignment]
    gc.disable()
    try:
        await client.execute("PING")
    except StoreUnavailable as fault:
        known = weakref.ref(fault)
    finally:
        gc.enable()
    assert known() is None


class Slow(Deaf):
    """A server that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.under_way = 0
        self._changed = asyncio.Condition()

    async def full(self, count: int) -> None:
        """Return when so many commands wait for their answers."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.under_way == count)

    async def send_packed_command(self, _packed: bytes) -> None:
        async with self._changed:
            self.under_way += 1
            self._changed.notify_all()

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait

    async def read_response(self) -> bytes:
        await self.answers.wait()
        self.under_way -= 1
        return b"answer"


def slow_client() -> tuple[RedisClient, Slow, Slow]:
    """With its lanes: for calls, and its own."""
    client, calls, own = RedisClient("redis://127.0.0.1:1/0"), Slow(), Slow()
    client.calls.pool = calls  # type: ignore[assignment]
    client.own.pool = own  # type: ignore[assignment]
    return client, calls, own


async def test_calls_of_clients_cannot_use_up_the_connections_of_the_owner() -> None:
    client, calls, own = slow_client()
    with client_call():
        waiting = [asyncio.create_task(client.execute("PING")) for _ in range(100)]
    await calls.full(CALL_CONNECTIONS)
    own.answers.set()
    assert await client.execute("PING") == b"answer"
    assert calls.under_way == CALL_CONNECTIONS
    calls.answers.set()
    assert await asyncio.gather(*waiting) == [b"answer"] * 100


async def test_a_call_that_finds_no_connection_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis answers: it is not what the sentence may blame."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    client, calls, own = slow_client()
    with client_call():
        waiting = [asyncio.create_task(client.execute("PING")) for _ in range(CALL_CONNECTIONS)]
        await calls.full(CALL_CONNECTIONS)
        with pytest.raises(Overloaded, match="16 connections to Redis for them are in use"):
            await client.execute("PING")
    waiting += [asyncio.create_task(client.execute("PING")) for _ in range(OWN_CONNECTIONS)]
    await own.full(OWN_CONNECTIONS)
    with pytest.raises(StoreUnavailable, match="8 connections for this replica's own work"):
        await client.execute("PING")
    calls.answers.set()
    own.answers.set()
    await asyncio.gather(*waiting)
    assert await client.execute("PING") == b"answer"


async def test_a_call_that_is_given_up_gives_its_connection_back() -> None:
    client, calls, _ = slow_client()
    with client_call():
        tasks = [asyncio.create_task(client.execute("PING")) for _ in range(CALL_CONNECTIONS + 5)]
        await calls.full(CALL_CONNECTIONS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        calls.answers.set()
        assert await client.execute("PING") == b"answer"
    assert not client.calls.free.locked()


# --- Parameters of the URL ---


@pytest.mark.parametrize(
    "query", ["ssl_ca_certs=/nowhere", "ssl_cert_reqs=some", "ssl_min_version=x", "protocol=x"]
)
def test_a_url_that_the_library_refuses_is_a_wrong_setting(query: str) -> None:
    with pytest.raises(StartError, match="SCHEDULING_REDIS_URL"):
        RedisClient(f"rediss://127.0.0.1:1/0?{query}")


# --- TLS at one side only ---


async def _answers_in_words(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"-ERR Protocol error\r\n")
    writer.close()


async def _answers_with_an_alert(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.read(10)
    writer.write(b"\x15\x03\x01\x00\x02\x02\x46")
    writer.close()


async def _hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1000)
    writer.close()


async def _waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A plain Redis takes a TLS greeting for a command that has not ended yet."""
    while await reader.read(1000):
        pass
    writer.close()


@pytest.mark.parametrize(
    ("scheme", "server", "said"),
    [
        ("rediss", _answers_in_words, "does not speak TLS, which rediss:// asks for."),
        ("rediss", _hangs_up, "does not speak TLS"),
        ("rediss", _waits, "does not speak TLS"),
        ("redis", _hangs_up, "it may expect TLS (rediss://)."),
        (
            "redis",
            _answers_with_an_alert,
            "expects TLS (rediss://).",
        ),
    ],
)
async def test_tls_at_one_side_only_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, scheme: str, server: Server, said: str
) -> None:
    """Before: "Timeout connecting to server", "Connection closed by server"."""
    monkeypatch.setattr(client_module, "PING_SECONDS", PATIENCE_SECONDS)
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        timeout = 0.5 if server is _waits else PATIENCE_SECONDS
        client = RedisClient(f"{scheme}://127.0.0.1:{port}/0", timeout=timeout)
        with pytest.raises(StoreUnavailable) as caught:
            await client.ping()
        await client.close()
    assert said in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_a_port_that_nobody_listens_on_has_nothing_to_do_with_tls(scheme: str) -> None:
    client = RedisClient(f"{scheme}://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable) as caught:
        await client.ping()
    assert "TLS" not in str(caught.value)
