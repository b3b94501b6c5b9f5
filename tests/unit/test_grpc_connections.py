"""The connections of the gRPC server: counted, refused with a line, closed while silent."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from scheduling_srv.entrances import grpc_server
from scheduling_srv.entrances.grpc_connections import GrpcConnections
from scheduling_srv.runtime.states import States
from tests.harness.waiting import PATIENCE_SECONDS

MOST = 3
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module", autouse=True)
async def one_event_loop() -> AsyncIterator[None]:
    """gRPC has one poller for the process, which does not survive its event loop."""
    yield
    gc.collect()
    await asyncio.sleep(0.1)


async def connect(port: int, count: int) -> list[Stream]:
    return [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]


async def ends(stream: Stream) -> None:
    """Return when the server has closed it."""
    reader, writer = stream
    with suppress(ConnectionResetError):
        while await reader.read(1_000):
            pass
    writer.close()


async def until(connections: GrpcConnections, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while connections.count() != count:  # noqa: ASYNC110 - channelz has no events
            await asyncio.sleep(0.01)


async def test_connections_are_counted_and_a_full_server_says_so() -> None:
    server = grpc.aio.server(options=[("grpc.max_allowed_incoming_connections", MOST)])
    connections = GrpcConnections(MOST, States())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with capture_logs() as lines:
            open_ones = await connect(port, MOST - 1)
            await until(connections, MOST - 1)
            connections.note(connections.count())
            assert not lines
            assert REGISTRY.get_sample_value("scheduling_grpc_connections") == MOST - 1
            open_ones += await connect(port, 1)
            await until(connections, MOST)
            await asyncio.wait_for(
                ends(*await connect(port, 1)), PATIENCE_SECONDS
            )  # one more is refused
            for _ in range(3):
                connections.note(connections.count())
            for _, writer in open_ones:
                writer.close()
            await until(connections, 0)
            connections.note(0)
    finally:
        await server.stop(0)
    assert [line["event"] for line in lines] == [
        "gRPC refuses further clients",
        "gRPC takes clients again",
    ]
    assert lines[0]["reason"].startswith("3 connections are open, and no more are allowed.")


async def test_a_server_that_has_stopped_has_no_connections() -> None:
    server = grpc.aio.server()
    never_asked, asked = GrpcConnections(MOST, States()), GrpcConnections(MOST, States())
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert asked.count() == 0
    await server.stop(0)
    del server
    gc.collect()
    assert asked.count() == 0
    assert never_asked.count() == 0


async def test_all_servers_of_a_process_are_counted() -> None:
    """Channelz tells of a hundred servers at a time."""
    servers = [grpc.aio.server() for _ in range(120)]
    port = servers[-1].add_insecure_port("127.0.0.1:0")
    for server in servers:
        await server.start()
    connections = GrpcConnections(MOST, States())
    try:
        opened = await connect(port, 1)
        await until(connections, 1)
        opened[0][1].close()
    finally:
        for server in servers:
            await server.stop(0)


async def test_a_connection_that_does_not_speak_http2_is_closed() -> None:
    """Without the option gRPC waits for two minutes."""
    server = grpc.aio.server(options=grpc_server._OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        silent, preface = await connect(port, 2)
        preface[1].write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        await asyncio.wait_for(asyncio.gather(ends(silent), ends(preface)), 60)
    finally:
        await server.stop(0)
