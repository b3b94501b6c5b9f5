"""The port of the embedded broker: chosen, the default, or another one that is told."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from confluent_kafka import Producer

from scheduling_srv import embedding
from scheduling_srv.adapters.embedded import EmbeddedBroker
from scheduling_srv.adapters.embedded.forward import Forwarder, PortTaken
from scheduling_srv.domain.errors import StartError
from tests.harness.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def produce(address: str) -> int:
    with Producer({"bootstrap.servers": address, "linger.ms": 0}) as producer:
        producer.produce("jobs", b"1")
        return producer.flush(10)


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
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


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
