"""The port of history, and of what is made of it (docs/decisions/0031).

Each call looks at a bounded part of the store. All raise `StoreUnavailable` and `StoreNotReady`.
Instants are epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from scheduling_srv.app.ports import Receipt
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.overview import ShardView
from scheduling_srv.domain.run import FailureGroup, JobRuns, Run, RunFilter, RunId


class ListedRun(NamedTuple):
    """A run in a list."""

    run: Run
    place: str
    """Where the list goes on after it."""


class ListedRuns(NamedTuple):
    """Some runs of a shard."""

    runs: Sequence[ListedRun]
    cursor: str
    """Start of the next page; empty: this was the last one. A page before it may be empty."""


class DuePlace(NamedTuple):
    """A job that waits for its time."""

    job: StoredJob
    due: int
    nominal: int | None
    """Of its next occurrence; None: it is a run that waits by itself."""
    counted: int
    """Runs that have counted for `max_runs`."""


class DuePlaces(NamedTuple):
    """Some of them, by time."""

    places: Sequence[DuePlace]
    more: bool


class RunReading(Protocol):
    """Runs of a shard, for those who ask."""

    async def runs(self, wanted: RunFilter, cursor: str, limit: int) -> ListedRuns:
        """At most `limit` runs: open ones before those that have ended, the newest first in each.

        A run that changes its state meanwhile may be missing, or be there twice.
        """

    async def failures(self, job_type: str, since: int) -> Sequence[FailureGroup]:
        """Errors of a type, or of all types, that have occurred since then, in no order."""

    async def job_runs(self, ids: Sequence[str]) -> Mapping[str, JobRuns]:
        """Counters, last run and open runs of the jobs that exist."""

    async def upcoming(self, wanted: JobFilter, now: int, until: int, limit: int) -> DuePlaces:
        """What is due up to and including `until`, at most `limit` places, nothing paused."""


class RetryMode(StrEnum):
    """How far `RunRetrying.retry` goes."""

    RETRY = "retry"
    LOOK = "look"
    """Changes nothing."""
    FORGET = "forget"
    """Takes the runs out of the history: their jobs were created anew."""


class RetryVerdict(StrEnum):
    """What became of a run that is to be tried again."""

    AGAIN = "again"
    """It is tried again."""
    UNKNOWN = "unknown"
    OTHER = "other"
    """It has not failed."""
    LIVES = "lives"
    """The id is that of another job, or of another definition."""
    TAKEN = "taken"
    """The job is gone; another one has its unique key. `RunRetrying` does not say so."""
    LOST = "lost"
    """The job is gone, and its record as well."""
    GONE = "gone"
    """The job is gone; its record is there."""


class Judged(NamedTuple):
    """A run that was looked at."""

    verdict: RetryVerdict
    record: bytes = b""
    """Of the job, if it is gone."""


class RunRetrying(Protocol):
    """Tries runs of a shard again."""

    async def retry(
        self, runs: Sequence[RunId], now: int, mode: RetryMode, within: Limits | None = None
    ) -> tuple[Receipt, Sequence[Judged]]:
        """Judge the first of these runs, as many as the budget allows.

        Let those be due again whose job lives. Runs that are not `within` the limits are unknown.
        Raises `FormatTooOld`.
        """


class HistoryBounds(NamedTuple):
    """How much of the history a shard keeps."""

    runs: int
    record_bytes: int
    """Of jobs that are gone, for retries."""
    failures_ms: int
    """How long failures of one-time jobs are kept."""


class HistoryTrimming(Protocol):
    """Keeps the history within its bounds, for the owner only."""

    async def trim(self, token: str, now: int, bounds: HistoryBounds) -> bool:
        """Take out what is too old or too much; returns whether there may be more.

        Raises `LeaseLost`.
        """


class ShardOverview(Protocol):
    """How a shard stands, for operators."""

    async def overview(self, now: int) -> ShardView:
        """One cheap call."""
