"""What is done to bytes that are right: flips, cuts, and fields that are almost what they were."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import NamedTuple

NASTY_TEXTS = (
    b"",
    b" ",
    b"\0",
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    "\u202e\u0130\U0001f680\ufeff".encode(),
    b"%s%n{x}*[",
    b"-1",
    b"NaN",
    b"1e999",
    b"1516012200000",
    b"2030-02-30T10:00:00Z",
    b"9999-12-31T23:59:59.999-14:00",
    b"0 0 30 2 *",
    b"* * * * * * *",
    b"0-59/59 L ? * 5#2",
    b"every twelve hours and half a week",
    b"PT1e9S",
    b"Mars/Base",
    b"../../etc/localtime",
    b"x" * 4096,
    b"x" * 4097,
)
NASTY_NUMBERS = (0, 1, 7, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
NASTY_DOUBLES = (float("nan"), float("inf"), -float("inf"), -1.0, -0.0, 5e-324, 1.8e308, 3e12)
DEEP = 150
"""Levels of groups: more than protobuf reads."""
LONG = (70_000, 300_000)
"""Bytes of the texts that a few inputs get."""


def broken(raw: bytes, rng: random.Random, other: Other) -> tuple[bytes, tuple[str, ...]]:
    """The bytes after up to three mutations, and the names of these; `other` makes other bytes."""
    done: list[str] = []
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        name, mutate = rng.choices(_MUTATIONS, _WEIGHTS)[0]
        raw = mutate(raw, rng) if mutate else other(rng)
        done.append(name)
    return raw, tuple(done)


Mutation = Callable[[bytes, random.Random], bytes]
Other = Callable[[random.Random], bytes]


class Field(NamedTuple):
    """One field as protobuf writes it: where it stands, and what it holds."""

    number: int
    kind: int
    body: bytes
    """Of kind 2: without its length."""


def fields_of(raw: bytes) -> list[Field] | None:
    """The fields; None for what is no message, or has groups."""
    fields, at = [], 0
    while at < len(raw):
        tag, at = _varint_at(raw, at)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == 0:
            _, at = _varint_at(raw, at)
        elif kind == 2:
            size, start = _varint_at(raw, at)
            at = start + size
        else:
            at += {1: 8, 5: 4}.get(kind, len(raw) + 1)
        if not number or at > len(raw):
            return None
        fields.append(Field(number, kind, raw[start:at]))
    return fields


def written(fields: list[Field]) -> bytes:
    """The message again."""
    return b"".join(
        varint(each.number << 3 | each.kind)
        + (varint(len(each.body)) if each.kind == 2 else b"")
        + each.body
        for each in fields
    )


def varint(value: int) -> bytes:
    """As protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _varint_at(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw):
        value |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if raw[at - 1] < 0x80:
            return value, at
    return value, len(raw) + 1


def _within(change: Callable[[list[Field], int, random.Random], None]) -> Mutation:
    """Changes a field somewhere, at whatever depth there is."""

    def mutate(raw: bytes, rng: random.Random) -> bytes:
        fields = fields_of(raw)
        if not fields:
            return raw + b"\x0a\x00"
        place = rng.randrange(len(fields))
        chosen = fields[place]
        if chosen.kind == 2 and len(chosen.body) > 2 and rng.random() < 0.6:
            fields[place] = chosen._replace(body=mutate(chosen.body, rng))
        else:
            change(fields, place, rng)
        return written(fields)

    return mutate


def _flip(raw: bytes, rng: random.Random) -> bytes:
    flipped = bytearray(raw or b"\0")
    flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _noise(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.randbytes(rng.randint(1, 12)) + raw[at + rng.randrange(3) :]


def _retype(fields: list[Field], place: int, rng: random.Random) -> None:
    kind = rng.choice((0, 1, 2, 5))
    body = {0: varint(rng.choice(NASTY_NUMBERS)), 1: rng.randbytes(8), 5: rng.randbytes(4)}
    fields[place] = Field(fields[place].number, kind, body.get(kind, rng.choice(NASTY_TEXTS)))


def _revalue(fields: list[Field], place: int, rng: random.Random) -> None:
    number, kind, _ = fields[place]
    body = {
        0: lambda: varint(rng.choice(NASTY_NUMBERS)),
        1: lambda: struct.pack("<d", rng.choice(NASTY_DOUBLES)),
        2: lambda: rng.choice(NASTY_TEXTS),
    }.get(kind, lambda: rng.randbytes(4))()
    fields[place] = Field(number, kind, body)


def _renumber(fields: list[Field], place: int, rng: random.Random) -> None:
    fields[place] = fields[place]._replace(number=rng.choice((1, 2, 3, 11, 99, 19_000, 2**29 - 1)))


def _repeat(fields: list[Field], place: int, rng: random.Random) -> None:
    fields[place:place] = [fields[place]] * rng.choice((1, 1, 2, 30))


def _drop(fields: list[Field], place: int, _rng: random.Random) -> None:
    del fields[place]


def _add(fields: list[Field], place: int, rng: random.Random) -> None:
    """A field that nobody knows."""
    number = rng.choice((5, 100, 999, 2**29 - 1))
    fields.insert(place, Field(number, 2, rng.choice(NASTY_TEXTS)))


def _nest(raw: bytes, rng: random.Random) -> bytes:
    """Groups, or Anys, in one another."""
    if rng.random() < 0.5:
        return raw + b"\xa3\x06" * DEEP + b"\xa4\x06" * rng.choice((DEEP, DEEP - 1))
    inner = raw
    for _ in range(rng.choice((3, 30))):
        inner = written(
            [Field(1, 2, b"type.googleapis.com/google.protobuf.Any"), Field(2, 2, inner)]
        )
    return written([Field(rng.choice((1, 2, 3)), 2, inner)])


def _lengthen(raw: bytes, rng: random.Random) -> bytes:
    """A long text in place of one that is there. Most inputs that this is done to stay small."""
    if rng.random() > 0.03:
        return raw + b"\x0a" + varint(rng.choice(NASTY_NUMBERS))
    text = b"x" * rng.choice(LONG)

    def change(fields: list[Field], place: int, _rng: random.Random) -> None:
        fields[place] = Field(fields[place].number, 2, text)

    return _within(change)(raw, rng)


_MUTATIONS: tuple[tuple[str, Mutation | None], ...] = (
    ("flip", _flip),
    ("cut", _cut),
    ("noise", _noise),
    ("other", None),
    ("retype", _within(_retype)),
    ("revalue", _within(_revalue)),
    ("renumber", _within(_renumber)),
    ("repeat", _within(_repeat)),
    ("drop", _within(_drop)),
    ("add", _within(_add)),
    ("nest", _nest),
    ("lengthen", _lengthen),
)
MUTATIONS = tuple(name for name, _ in _MUTATIONS)
_WEIGHTS = (4, 2, 2, 1, 3, 6, 2, 2, 2, 3, 1, 1)
