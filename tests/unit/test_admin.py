"""The pages for operators, over HTTP."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from scheduling_srv.app.health.health import Health
from scheduling_srv.app.health.progress import Findings
from scheduling_srv.domain.errors import StartError
from scheduling_srv.entrances import admin, http_bounds
from scheduling_srv.entrances.admin import AdminServer
from scheduling_srv.entrances.web.streams import EventStream
from scheduling_srv.runtime.throttle import Throttle
from tests.harness.waiting import PATIENCE_SECONDS


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
    return await ask(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


async def ask(port: int, request: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
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


async def test_the_address_of_a_caller_is_that_of_its_connection() -> None:
    async def shown(scope: Scope, receive: Receive, send: Send) -> None:
        answer = PlainTextResponse(f"{scope['scheme']} {scope['client'][0]}")
        await answer(scope, receive, send)

    health = Health(redis=yes, kafka=yes, observe=all_is_well)
    async with port_of(AdminServer("127.0.0.1:0", health, pages=shown)) as port:
        forged = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https"
        request = f"GET /jobs HTTP/1.1\r\nHost: x\r\n{forged}\r\nConnection: close\r\n\r\n"
        assert await ask(port, request) == (200, "http 127.0.0.1")


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


async def test_the_stop_does_not_wait_for_those_who_only_stay_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_bounds, "REQUEST_SECONDS", 10 * PATIENCE_SECONDS)
    server = server_of(serving=True)
    port = await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.wait_for(server.stop(), PATIENCE_SECONDS)
    writer.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bounds, "REQUEST_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Le"])
async def test_a_connection_without_a_whole_request_is_closed(begun: bytes) -> None:
    async with port_of(server_of(serving=True)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        writer.close()


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_sends_byte_by_byte_gets_no_more_time() -> None:
    async with port_of(server_of(serving=True)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        closed = asyncio.create_task(reader.read())
        while not closed.done():
            writer.write(b"G")
            await asyncio.wait([closed], timeout=0.05)
        assert isinstance(closed.exception(), ConnectionResetError) or closed.result() == b""
        writer.close()


async def test_a_connection_whose_answer_takes_too_long_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_bounds, "ANSWER_SECONDS", 0.3)
    release = asyncio.Event()

    async def stuck() -> None:
        await release.wait()

    health = Health(redis=yes, kafka=yes, observe=all_is_well)
    async with port_of(AdminServer("127.0.0.1:0", health, stuck)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        release.set()
        writer.close()


def streaming(released: asyncio.Event) -> AdminServer:
    """Pages that are streams: one message at once, and another one when it is released."""

    async def messages() -> AsyncGenerator[bytes]:
        yield b"first"
        await released.wait()
        yield b"second"

    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        await EventStream(messages())(scope, receive, send)

    health = Health(redis=yes, kafka=yes, observe=all_is_well)
    return AdminServer("127.0.0.1:0", health, pages=pages)


async def test_a_stream_lasts_longer_than_other_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bounds, "ANSWER_SECONDS", 1.0)
    released = asyncio.Event()
    async with port_of(streaming(released)) as port, asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"text/event-stream" in await reader.readuntil(b"first")
        await asyncio.sleep(1.2)
        released.set()
        assert b"second" in await reader.read()
        writer.close()


async def test_other_connections_make_room_before_a_stream_does() -> None:
    released = asyncio.Event()
    async with port_of(streaming(released)) as port, asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"first")
        others = [
            await asyncio.open_connection("127.0.0.1", port)
            for _ in range(admin.MAX_CONNECTIONS + 10)
        ]
        assert await get(port, "/livez") == (200, "ok\n")
        released.set()
        assert b"second" in await reader.read()
        for each in (writer, *(other for _, other in others)):
            each.close()


async def test_an_answer_ends_its_connection() -> None:
    async with port_of(server_of(serving=True)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        assert answer.count(b"HTTP/1.1 200") == 1
        assert b"connection: close" in answer.lower()
        writer.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_half_open_connections_neither_pile_up_nor_keep_others_out() -> None:
    async with port_of(server_of(serving=True)) as port:
        await get(port, "/livez")  # the pages are there
        before = descriptors()
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for _, writer in pairs:
            writer.write(b"GET / HT")
        assert await get(port, "/livez") == (200, "ok\n")
        held = descriptors() - before - len(pairs)
        assert held <= admin.MAX_CONNECTIONS + 5
        for _, writer in pairs:
            writer.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the refusals, which the test sets."""
    now = [0.0]
    event = http_bounds.REFUSALS.event
    refusals = Throttle(event, counted="count", monotonic=lambda: now[0])
    monkeypatch.setattr(http_bounds, "REFUSALS", refusals)
    return now


async def test_bad_requests_share_one_line_a_minute(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as lines:
        async with port_of(server_of(serving=True)) as port:
            for _ in range(20):
                assert (await ask(port, "no HTTP\r\n\r\n"))[0] == 400
            assert [line["count"] for line in lines] == [1]
            clock[0] = 60
            http_bounds.REFUSALS.tick()
    assert [line["count"] for line in lines] == [1, 19]
    assert lines[1]["event"] == "connections to the admin port were refused"
    assert lines[1]["last_reason"] == "Invalid HTTP request received."
    assert lines[1]["last_client"].startswith("127.0.0.1:")
    assert not caplog.messages


@pytest.mark.usefixtures("clock", "impatient")
async def test_a_request_that_does_not_arrive_is_logged() -> None:
    with capture_logs() as lines:
        async with port_of(server_of(serving=True)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
            writer.close()
    assert [line["last_reason"] for line in lines] == ["No whole request within 0.3 s."]


@pytest.mark.usefixtures("clock")
async def test_a_request_for_a_websocket_is_answered_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    with capture_logs() as lines:
        async with port_of(server_of(serving=True)) as port:
            request = f"GET /livez HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n"
            assert await ask(port, request) == (200, "ok\n")
    assert not lines
    assert not caplog.messages


@pytest.mark.usefixtures("clock")
async def test_a_page_that_breaks_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks() -> None:
        raise LookupError("a fault of ours")

    health = Health(redis=yes, kafka=yes, observe=all_is_well)
    async with port_of(AdminServer("127.0.0.1:0", health, breaks)) as port:
        assert (await get(port, "/metrics"))[0] == 500
    assert "Exception in ASGI application" in caplog.text
