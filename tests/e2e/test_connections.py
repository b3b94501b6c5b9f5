"""Connections that ask for nothing: the service goes on, and says so."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import fresh
from tests.harness.waiting import eventually


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """What is started meanwhile may open 1,024 files, unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def allow_many_here() -> None:
    """The client of the test needs as many as the service."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_half_open_connections_do_not_stop_the_service(deploy: Deploy) -> None:
    product = deploy()
    process, port = product.service.process, product.service.admin_port
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] > 2_500
    allow_many_here()
    with ExitStack() as stack:
        for _ in range(1_300):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.send(b"GET / HT")
        eventually(lambda: product.client.health() == "SERVING", what="SERVING")
        kind = fresh("type")
        product.client.create(contract.job(type=kind, now=True))
        product.done(product.run(kind))
    said = "connections to the admin port were refused"
    eventually(lambda: said in process.log.read_text(), what="a line")


def test_the_log_says_that_no_descriptor_is_left(deploy: Deploy) -> None:
    product = deploy()
    process = product.service.process
    limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)

    def log() -> str:
        return process.log.read_text()

    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    eventually(lambda: "no file descriptor is left" in log(), what="a line")
    eventually(lambda: "Too many open files" in log(), what="its reason")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
    eventually(lambda: "file descriptors are left" in log(), what="the other line")


@pytest.mark.usefixtures("few_descriptors")
def test_silent_grpc_connections_keep_others_out_for_seconds_only(deploy: Deploy) -> None:
    product = deploy()
    allow_many_here()

    def log() -> str:
        return product.service.log.read_text()

    def connections() -> float:
        lines = product.service.get("/metrics")[1].splitlines()
        return float(
            next(each for each in lines if each.startswith("scheduling_grpc_conn")).split()[1]
        )

    with ExitStack() as stack:

        def connect(number: int) -> None:
            address = ("127.0.0.1", product.service.grpc_port)
            for _ in range(number):
                stack.enter_context(socket.create_connection(address))

        def is_full() -> bool:
            """The service closes them after some seconds: a slow machine has to open more."""
            connect(100)
            return "gRPC refuses further clients" in log()

        connect(2_000)
        eventually(is_full, what="a line", every=0.2)
        eventually(lambda: "gRPC takes clients again" in log(), what="another line")
        product.service.wait_until_serving()
        eventually(lambda: connections() < 100, what="the others are closed")
