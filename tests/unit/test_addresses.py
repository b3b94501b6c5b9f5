"""Addresses to listen on."""

import socket

import pytest

from scheduling_srv.domain.errors import StartError
from scheduling_srv.entrances.addresses import (
    Address,
    check_loopback,
    listen,
    parse_address,
    refused,
    with_port,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:50054", Address("127.0.0.1", 50054)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_an_address(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "x", ":1", "x:", "x:65536", "x:-1", "::1:1", "http://x:1"])
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address such as"):
        parse_address(text)
    with pytest.raises(StartError, match=r"Cannot listen on .* \(SETTING\)"):
        listen(text, "SETTING")


def test_it_listens() -> None:
    with listen("127.0.0.1:0", "SETTING") as server:
        socket.create_connection(server.getsockname()).close()


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1:0", "SETTING") as server:
        text = f"127.0.0.1:{server.getsockname()[1]}"
        assert str(refused(text, "SETTING")) == (
            f"Cannot listen on {text} (SETTING): Address already in use."
        )


def test_a_port_that_is_free_again() -> None:
    assert "it was taken a moment ago" in str(refused("127.0.0.1:0", "SETTING"))


def test_a_host_that_is_not_here() -> None:
    with pytest.raises(StartError, match=r"Cannot listen on 192\.0\.2\.1:1 \(SETTING\): Cannot"):
        listen("192.0.2.1:1", "SETTING")


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.8.9.10:1", "[::1]:1", "localhost:1"])
def test_loopback_needs_no_permission(text: str) -> None:
    check_loopback(text, "SETTING")


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"])
def test_an_address_that_other_hosts_reach_needs_permission(text: str) -> None:
    with pytest.raises(StartError, match=r"\(SETTING\) without TLS .* SCHEDULING_INSECURE=true"):
        check_loopback(text, "SETTING")


def test_an_unknown_host_is_left_to_listen() -> None:
    check_loopback("no-such-host.invalid:1", "SETTING")


def test_the_port_that_was_had_is_shown() -> None:
    assert with_port("0.0.0.0:0", 50054) == "0.0.0.0:50054"
    assert with_port("[::1]:0", 1) == "[::1]:1"
    assert with_port("off", None) == "off"
