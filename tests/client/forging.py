"""Appends a record of a producer outside its transactions, as if Kafka had lost their end.

By the protocol alone (Kafka protocol guide: Produce 7, record batch 2), since no client does this.
The broker must not verify transactions: `do_not_verify`.
"""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.harness.waiting import PATIENCE_SECONDS

PRODUCE, VERSION, ALL_REPLICAS, TIMEOUT_MS = 0, 7, -1, 10_000
IS_TRANSACTIONAL, IS_CONTROL = 16, 32
HEAD = struct.Struct(">qi")
"""Base offset, and the length of what follows."""
BATCH = struct.Struct(">ibIhiqqqhii")
"""Leader epoch, magic, checksum, attributes, last offset delta, two time stamps, producer id and
epoch, base sequence, number of records."""
POLYNOMIAL = 0x82F63B78


class LastBatch(NamedTuple):
    """Of a producer in a partition."""

    producer: int
    epoch: int
    next_sequence: int


def do_not_verify(bootstrap: str) -> None:
    """Have the broker append records of a transaction without asking its coordinator."""
    entry = ConfigEntry(
        "transaction.partition.verification.enable",
        "false",
        incremental_operation=AlterConfigOpType.SET,
    )
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    with AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}) as admin:
        for answer in admin.incremental_alter_configs([resource]).values():
            answer.result(PATIENCE_SECONDS)


def last_batch(directory: Path) -> LastBatch:
    """The last one that a transactional producer has written to this partition's files."""
    found = [each for file in sorted(directory.glob("*.log")) for each in _batches(file)]
    return found[-1]


def forge(bootstrap: str, topic: str, last: LastBatch, transactional_id: str) -> None:
    """Append the producer's next record to partition 0. The id is for the broker's authorizer."""
    batch = _batch(last, _record(b"forged", b""))
    body = (
        struct.pack(">hhih", PRODUCE, VERSION, 1, -1)
        + _text(transactional_id)
        + struct.pack(">hi", ALL_REPLICAS, TIMEOUT_MS)
        + struct.pack(">i", 1)
        + _text(topic)
        + struct.pack(">iii", 1, 0, len(batch))
        + batch
    )
    host, port = bootstrap.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = _answer(connection)
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
    if error:
        raise RuntimeError(f"Kafka has refused the forged record: error {error}")


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _batches(file: Path) -> Iterator[LastBatch]:
    data, at = file.read_bytes(), 0
    while at + HEAD.size + BATCH.size <= len(data):
        _, length = HEAD.unpack_from(data, at)
        if length <= 0:
            return  # the rest of the file is not written yet
        fields = BATCH.unpack_from(data, at + HEAD.size)
        _, _, _, attributes, _, _, _, producer, epoch, sequence, count = fields
        if attributes & IS_TRANSACTIONAL and not attributes & IS_CONTROL:
            yield LastBatch(producer, epoch, sequence + count)
        at += HEAD.size + length


def _record(key: bytes, value: bytes) -> bytes:
    """With its length; all numbers fit into one byte of the variable length."""
    body = bytes([0, 0, 0, 2 * len(key)]) + key + bytes([2 * len(value)]) + value + b"\0"
    return bytes([2 * len(body)]) + body


def _batch(last: LastBatch, record: bytes) -> bytes:
    now = time.time_ns() // 1_000_000
    checked = (
        struct.pack(">hiqq", IS_TRANSACTIONAL, 0, now, now)
        + struct.pack(">qhii", last.producer, last.epoch, last.next_sequence, 1)
        + record
    )
    rest = struct.pack(">ibI", -1, 2, _crc32c(checked)) + checked
    return HEAD.pack(0, len(rest)) + rest


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _answer(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _read(connection, 4))
    return _read(connection, size)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (piece := connection.recv(size - len(data))):
            raise RuntimeError("Kafka has closed the connection")
        data += piece
    return data
