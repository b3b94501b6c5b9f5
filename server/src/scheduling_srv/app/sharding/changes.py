"""Decided changes that concern several shards: what each of them does (docs/decisions/0004)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from scheduling_srv.app.budget import DELETED_IDS
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.changes import Change
from scheduling_srv.formats.job_record import type_of

PIECE = 64_000
"""Bytes of a parcel, unless a single job has more: it becomes one record of Kafka, which refuses
what is too large, and there is room for so much whatever `SCHEDULING_MAX_JOB_BYTES` says."""


def shard_of(text: str | bytes, shards: int) -> int:
    """The shard of a type. What it answers is stored: it must be the same for ever."""
    return zlib.crc32(text.encode() if isinstance(text, str) else text) % shards


def shard_of_job(job: NewJob, shards: int) -> int:
    """The shard that a job belongs into."""
    return shard_of(type_of(job.record), shards)


@dataclass(slots=True)
class _Part:
    removed: list[str] = field(default_factory=list)
    put: list[tuple[int, NewJob]] = field(default_factory=list)
    moved: dict[int, list[tuple[int, NewJob]]] = field(default_factory=dict)
    """Target -> jobs that come from here: they are put there after they have left."""


def plan_write(
    jobs: Sequence[NewJob], homes: Mapping[str, int], shards: int, at: int | None = None
) -> Change:
    """How jobs get into their shards; `homes` says which shards some of them leave.

    A job lives in its home, or was removed there and Kafka does not know it yet. So its creation
    follows its removal through the same outbox, as a parcel (docs/decisions/0026).

    The change begins in the shard `at`, or where it takes the fewest steps: in a shard that a
    job leaves, as it has to leave before it is announced in the next one.
    """
    parts: dict[int, _Part] = {}
    for place, job in enumerate(jobs, start=1):
        target = shard_of_job(job, shards)
        home = homes.get(job.id, target)
        part = parts.setdefault(home, _Part())
        if home == target:
            part.put.append((place, job))
        else:
            part.removed.append(job.id)
            part.moved.setdefault(target, []).append((place, job))
    if at is None:
        at = next((shard for shard, part in parts.items() if part.moved), min(parts))
    return _change(parts, at)


def plan_delete(homes: Mapping[str, int], at: int) -> Change:
    """How jobs are deleted, beginning in the shard `at`.

    One call to the store deletes some; that shard deletes its others as parcels to itself.
    """
    parts: dict[int, _Part] = {}
    for job_id, home in homes.items():
        parts.setdefault(home, _Part()).removed.append(job_id)
    first = parts.get(at, _Part())
    later, first.removed = first.removed[DELETED_IDS:], first.removed[:DELETED_IDS]
    begun = _change(parts, at)
    own = [_only(at, piece) for piece in _pieces(_Part(removed=later))]
    return replace(begun, then=[*own, *begun.then])


def _change(parts: dict[int, _Part], at: int) -> Change:
    first = parts.pop(at, _Part())
    others = [_only(shard, piece) for shard in sorted(parts) for piece in _pieces(parts[shard])]
    begun = _only(at, first)
    return replace(begun, then=[*begun.then, *others])


def _only(shard: int, part: _Part) -> Change:
    then = [
        _puts(target, piece.put)
        for target in sorted(part.moved)
        for piece in _pieces(_Part(put=part.moved[target]))
    ]
    return replace(_puts(shard, part.put), removed=part.removed, then=then)


def _pieces(part: _Part) -> Iterator[_Part]:
    """The same in pieces that each become a parcel. A job leaves in the one that it moves on in."""
    piece, size = _Part(), 0
    for job_id, record, add in _steps(part):
        # The id stands there three times, and JSON writes three bytes for each that is not ASCII.
        weight = len(record) + 9 * len(job_id.encode()) + 128
        if size and size + weight > PIECE:
            yield piece
            piece, size = _Part(), 0
        add(piece)
        size += weight
    if size:
        yield piece


def _steps(part: _Part) -> Iterator[tuple[str, bytes, Callable[[_Part], None]]]:
    """Id, record, and what adds it to a piece, of each job."""
    moved = dict[str, tuple[int, tuple[int, NewJob]]]()
    for target, jobs in part.moved.items():
        moved |= {job.id: (target, (place, job)) for place, job in jobs}
    for job_id in part.removed:
        move = moved.get(job_id)
        yield job_id, move[1][1].record if move else b"", partial(_add_removal, job_id, move)
    for place, job in part.put:
        yield job.id, job.record, partial(_add_put, (place, job))


def _add_removal(job_id: str, move: tuple[int, tuple[int, NewJob]] | None, piece: _Part) -> None:
    piece.removed.append(job_id)
    if move:
        piece.moved.setdefault(move[0], []).append(move[1])


def _add_put(put: tuple[int, NewJob], piece: _Part) -> None:
    piece.put.append(put)


def _puts(shard: int, jobs: Sequence[tuple[int, NewJob]]) -> Change:
    places, put = [place for place, _ in jobs], [job for _, job in jobs]
    return Change(shard, [], put, [], places)
