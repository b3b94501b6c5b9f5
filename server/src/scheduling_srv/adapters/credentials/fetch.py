"""Fetches a text by HTTPS, within a time and a size."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit


def fetch(url: str, *, trust: ssl.SSLContext | None, seconds: float, longest: int) -> str:
    """The text at an address; it blocks for `seconds` at most, redirects included.

    Only the search for an IP address may take longer. Raises OSError, ValueError and HTTPException.
    """
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - the setting allows https, and http on loopback
    with (
        _deadline(seconds) as connections,
        _opener(connections, trust).open(request, timeout=seconds) as answer,
    ):
        text: bytes = answer.read(longest + 1)
    if len(text) > longest:
        raise ValueError(f"it is longer than {longest} bytes")
    return text.decode()


class _Connections:
    """The connections of a fetch. A timeout of a socket is one of a single read."""

    def __init__(self) -> None:
        self.ended = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def add(self, connected: socket.socket) -> None:
        """End this one too."""
        with self._lock:
            self._sockets.append(connected)
        if self.ended:
            self.end()

    def end(self) -> None:
        """Reads that wait return at once."""
        self.ended = True
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):
                    # That of SSLSocket would take its TLS away from the thread that reads.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)


@contextmanager
def _deadline(seconds: float) -> Iterator[_Connections]:
    """Raises `TimeoutError` after this time, if the connections are added."""
    connections = _Connections()
    timer = threading.Timer(seconds, connections.end)
    timer.daemon = True
    timer.start()
    try:
        yield connections
    finally:
        timer.cancel()
        if connections.ended:
            raise TimeoutError(f"it has not answered within {seconds:g} s")


class _Plain(http.client.HTTPConnection):
    def __init__(self, connections: _Connections, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._connections = connections

    def connect(self) -> None:
        super().connect()
        self._connections.add(self.sock)


class _Secure(http.client.HTTPSConnection):
    def __init__(self, connections: _Connections, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._connections = connections

    def connect(self) -> None:
        super().connect()
        self._connections.add(self.sock)


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens connections that end at the deadline."""

    def __init__(self, connections: _Connections, trust: ssl.SSLContext | None) -> None:
        super().__init__()
        self._connections = connections
        self._trust = trust

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection: Any = partial(_Plain, self._connections)
        return self.do_open(connection, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection: Any = partial(_Secure, self._connections)
        return self.do_open(connection, req, context=self._trust)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, and those that stay at the same host and port."""

    def redirect_request(  # noqa: PLR0917 - as urllib calls it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme != "https" and (new.scheme, new.netloc) != (old.scheme, old.netloc):
            raise URLError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(
    connections: _Connections, trust: ssl.SSLContext | None
) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Handler(connections, trust), _Redirects())
