"""Counts jobs that were taken in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.job_record import type_of
from scheduling_srv.runtime import metrics


def count_accepted(*lists: Sequence[NewJob]) -> None:
    """By type, if any type has a label of its own."""
    jobs = chain.from_iterable(lists)
    metrics.ACCEPTED.count(sum(map(len, lists)), lambda: (type_of(job.record) for job in jobs))
