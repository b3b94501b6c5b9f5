"""The journal as a rebuild reads it: a part at a time, within a memory budget."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from scheduling_srv.app.replies import ListPiece, Parcel
from scheduling_srv.formats.kafka_records import (
    JOURNAL_BACKFILL,
    JOURNAL_COUNT,
    JOURNAL_LIST,
    JOURNAL_PARCEL,
    JOURNAL_PAUSE,
    JOURNAL_RETRY,
    NOT_OF_A_JOB,
    JournalBackfill,
    JournalCount,
    JournalPause,
    JournalRetry,
    LogRecord,
    parcel_name,
    piece_of_list,
)

OVERHEAD_BYTES = 300
"""Bytes that Python needs for an entry beside its key and its value."""


class Window:
    """The last word on each job of a part of the journal."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.size = 0
        self.jobs: dict[bytes, bytes] = {}
        """Key -> value; empty: the job is gone."""

    @property
    def is_full(self) -> bool:
        """Whether it has to be emptied before more is added."""
        return self.size >= self.most_bytes

    def add(self, key: bytes, value: bytes | None) -> None:
        """The next record of a job."""
        known, value = self.jobs.get(key), value or b""
        self.jobs[key] = value
        self.size += _size(key, value) if known is None else len(value) - len(known)


class Kept(NamedTuple):
    """A retry that waits, a parcel, or a piece of a long list."""

    kind: bytes
    value: bytes


class Rest:
    """Retries, parcels and pieces of long lists, or one share of them if they exceed the budget.

    Records that have no room are read again: once for each other share of the keys.
    """

    def __init__(self, most_bytes: int, shares: int = 1, share: int = 0) -> None:
        self.most_bytes = most_bytes
        self.shares = shares
        self.share = share
        self.size = 0
        self.kept: dict[bytes, Kept] = {}

    def add(self, entry: LogRecord) -> None:
        """The next record that is of no job."""
        key, value = entry.key or b"", entry.value
        if not self._is_ours(key):
            return
        known = self.kept.pop(key, None)
        if known is not None:
            self.size -= _size(key, known.value)
        if value is not None:
            self.kept[key] = Kept(entry.headers.get("kind", b""), value)
            self.size += _size(key, value)
            while self.size > self.most_bytes and self.share == 0 and len(self.kept) > 1:
                self._split()

    def _is_ours(self, key: bytes) -> bool:
        return zlib.crc32(key) % self.shares == self.share

    def _split(self) -> None:
        self.shares *= 2
        self.kept = {key: kept for key, kept in self.kept.items() if self._is_ours(key)}
        self.size = sum(_size(key, kept.value) for key, kept in self.kept.items())

    def retries(self) -> Iterator[JournalRetry]:
        """The waiting retries, ordered by job."""
        for key in sorted(self.kept):
            kind, value = self.kept[key]
            if kind == JOURNAL_RETRY:
                yield JournalRetry.parse(key, value)

    def counts(self) -> Iterator[JournalCount]:
        """How many runs of jobs have counted."""
        for key, (kind, value) in self.kept.items():
            if kind == JOURNAL_COUNT:
                yield JournalCount.parse(key, value)

    def pauses(self) -> Iterator[JournalPause]:
        """The pauses of jobs and types."""
        for key, (kind, value) in self.kept.items():
            if kind == JOURNAL_PAUSE:
                yield JournalPause.parse(key, value)

    def backfills(self) -> Iterator[JournalBackfill]:
        """How far the backfills of jobs are."""
        for key, (kind, value) in self.kept.items():
            if kind == JOURNAL_BACKFILL:
                yield JournalBackfill.parse(key, value)

    def parcels(self) -> Iterator[Parcel]:
        """The parcels that may not have been delivered."""
        for key, (kind, value) in self.kept.items():
            if kind == JOURNAL_PARCEL:
                yield Parcel(parcel_name(key), value)

    def pieces(self) -> Iterator[ListPiece]:
        """Pieces of long lists that were not applied, and decisions."""
        for key, (kind, value) in self.kept.items():
            if kind == JOURNAL_LIST:
                yield ListPiece(*piece_of_list(key), value)


def is_of_a_job(entry: LogRecord) -> bool:
    """Whether the record is a job or its tombstone."""
    return NOT_OF_A_JOB not in (entry.key or b"")


def _size(key: bytes, value: bytes | None) -> int:
    return len(key) + len(value or b"") + OVERHEAD_BYTES
