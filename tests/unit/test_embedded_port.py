"""The port of the embedded broker: chosen, the default, or another one that is told."""

import asyncio
import gc
import socket
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress

import pytest
import uvloop
from confluent_kafka import Producer

from scheduling_srv.adapters.embedded.broker import EmbeddedBroker
from scheduling_srv.adapters.embedded.forward import Forwarder, PortTaken
from scheduling_srv.domain.errors import StartError
from scheduling_srv.service import embedded as embedding
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE_SECONDS


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def produce(address: str) -> int:
    with Producer({"bootstrap.servers": address, "linger.ms": 0}) as producer:
        producer.produce("jobs", b"1")
        return producer.flush(PATIENCE_SECONDS)


async def test_clients_reach_the_broker_through_the_port() -> None:
    port = free_port()
    with EmbeddedBroker(["jobs"]) as broker:
        async with Forwarder(port, broker.bootstrap):
            assert await asyncio.to_thread(produce, f"127.0.0.1:{port}") == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_client_whose_broker_is_gone_sees_its_connection_end() -> None:
    port = free_port()
    async with Forwarder(port, f"127.0.0.1:{free_port()}"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.read() == b""
        writer.close()


def reset(port: int) -> None:
    """A client that leaves while bytes are on their way to it."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"x" * 50_000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_clients_that_reset_their_connections_leave_no_error() -> None:
    """uvloop answers a write to such a connection with a RuntimeError."""
    errors, writers = list[object](), list[asyncio.StreamWriter]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, RuntimeError):
            while data := await reader.read(65_536):
                writer.write(20 * data)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: errors.append(context))
        port = free_port()
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            target = server.sockets[0].getsockname()[1]
            async with Forwarder(port, f"127.0.0.1:{target}"):
                for _ in range(5):
                    await asyncio.gather(*(asyncio.to_thread(reset, port) for _ in range(60)))
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.1)
        gc.collect()

    uvloop.run(serve())
    assert errors == []


async def test_a_taken_port_is_not_shared(taken: int) -> None:
    with pytest.raises(PortTaken):
        await Forwarder(taken, "127.0.0.1:1").__aenter__()


async def test_the_default_port_is_used_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "DEFAULT_PORT", free_port())
    async with AsyncExitStack() as stack:
        address, note = await embedding._open_port(stack, None, "127.0.0.1:1")
    assert address == f"127.0.0.1:{embedding.DEFAULT_PORT}"
    assert note == ""


async def test_a_taken_default_port_is_told_with_the_variable_to_set(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(embedding, "DEFAULT_PORT", taken)
    async with AsyncExitStack() as stack:
        address, note = await embedding._open_port(stack, None, "127.0.0.1:1")
    assert address == "127.0.0.1:1"
    assert "SCHEDULING_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1\n" in note


async def test_a_chosen_port_that_is_taken_ends_the_start(taken: int) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(StartError, match=f"EMBEDDED_KAFKA_PORT.*{taken}"):
            await embedding._open_port(stack, taken, "127.0.0.1:1")


async def test_any_port_may_be_asked_for() -> None:
    async with AsyncExitStack() as stack:
        assert await embedding._open_port(stack, 0, "127.0.0.1:1") == ("127.0.0.1:1", "")
