"""Addresses to listen on, `host:port`, and the reasons if that fails."""

from __future__ import annotations

import os
import re
import socket
from ipaddress import ip_address
from typing import NamedTuple

from scheduling_srv.domain.errors import StartError

_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.%a-z]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})"
)
_LARGEST_PORT = 65535


class Address(NamedTuple):
    """An address to listen on."""

    host: str
    port: int
    """0 takes any free port."""


def parse_address(text: str) -> Address:
    """`host:port`, the host of IPv6 in brackets. Raises ValueError with a sentence."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > _LARGEST_PORT:
        raise ValueError(f"{text!r} is not an address such as '127.0.0.1:50054'")
    return Address(found["six"] or found["host"], int(found["port"]))


def check_loopback(text: str, setting: str, lacks: str = "TLS and credentials") -> None:
    """Raise `StartError` for an address that other hosts can reach. `lacks` is for the sentence.

    A name counts as loopback if all of its addresses do. `listen` reports a name that cannot be
    resolved.
    """
    try:
        host, port = parse_address(text)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError):
        return
    if not all(ip_address(address[0]).is_loopback for *_, address in found):
        raise StartError(
            f"Other hosts reach {text} ({setting}) without {lacks}. Listen on 127.0.0.1, or allow"
            " it with SCHEDULING_INSECURE=true."
        )


def with_port(text: str, port: int | None) -> str:
    """The address with the port in use; unchanged if `port` is None."""
    return text if port is None else f"{text.rpartition(':')[0]}:{port}"


def listen(text: str, setting: str) -> socket.socket:
    """A listening socket. Raises `StartError` that names the setting and the reason."""
    try:
        host, port = parse_address(text)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, place = found[0]
        return socket.create_server(place[:2], family=family, backlog=1024)
    except (OSError, ValueError) as error:
        # `create_server` adds the address to the reason, which is in the sentence already.
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number and number > 0 else str(error)
        raise StartError(f"Cannot listen on {text} ({setting}): {reason}.") from error


def refused(text: str, setting: str) -> StartError:
    """The error for an address that a library could not listen on."""
    try:
        listen(text, setting).close()
    except StartError as error:
        return error
    return StartError(f"Cannot listen on {text} ({setting}): it was taken a moment ago.")
