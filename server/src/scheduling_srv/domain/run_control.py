"""Single runs, as callers of scheduling.v1 name and change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from scheduling_srv.domain.bulk import BulkCall, Progress

ORIGIN_MARKS = ("", "m", "b")
"""Follow the nominal time in the id of a run: of the schedule, by hand, of a backfill."""
LARGEST = 1 << 48
"""Above every creation number and instant of a run."""


class RunName(NamedTuple):
    """A run over all its attempts."""

    job_id: str
    seq: int
    """Creation number of its job."""
    nominal: int
    """Epoch ms."""
    origin: int = 0
    """The place of its mark in `ORIGIN_MARKS`."""

    def __str__(self) -> str:
        return f"{self.job_id}/{self.seq}/{self.nominal}{ORIGIN_MARKS[self.origin]}"

    @classmethod
    def parse(cls, run_id: str) -> Self | None:
        """None: no run has such an id."""
        start, _, nominal = run_id.rpartition("/")
        job_id, _, seq = start.rpartition("/")
        mark = nominal[-1:] if nominal[-1:] in ORIGIN_MARKS else ""
        nominal = nominal.removesuffix(mark)
        if not all(text.isascii() and text.isdigit() for text in (seq, nominal)):
            return None
        if int(seq) >= LARGEST or int(nominal) >= LARGEST:
            return None
        return cls(job_id, int(seq), int(nominal), ORIGIN_MARKS.index(mark))


class CancelCall(NamedTuple):
    """One step of a bulk call that cancels runs."""

    ids: Sequence[str]
    dry_run: bool
    token: str


class RunCall(NamedTuple):
    """One step of a bulk call that runs jobs now."""

    bulk: BulkCall
    request_id: str
    """Names the request, so that it may be sent again; empty: it may not."""


class NewRun(NamedTuple):
    """A run that a caller has asked for."""

    name: RunName
    type: str


class Started(NamedTuple):
    """What a step of `RunCall` came to."""

    progress: Progress
    runs: Sequence[NewRun]


class BackfillCall(NamedTuple):
    """Occurrences of a recurring job that are to run now."""

    job_id: str
    since: int
    """The first instant that counts, in epoch ms."""
    until: int
    """The first one that does not count any more."""
    limit: int
    """Runs that may be open at a time."""
    request_id: str
    dry_run: bool


class Backfilled(NamedTuple):
    """The runs of a backfill; None: there is none."""

    runs: int
    first: RunName | None
    last: RunName | None


class Extension(NamedTuple):
    """More time for an attempt of a run."""

    instance: int
    occurrence: str = ""
    """The `occurrence-id` of the attempt; empty: any."""
    length: int | None = None
    """Milliseconds from now; None: the completion timeout of the job."""
