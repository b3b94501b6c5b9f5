"""Mutations of a valid message: flipped bits, cuts, and fields that are almost right.

Each draws from Hypothesis, so that a failure shrinks to the fewest and simplest of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from hypothesis.strategies import sampled_from as one

VARINT, FIXED64, SIZED, GROUP, FIXED32 = 0, 1, 2, 3, 5
"""Wire types."""
DEEP = 150
"""Levels of groups: more than protobuf reads."""
ANY = b"type.googleapis.com/google.protobuf.Any"

NO_UTF_8 = (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80")
ODD = (
    b"",
    b" ",
    b"\0",
    "\u202e\u0130\U0001f680\ufeff".encode(),
    b"%s%n{x}*[",
    b"../../etc/localtime",
)
NUMERIC = (b"-1", b"NaN", b"1e999", b"1516012200000")
INSTANTS = (b"2030-02-30T10:00:00Z", b"9999-12-31T23:59:59.999-14:00", b"Mars/Base")
CRONS = (b"0 0 30 2 *", b"* * * * * * *", b"0-59/59 L ? * 5#2")
INTERVALS = (b"every twelve hours and half a week", b"PT1e9S")
LONGEST = (b"x" * 4096, b"x" * 4097)
TEXTS = one((*ODD, *NO_UTF_8, *NUMERIC, *INSTANTS, *CRONS, *INTERVALS, *LONGEST))
NUMBERS = one((0, 1, 7, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1))
DOUBLES = one(
    [
        int.from_bytes(struct.pack("<d", each), "little")
        for each in (-0.0, -1.0, 5e-324, 3e12, 1.7e308, float("inf"), -float("inf"), float("nan"))
    ]
)
HOSTILE: dict[int, SearchStrategy[int | bytes]]
HOSTILE = {VARINT: NUMBERS, FIXED64: DOUBLES, SIZED: TEXTS, FIXED32: one((0, 1, 2**32 - 1))}
WIRE_TYPES, FIELD_NUMBERS = one((*HOSTILE,)), one((1, 2, 3, 5, 11, 99, 100, 19_000, 2**29 - 1))
PLACES = one(range(4096))
COUNTS = one((1, 1, 1, 1, 0, 2, 3))
LONG = one((b"x" * 70_000, b"x" * 300_000))
COPIES = one((2, 2, 3, 31))
RARELY = one((*(False,) * 32, True))


def mutated(draw: DrawFn, raw: bytes, other: Callable[[], bytes]) -> tuple[bytes, tuple[str, ...]]:
    """The bytes after up to three mutations, and their names; `other` draws another message."""
    done = []
    for _ in range(draw(COUNTS)):
        name = draw(NAMES)
        raw = other() if name == OTHER else MUTATIONS[name](draw, raw)
        done.append(name)
    return raw, tuple(done)


class Field(NamedTuple):
    """One field on the wire."""

    number: int
    kind: int
    value: int | bytes


def fields_of(raw: bytes) -> list[Field]:
    """The fields without its groups; none for bytes that are no message."""
    try:
        found: Any = UnknownFieldSet(Empty.FromString(raw))  # iterable, whatever its type says
    except DecodeError:
        return []
    return [
        Field(each.field_number, each.wire_type, each.data)
        for each in found
        if each.wire_type != GROUP
    ]


def written(fields: list[Field]) -> bytes:
    """The message again."""
    return b"".join(varint(each.number << 3 | each.kind) + _body(each) for each in fields)


def _body(field: Field) -> bytes:
    if isinstance(field.value, bytes):
        return varint(len(field.value)) + field.value
    if field.kind == VARINT:
        return varint(field.value)
    return field.value.to_bytes(8 if field.kind == FIXED64 else 4, "little")


def varint(value: int) -> bytes:
    """As protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


# --- Of bytes -----------------------------------------------------------------------------------


