"""A job as a caller of scheduling.v1 sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.domain.job import StoredJob


class JobView(NamedTuple):
    """A stored job, and how it stands."""

    job: StoredJob
    words: str
    """The schedule in words."""
    next_times: Sequence[int] = ()
    """The next nominal times, in epoch ms."""


class CreatedJob(NamedTuple):
    """A created job."""

    view: JobView
    existing: bool = False
    """Its unique key found this one; nothing was changed."""
