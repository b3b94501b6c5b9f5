"""A decided change that concerns several shards, and its stored form (docs/decisions/0004)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats import layouts

_BASE = layouts.PARCEL_BASE.struct
_SIZE = layouts.PARCEL_TABLE.struct


@dataclass(frozen=True, slots=True)
class Change:
    """What one shard does, in one step, and what it then hands on to others."""

    shard: int
    removed: Sequence[str] = ()
    """Ids of jobs that leave this shard; announced as deleted."""
    put: Sequence[NewJob] = ()
    """Jobs that it has from now on, in place of those with the same ids."""
    then: Sequence[Change] = ()
    places: Sequence[int] = ()
    """Of `put` in the client's list, from 1: the order of creation, over all shards."""
    base: int = 0
    """The creation number in front of the list; 0: the shard where it begins gives one."""
    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What jobs of `put` keep of what they were in another shard; see `lua/lib/carrying.lua`."""

    def ids(self) -> Iterator[str]:
        """All jobs that it is about, those of later changes included."""
        yield from self.removed
        for job in self.put:
            yield job.id
        for change in self.then:
            yield from change.ids()

    def size(self) -> int:
        """How many places there are."""
        return max([0, *self.places, *(change.size() for change in self.then)])


def pack(change: Change) -> bytes:
    """A table as JSON, then the records that it speaks of, in its order.

    The store puts the base in front of it.
    """
    records: list[bytes] = []
    table = json.dumps(_table(change, records)).encode()
    return b"".join((_SIZE.pack(len(table)), table, *records))


def unpack(value: bytes) -> Change:
    """The change that was packed and stored."""
    (base,) = _BASE.unpack_from(value)
    (size,) = _SIZE.unpack_from(value, _BASE.size)
    table_at = _BASE.size + _SIZE.size
    at = table_at + size
    change, end = _read(json.loads(value[table_at:at]), value, at)
    kept = json.loads(value[end:]) if end < len(value) else {}
    return replace(change, base=base, kept=kept)


class Move(NamedTuple):
    """A job in a packed change."""

    id: str
    due: int
    offset: int
    """Of its record."""
    size: int


def moves(change: Change, packed: bytes, leaving: AbstractSet[str]) -> Iterator[Move]:
    """The jobs that `change` puts, as far as they are `leaving` the shard that sends it."""
    (size,) = _SIZE.unpack_from(packed)
    at = _SIZE.size + size
    for job in change.put:  # their records come first
        if job.id in leaving:
            yield Move(job.id, job.due, at, len(job.record))
        at += len(job.record)


def _table(change: Change, records: list[bytes]) -> list[Any]:
    put = []
    for place, job in zip(change.places, change.put, strict=True):
        records.append(job.record)
        put.append([place, job.id, job.due, len(job.record)])
    then = [_table(each, records) for each in change.then]
    return [change.shard, list(change.removed), put, then]


def _read(table: list[Any], value: bytes, at: int) -> tuple[Change, int]:
    shard, removed, rows, later, *_ = table  # what follows is of a later version
    put, places = [], []
    for place, job_id, due, size, *_ in rows:
        places.append(place)
        put.append(NewJob(job_id, due, value[at : at + size]))
        at += size
    then = []
    for each in later:
        change, at = _read(each, value, at)
        then.append(change)
    return Change(shard, removed, put, then, places), at
