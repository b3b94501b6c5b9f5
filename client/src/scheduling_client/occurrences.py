"""Does each run once, by the `occurrence-id` of its record.

A consumer gets a record again after a crash, a rebalance, or a reset of its group. A consumer that
reads uncommitted data also sees copies that were aborted. All copies of a run have the same
`occurrence-id`, and no other run has it. A retry is another run with its own id.

The file keeps the outcome of each run, so that a copy gets the same answer as the first one.
Answering twice is harmless: the scheduler applies an answer once.

One gap remains: a worker that dies between its work and the note does the work again. To close it,
store the occurrence id in the transaction of the work, under a unique key.

It needs the standard library only, so that the file may be copied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

WEEK_SECONDS = 7 * 86_400.0
"""Seconds that Kafka keeps records by default: older copies cannot come."""
SWEEP_SECONDS = 60.0
"""Seconds between two looks for outcomes that are old enough to be forgotten."""
BUSY_SECONDS = 30.0
"""Seconds to wait for another process that writes."""

Headers = Iterable[tuple[str, str | bytes | None]] | Mapping[str, str | bytes | None]

_TABLE = """
CREATE TABLE IF NOT EXISTS outcomes (
    occurrence TEXT PRIMARY KEY,
    error TEXT,
    finished REAL NOT NULL
) WITHOUT ROWID
"""
_NEWER = """
INSERT INTO outcomes VALUES (?, ?, ?)
ON CONFLICT (occurrence) DO UPDATE SET error = excluded.error, finished = excluded.finished
"""


class Outcome(NamedTuple):
    """How a run ended."""

    error: str | None = None
    """Why it failed; None if it did not."""
    repeated: bool = False
    """It had ended before: this was a copy, and nothing was done."""


class Occurrences:
    """The outcomes of the last `keep` seconds, in the SQLite file `path`, or in memory.

    Each consumer thread has its own object. Threads and processes may share a file if no two of
    them work on the same run at once. Kafka ensures that: one partition has one consumer.
    """

    def __init__(
        self,
        path: str | Path = ":memory:",
        *,
        keep: float = WEEK_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        import sqlite3  # noqa: PLC0415 - the server imports this package and needs no SQLite

        self._keep, self._now = keep, now
        self._sweep_at = float("-inf")
        self._database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(_TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def once(self, occurrence: str, work: Callable[[], object]) -> Outcome:
        """Do `work` unless this run has ended before; how it ended, now or then.

        An exception is a failed run, not an error of this call. A run without an id (of a producer
        that gives none) is done whenever it comes.
        """
        known = self.outcome(occurrence)
        if known is not None:
            return known
        error = None
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - with any exception the run has failed
            error = str(fault) or type(fault).__name__
        self.note(occurrence, error)
        return Outcome(error)

    def outcome(self, occurrence: str) -> Outcome | None:
        """How the run ended, None if it is not known to have ended."""
        rows = self._database.execute(
            "SELECT error FROM outcomes WHERE occurrence = ?", (occurrence,)
        )
        row = rows.fetchone()
        return None if row is None else Outcome(row[0], repeated=True)

    def note(self, occurrence: str, error: str | None = None) -> None:
        """The run has ended; on disk when this returns, if there is a file."""
        if occurrence:
            self._database.execute(_NEWER, (occurrence, error, self._now()))
        self._sweep()

    def note_all(self, errors: Mapping[str, str | None]) -> None:
        """These runs have ended, each with its error or None; all or none of them are noted."""
        rows = [(occurrence, error, self._now()) for occurrence, error in errors.items()]
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(_NEWER, rows)
        self._sweep()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._database.close()

    def _sweep(self) -> None:
        now = self._now()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            self._database.execute("DELETE FROM outcomes WHERE finished < ?", (now - self._keep,))


def occurrence_id(headers: Headers | None) -> str:
    """The `occurrence-id` among the headers of a record, however the Kafka client gives them."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in pairs:
        if name == "occurrence-id" and value:
            return value.decode() if isinstance(value, bytes) else value
    return ""
