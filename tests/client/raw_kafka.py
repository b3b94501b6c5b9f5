"""Records that librdkafka would not send: names of headers that are no UTF-8.

Kafka itself takes any bytes for a header's name, and clients in other languages send them.
"""

import socket
import struct
import time

from tests.harness.waiting import PATIENCE_SECONDS

PRODUCE, VERSION = 0, 3
NO_PRODUCER = struct.pack(">qhi", -1, -1, -1)

Headers = list[tuple[bytes, bytes | None]]


def produce(
    bootstrap: str, topic: str, key: bytes | None, value: bytes | None, headers: Headers
) -> int:
    """Sends one record to partition 0; answers its offset. The bootstrap server must lead it."""
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    name = topic.encode()
    body = b"".join(
        (
            struct.pack(">hhih", PRODUCE, VERSION, 1, -1),  # a request, without a client id
            struct.pack(">hhii", -1, -1, 10_000, 1),  # no transaction, acks=all, one topic
            struct.pack(">h", len(name)) + name + struct.pack(">ii", 1, 0),
            _sized(_batch(_record(key, value, headers))),
        )
    )
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(_sized(body))
        answer = connection.makefile("rb")
        (size,) = struct.unpack(">i", answer.read(4))
        # Correlation id, topics, the topic's name, partitions, partition, error, offset.
        at = 4 + 4 + 2 + len(name) + 4 + 4
        error, offset = struct.unpack_from(">hq", answer.read(size), at)
    assert error == 0, f"Kafka answers {error}"
    return int(offset)


def _record(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    parts = [b"\0", _zigzag(0), _zigzag(0), _bytes(key), _bytes(value), _zigzag(len(headers))]
    parts += [_bytes(part) for header in headers for part in header]
    record = b"".join(parts)
    return _zigzag(len(record)) + record


def _batch(record: bytes) -> bytes:
    now = time.time_ns() // 1_000_000
    rest = struct.pack(">hiqq", 0, 0, now, now) + NO_PRODUCER + struct.pack(">i", 1) + record
    checked = struct.pack(">ibI", -1, 2, _crc32c(rest)) + rest
    return struct.pack(">q", 0) + _sized(checked)


def _sized(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _bytes(data: bytes | None) -> bytes:
    return _zigzag(-1) if data is None else _zigzag(len(data)) + data


def _zigzag(number: int) -> bytes:
    number, out = (number << 1) ^ (number >> 63), bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