def _flip(draw: DrawFn, raw: bytes) -> bytes:
    flipped = bytearray(raw or b"\0")
    byte, bit = divmod(draw(PLACES), 8)
    flipped[byte % len(flipped)] ^= 1 << bit
    return bytes(flipped)


def _cut(draw: DrawFn, raw: bytes) -> bytes:
    return raw[: draw(PLACES) % (len(raw) + 1)]


def _noise(draw: DrawFn, raw: bytes) -> bytes:
    at = draw(PLACES) % (len(raw) + 1)
    return raw[:at] + draw(st.binary(min_size=1, max_size=12)) + raw[at + draw(PLACES) % 3 :]


def _lie(draw: DrawFn, raw: bytes) -> bytes:
    """A text with a wrong length."""
    return raw + b"\x0a" + varint(draw(NUMBERS))


def _groups(draw: DrawFn, raw: bytes) -> bytes:
    return raw + b"\xa3\x06" * DEEP + b"\xa4\x06" * (DEEP - draw(PLACES) % 2)


def _anys(draw: DrawFn, raw: bytes) -> bytes:
    for _ in range(draw(one((3, 30)))):
        raw = written([Field(1, SIZED, ANY), Field(2, SIZED, raw)])
    return written([Field(draw(one((1, 2, 3))), SIZED, raw)])


# --- Of a field ---------------------------------------------------------------------------------


def _retype(draw: DrawFn, field: Field) -> list[Field]:
    kind = draw(WIRE_TYPES)
    return [Field(field.number, kind, draw(HOSTILE[kind]))]


def _revalue(draw: DrawFn, field: Field) -> list[Field]:
    return [field._replace(value=draw(HOSTILE[field.kind]))]


def _renumber(draw: DrawFn, field: Field) -> list[Field]:
    return [field._replace(number=draw(FIELD_NUMBERS))]


def _repeat(draw: DrawFn, field: Field) -> list[Field]:
    return [field] * draw(COPIES)


def _drop(_draw: DrawFn, _field: Field) -> list[Field]:
    return []


def _add(draw: DrawFn, field: Field) -> list[Field]:
    return [Field(draw(FIELD_NUMBERS), SIZED, draw(TEXTS)), field]


def _lengthen(draw: DrawFn, field: Field) -> list[Field]:
    """Seldom by much: long texts would take all the time."""
    text = draw(LONG) if draw(RARELY) else b"x" * 200
    return [Field(field.number, SIZED, text)]


Mutation = Callable[[DrawFn, bytes], bytes]
Change = Callable[[DrawFn, Field], list[Field]]


def _within(change: Change) -> Mutation:
    """Changes a field at any depth."""

    def mutate(draw: DrawFn, raw: bytes) -> bytes:
        fields = fields_of(raw)
        if not fields:
            return raw + b"\x0a\x00"
        depth, at = divmod(draw(PLACES), len(fields))
        field = fields[at]
        if isinstance(field.value, bytes) and len(field.value) > 2 and depth % 3:
            fields[at] = field._replace(value=mutate(draw, field.value))
        else:
            fields[at : at + 1] = change(draw, field)
        return written(fields)

    return mutate


OTHER = "other"
MUTATIONS: dict[str, Mutation] = {
    "flip": _flip,
    "cut": _cut,
    "noise": _noise,
    "lie": _lie,
    "groups": _groups,
    "anys": _anys,
    "retype": _within(_retype),
    "revalue": _within(_revalue),
    "renumber": _within(_renumber),
    "repeat": _within(_repeat),
    "drop": _within(_drop),
    "add": _within(_add),
    "lengthen": _within(_lengthen),
}
_WEIGHTS = {"flip": 4, "revalue": 6, "retype": 3, "add": 3, "groups": 1, "anys": 1, "lie": 1}
NAMES = one([OTHER, *(name for name in MUTATIONS for _ in range(_WEIGHTS.get(name, 2)))])
