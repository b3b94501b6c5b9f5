"""Single runs, as callers of scheduling.v1 name and change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import RunId


class RunCall(NamedTuple):
    """One step of a bulk call that runs jobs now."""

    bulk: BulkCall
    request_id: str
    """Names the request, so that it may be sent again; empty: it may not."""


class NewRun(NamedTuple):
    """A run that a caller has asked for."""

    id: RunId
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
    first: RunId | None
    last: RunId | None


class Extension(NamedTuple):
    """More time for an attempt of a run."""

    instance: int
    occurrence: str = ""
    """The `occurrence-id` of the attempt; empty: any."""
    length: int | None = None
    """Milliseconds from now; None: the completion timeout of the job."""
    within: Limits | None = None
    """Other runs count as missing; None: the caller has no limits."""
