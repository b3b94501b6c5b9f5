"""A raw HTTP/2 client that announces gRPC messages and sends them slowly, or not at all."""

import socket
import threading
from contextlib import suppress
from typing import Self

from bench.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME,
    HEADERS,
    PREFACE,
    SETTINGS,
    frame,
    header_block,
)
from tests.client.grpc_client import JOBS


class SlowSender:
    """One HTTP/2 connection with any number of calls on it."""

    def __init__(self, port: int) -> None:
        self._headers = header_block(JOBS + "Create", f"127.0.0.1:{port}")
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
        self._stream = -1
        self._received = bytearray()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def begin(self, size: int, sent: bytes = b"") -> int:
        """Begin a call whose message has `size` bytes. Send `sent` of it, and return the stream."""
        self._stream += 2
        prefix = b"\0" + size.to_bytes(4, "big")
        self._socket.sendall(
            frame(HEADERS, END_HEADERS, self._stream, self._headers)
            + frame(DATA, 0, self._stream, prefix + sent)
        )
        return self._stream

    def send(self, stream: int, sent: bytes) -> None:
        """Send more of a message."""
        self._socket.sendall(frame(DATA, 0, stream, sent))

    def ended(self) -> int:
        """How many calls the server has ended."""
        at = count = 0
        while at + FRAME.size <= len(self._received):
            high, low, kind, flags, _ = FRAME.unpack_from(self._received, at)
            count += kind == HEADERS and bool(flags & END_STREAM)
            at += FRAME.size + (high << 8 | low)
        return count

    def _receive(self) -> None:
        with suppress(ConnectionError):  # the server may have ended
            while piece := self._socket.recv(65_536):
                self._received += piece
