"""Unary gRPC calls over one HTTP/2 connection at a few microseconds of CPU each.

The load must not be the bottleneck: on two cores a client of grpc.aio takes as much CPU for a call
as the service does. Requests are bytes made beforehand, headers are constant, answers are kept as
they came and read after the measurement.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
TABLE_SIZE, INITIAL_WINDOW, MAX_FRAME = 1, 4, 5
"""Numbers of settings (RFC 9113, 6.5.2)."""
WIDE = (1 << 31) - 1
DEFAULT_WINDOW, DEFAULT_FRAME = 65_535, 16_384
OK = b"\x0bgrpc-status\x010"
"""In the trailers of a call that went well: servers of gRPC write them without Huffman's code."""
REFILL = 1 << 24
"""Bytes received after which the connection's window is opened again."""
FRAME = struct.Struct(">HBBBI")
NUMBER = struct.Struct(">I")
SETTING = struct.Struct(">HI")


class CallFailed(Exception):
    """A call that was not answered with a message, or a connection that ended."""


class Answer(NamedTuple):
    """One answered call."""

    body: bytes
    latency: float
    """Seconds since it was sent, or since it should have been where the calls are paced."""
    began: float
    """By the monotonic clock."""


class _Call:
    __slots__ = ("began", "left", "parts", "place", "window")

    def __init__(self, place: int, body: bytes, window: int, began: float) -> None:
        self.place = place
        self.left = memoryview(b"\0" + NUMBER.pack(len(body)) + body)
        self.window = window
        self.began = began
        self.parts: list[bytes] = []


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """A frame (RFC 9113, 4.1)."""
    size = len(payload)
    return FRAME.pack(size >> 8, size & 0xFF, kind, flags, stream) + bytes(payload)


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def header_block(path: str, authority: str) -> bytes:
    """The headers of a call in HPACK, none of which enters a dynamic table (RFC 7541, 6.2.2)."""
    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            b"\x04" + _text(path),
            b"\x01" + _text(authority),
            b"\x0f\x10" + _text("application/grpc"),
            b"\x00" + _text("te") + _text("trailers"),
        )
    )


class Connection:
    """A connection to one method of one service."""

    def __init__(self, address: str, path: str, source: str = "") -> None:
        """`source`: the address that it comes from, such as another one of loopback."""
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection(
            (host, int(port)), timeout=30, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = header_block(path, address)
        self.calls: dict[int, _Call] = {}
        self.blocked: deque[int] = deque()
        self.done: list[tuple[_Call, float]] = []
        self.next_stream = 1
        self.window, self.stream_window, self.most = DEFAULT_WINDOW, DEFAULT_WINDOW, DEFAULT_FRAME
        self.received = 0
        self.buffer = bytearray()
        settings = ((TABLE_SIZE, 0), (INITIAL_WINDOW, WIDE), (MAX_FRAME, (1 << 24) - 1))
        packed = b"".join(SETTING.pack(*each) for each in settings)
        opened = frame(WINDOW_UPDATE, 0, 0, NUMBER.pack(WIDE - DEFAULT_WINDOW))
        self.out = bytearray(PREFACE + frame(SETTINGS, 0, 0, packed) + opened)
        self._flush()  # a service soon closes a connection that has sent nothing

    def run(
        self, bodies: Sequence[bytes], in_flight: int, at: Sequence[float] | None = None
    ) -> list[Answer]:
        """Answers in the order of `bodies`.

        `at`: when each is to be sent, by the monotonic clock; without it, as soon as fewer than
        `in_flight` are under way. Raises `CallFailed`.
        """
        answers: list[Answer | None] = [None] * len(bodies)
        sent = answered = 0
        while answered < len(bodies):
            now = time.perf_counter()
            while (
                sent < len(bodies)
                and len(self.calls) < in_flight
                and (at is None or at[sent] <= now)
            ):
                self._begin(sent, bodies[sent], now if at is None else at[sent])
                sent += 1
            self._flush()
            pause = None
            if at is not None and sent < len(bodies) and len(self.calls) < in_flight:
                pause = max(0.0, at[sent] - time.perf_counter())
            self._receive(pause)
            for call, ended in self.done:
                body = b"".join(call.parts)
                answers[call.place] = Answer(body, ended - call.began, call.began)
            answered += len(self.done)
            self.done.clear()
        return [answer for answer in answers if answer is not None]

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def _begin(self, place: int, body: bytes, began: float) -> None:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        call = self.calls[stream] = _Call(place, body, self.stream_window, began)
        self.out += frame(HEADERS, END_HEADERS, stream, self.headers)
        if not self._send(stream, call):
            self.blocked.append(stream)

    def _send(self, stream: int, call: _Call) -> bool:
        """Send as much as the windows allow; whether that was all."""
        while call.left:
            size = min(len(call.left), self.most, self.window, call.window)
            if size <= 0:
                return False
            last = END_STREAM if size == len(call.left) else 0
            self.out += frame(DATA, last, stream, call.left[:size])
            call.left = call.left[size:]
            self.window -= size
            call.window -= size
        return True

    def _unblock(self) -> None:
        for _ in range(len(self.blocked)):
            stream = self.blocked.popleft()
            if not self._send(stream, self.calls[stream]):
                self.blocked.append(stream)

    def _flush(self) -> None:
        if self.out:
            self.socket.sendall(self.out)
            self.out.clear()

    def _receive(self, pause: float | None) -> None:
        if pause is not None and not select.select([self.socket], [], [], pause)[0]:
            return
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise CallFailed("The service closed the connection.")
        buffer, at = self.buffer, 0
        buffer += piece
        while len(buffer) - at >= FRAME.size:
            high, low, kind, flags, stream = FRAME.unpack_from(buffer, at)
            end = at + FRAME.size + (high << 8 | low)
            if end > len(buffer):
                break
            self._take(kind, flags, stream, bytes(buffer[at + FRAME.size : end]))
            at = end
        del buffer[:at]
        if self.blocked:
            self._unblock()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._data(stream, payload)
        elif kind == RST_STREAM and stream in self.calls:
            raise CallFailed(f"The service reset a call: {payload.hex()}")
        elif kind == GOAWAY:
            raise CallFailed(f"The service sends the client away: {payload[8:]!r}")
        elif kind == WINDOW_UPDATE:
            self._widen(stream, NUMBER.unpack(payload)[0])
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, 0, payload)
        if flags & END_STREAM and kind in (DATA, HEADERS):
            self._end(stream, payload)

    def _data(self, stream: int, payload: bytes) -> None:
        self.calls[stream].parts.append(payload)
        self.received += len(payload)
        if self.received > REFILL:
            self.out += frame(WINDOW_UPDATE, 0, 0, NUMBER.pack(self.received))
            self.received = 0

    def _end(self, stream: int, payload: bytes) -> None:
        call = self.calls.pop(stream)
        if OK not in payload:
            raise CallFailed(f"The service refused a call: {payload[:200]!r}")
        self.done.append((call, time.perf_counter()))

    def _widen(self, stream: int, more: int) -> None:
        if stream == 0:
            self.window += more
        elif stream in self.calls:
            self.calls[stream].window += more

    def _settings(self, payload: bytes) -> None:
        for name, value in SETTING.iter_unpack(payload):
            if name == INITIAL_WINDOW:
                for call in self.calls.values():
                    call.window += value - self.stream_window
                self.stream_window = value
            elif name == MAX_FRAME:
                self.most = value
        self.out += frame(SETTINGS, ACK, 0)
