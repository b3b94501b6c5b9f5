"""The pages for operators, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scheduling_srv.app.health import Health
from scheduling_srv.app.progress import Findings
from scheduling_srv.domain.errors import StartError
from scheduling_srv.entrances.admin import AdminServer


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def all_is_well() -> Findings:
    return Findings()


def server_of(*, serving: bool, address: str = "127.0.0.1:0") -> AdminServer:
    probe = yes if serving else no
    return AdminServer(address, Health(redis=yes, kafka=probe, observe=all_is_well))


@asynccontextmanager
async def port_of(server: AdminServer) -> AsyncIterator[int]:
    port = await server.start()
    assert port is not None
    try:
        yield port
    finally:
        await server.stop()


async def get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("serving", [True, False])
async def test_a_process_that_answers_is_alive(serving: bool) -> None:
    async with port_of(server_of(serving=serving)) as port:
        assert await get(port, "/livez") == (200, "ok\n")


async def test_ready() -> None:
    async with port_of(server_of(serving=True)) as port:
        assert await get(port, "/readyz") == (200, "ok\n")
        status, page = await get(port, "/")
        assert status == 200
        assert "SERVING" in page


async def test_not_ready_says_why() -> None:
    async with port_of(server_of(serving=False)) as port:
        assert await get(port, "/readyz") == (503, "NOT_SERVING: Kafka does not answer.\n")
        assert "Kafka does not answer." in (await get(port, "/"))[1]


async def test_metrics() -> None:
    async with port_of(server_of(serving=True)) as port:
        status, page = await get(port, "/metrics")
        assert status == 200
        assert "# HELP scheduling_lateness_seconds Punctuality" in page


async def test_nothing_else() -> None:
    async with port_of(server_of(serving=True)) as port:
        assert (await get(port, "/nope"))[0] == 404


async def test_a_port_that_is_taken() -> None:
    async with port_of(server_of(serving=True)) as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(StartError) as refused:
            await server_of(serving=True, address=address).start()
        assert str(refused.value) == (
            f"Cannot listen on {address} (SCHEDULING_ADMIN_ADDRESS): Address already in use."
        )


@pytest.mark.parametrize("address", ["off", "127.0.0.1:0"])
async def test_it_may_be_stopped_before_it_is_started_and_twice(address: str) -> None:
    server = server_of(serving=True, address=address)
    await server.stop()
    server = server_of(serving=True, address=address)
    port = await server.start()
    assert (port is None) == (address == "off")
    await server.stop()
    await server.stop()


async def test_the_stop_does_not_wait_for_those_who_only_stay_connected() -> None:
    server = server_of(serving=True)
    port = await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.wait_for(server.stop(), 3)
    writer.close()
