"""Protobuf's encoding by hand, for bytes that no generated class would write."""

from collections.abc import Iterator, Mapping

VARINT, I64, LEN, I32 = 0, 1, 2, 5
Nested = Mapping[int, "Nested"]
"""Which fields are messages, and which fields of these are."""


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def length_delimited(field: int, value: bytes) -> bytes:
    return varint(field << 3 | LEN) + varint(len(value)) + value


def fields(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(field, wire type, value) in order; ValueError for what is no protobuf."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        field, kind = tag >> 3, tag & 7
        size = {I64: 8, I32: 4}.get(kind, 0)
        if kind == LEN:
            size, at = _varint(raw, at)
        elif kind == VARINT:
            size = _varint(raw, at)[1] - at
        elif not size:
            raise ValueError(f"wire type {kind}")
        if at + size > len(raw):
            raise ValueError("truncated")
        yield field, kind, raw[at : at + size]
        at += size


def without_defaults(raw: bytes, nested: Nested) -> bytes:
    """The same message without the defaults that were written explicitly; order is kept."""
    out = bytearray()
    for field, kind, value in fields(raw):
        if field in nested:
            out += length_delimited(field, without_defaults(value, nested[field]))
        elif kind == LEN and value:
            out += length_delimited(field, value)
        elif kind != LEN and value.strip(b"\0"):
            out += varint(field << 3 | kind) + value
    return bytes(out)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(raw):
            raise ValueError("truncated")
        number |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not raw[at - 1] & 0x80:
            return number, at
