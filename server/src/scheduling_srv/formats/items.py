"""Finds the items of a serialized list without reading them.

protobuf decodes a message in one step: 32 MB of empty items are sixteen million objects. So a long
list is cut into its items first. Their number and sizes are checked before memory is spent, and
other calls have their turn between two items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from scheduling_srv.formats.job_record import LONGEST_VARINT

VARINT, FIXED64, SIZED, START_GROUP, END_GROUP, FIXED32 = range(6)
"""Wire types (protobuf encoding guide)."""
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
_DEEPEST = 100
"""Groups within groups, as protobuf has it."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire_type: int
    start: int
    """Start of its content."""
    end: int


class Malformed(Exception):
    """The bytes are no message."""


def fields(raw: bytes) -> Iterator[Field]:
    """The fields of a serialized message, in order. Raises `Malformed`."""
    at, end = 0, len(raw)
    while at < end:
        field = _field(raw, at, 0)
        if field.wire_type == END_GROUP or field.end > end:
            raise Malformed
        yield field
        at = field.end


def _field(raw: bytes, at: int, depth: int) -> Field:
    tag, start = _varint(raw, at)
    number, wire_type = tag >> 3, tag & 7
    if not number:
        raise Malformed
    if wire_type == SIZED:
        size, start = _varint(raw, start)
        return Field(number, wire_type, start, start + size)
    if wire_type == VARINT:
        return Field(number, wire_type, start, _varint(raw, start)[1])
    if wire_type in _FIXED_BYTES:
        return Field(number, wire_type, start, start + _FIXED_BYTES[wire_type])
    if wire_type == START_GROUP:
        return Field(number, wire_type, start, _end_of_group(raw, number, start, depth))
    if wire_type == END_GROUP:
        return Field(number, wire_type, start, start)
    raise Malformed


def _end_of_group(raw: bytes, number: int, at: int, depth: int) -> int:
    while depth < _DEEPEST:
        field = _field(raw, at, depth + 1)
        at = field.end
        if field.wire_type == END_GROUP:
            if field.number != number:
                break
            return at
    raise Malformed


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, at + LONGEST_VARINT):
        if place >= len(raw):
            break
        byte = raw[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return value, place + 1
        shift += 7
    raise Malformed
