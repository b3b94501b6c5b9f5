"""The port of changes of single runs (docs/decisions/0030). Instants are epoch milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from scheduling_srv.app.ports import Receipt
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import RunId
from scheduling_srv.domain.run_control import Backfilled, Extension, NewRun


class Target(NamedTuple):
    """A run that is to be cancelled, and where it was last seen: there it is found at once."""

    id: RunId
    instance: int = 0
    """The unanswered one; 0: not known, or there is none."""
    attempt: int = 0
    """The one that it waits for; 0: not known, or it does not wait."""


class Cancelled(NamedTuple):
    """What became of runs that are to be cancelled."""

    receipt: Receipt
    looked_at: int
    """Number of runs that the call has come to, from the first on."""
    open: int
    """How many of them were open."""


class Step(NamedTuple):
    """The jobs of a step, as a repeated request finds them again."""

    ids: Sequence[str]
    matched: int
    token: str


class Ran(NamedTuple):
    """Jobs that run now."""

    receipt: Receipt
    runs: Sequence[NewRun]


class RunControlStore(Protocol):
    """The runs of one shard. Each method raises `StoreUnavailable` and `StoreNotReady`.

    Jobs and runs that are not `within` the limits of the caller count as missing.
    """

    async def extend(self, asked: Extension, now: int) -> int | None:
        """Move the deadline of an unanswered run, never to an earlier instant.

        Returns it; None: there is no such run. A rebuild forgets it. Raises `FormatTooOld`.
        """

    async def cancel(
        self, runs: Sequence[Target], now: int, *, dry_run: bool, within: Limits | None = None
    ) -> Cancelled:
        """End open runs: their answers are stale from here on. Other runs are no error.

        A one-time job ends with its run. Every run that was staged before lies before the receipt.
        It ends with the run that uses up the budget. Raises `FormatTooOld`.
        """

    async def run(self, step: Step, now: int, request: str, within: Limits | None = None) -> Ran:
        """Add a run by hand to each of the jobs of a step that are here.

        With a `request` the answer is kept for 15 minutes, and a repetition gets the same one.
        Raises `FormatTooOld`, `Overloaded`, and `TooMany` for a job with too many waiting runs.
        """

    async def recall(self, request: str) -> Step | None:
        """The step of a request that this shard has answered."""


class NewBackfill(NamedTuple):
    """A backfill that begins."""

    job_id: str
    seq: int
    """Creation number of the job that its caller has seen."""
    until: int
    limit: int
    """Runs that may be open at a time."""
    plan: Backfilled


class BackfillVerdict(StrEnum):
    """Whether a backfill has begun."""

    BEGUN = "ok"
    GONE = "gone"
    """The job is gone, or was updated."""
    BUSY = "busy"
    """The job has one already."""
    MANY = "many"
    """The shard has as many as it may have."""


class OpenBackfill(NamedTuple):
    """A backfill that may add runs."""

    job_id: str
    record: bytes
    """Of its job."""
    next: int
    """The first instant that counts, in epoch ms."""
    until: int
    room: int
    """How many runs it may add now."""


class BackfillStore(Protocol):
    """The backfills of one shard. Each method raises `StoreUnavailable` and `StoreNotReady`."""

    async def begin(
        self, asked: NewBackfill, request: str
    ) -> tuple[BackfillVerdict, Receipt, Backfilled]:
        """Begin a backfill, or recall the one of a `request` that was answered before.

        Raises `FormatTooOld` and `Overloaded`.
        """

    async def open_backfills(self, token: str) -> Sequence[OpenBackfill]:
        """Some of those that may add runs. For the owner, as `fill` is: both raise `LeaseLost`."""

    async def fill(
        self, token: str, at: OpenBackfill, following: int | None, nominals: Sequence[int], now: int
    ) -> bool:
        """Add runs, and note in the same step that it goes on at `following`; None: it ends.

        Returns False if the backfill is elsewhere by now, or the outbox is full.
        """
