"""A job as a caller of scheduling.v1 sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobState
from scheduling_srv.domain.pause import NOT_PAUSED, Pauses
from scheduling_srv.domain.run import JobRuns


class JobView(NamedTuple):
    """A stored job, and how it stands."""

    job: StoredJob
    words: str
    """The schedule in words."""
    next_times: Sequence[int] = ()
    """The next nominal times, in epoch ms; none while it is paused."""
    created: int = 0
    """When the job was created, in epoch ms; 0: an older version stored it."""
    updated: int = 0
    """When its definition last changed; 0 as above."""
    revision: int = 0
    """Counts the definitions, from 1; 0: not known."""
    state: JobState | None = None
    """None: not known."""
    pauses: Pauses = NOT_PAUSED
    runs: JobRuns | None = None
    """None: it was not asked for them."""


class CreatedJob(NamedTuple):
    """A created job."""

    view: JobView
    existing: bool = False
    """Its unique key found this one; nothing was changed."""


class JobPage(NamedTuple):
    """A page of a list."""

    jobs: Sequence[JobView]
    token: str
    """For the next page; empty: this was the last one."""
    total: int | None
    """None: not known."""
