"""The client of the benchmarks speaks HTTP/2 as real servers do."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from bench.http2 import CallFailed, Connection

METHODS = grpc.method_handlers_generic_handler


def echo(request: bytes, _context: grpc.ServicerContext) -> bytes:
    return request


def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.set_code(grpc.StatusCode.NOT_FOUND)
    return request


@pytest.fixture
def address() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    handlers: dict[str, Any] = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    }
    server.add_generic_rpc_handlers([METHODS("test.Service", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def sent(address: str, method: str, bodies: list[bytes], in_flight: int = 8) -> list[bytes]:
    connection = Connection(address, f"/test.Service/{method}")
    try:
        return [answer.body[5:] for answer in connection.run(bodies, in_flight)]
    finally:
        connection.close()


def test_answers_come_in_the_order_of_the_requests(address: str) -> None:
    bodies = [f"{number}".encode() for number in range(500)]
    assert sent(address, "Echo", bodies, 64) == bodies


def test_requests_larger_than_every_window_arrive(address: str) -> None:
    bodies = [bytes([number]) * 3_000_000 for number in range(8)]
    assert sent(address, "Echo", bodies) == bodies


def test_an_empty_request_is_answered(address: str) -> None:
    assert sent(address, "Echo", [b""]) == [b""]


def test_a_refused_call_is_no_answer(address: str) -> None:
    with pytest.raises(CallFailed):
        sent(address, "Refuse", [b"x"])


def test_paced_calls_are_not_sent_before_their_time(address: str) -> None:
    connection = Connection(address, "/test.Service/Echo")
    began = time.perf_counter()
    at = [began + number / 100 for number in range(20)]
    answers = connection.run([b"x"] * 20, 100, at)
    connection.close()
    assert time.perf_counter() - began >= 0.19
    assert [answer.began for answer in answers] == at
