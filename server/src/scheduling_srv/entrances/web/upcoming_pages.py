"""What is due next, over all jobs, by hour; crowded minutes stand out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from starlette.responses import Response

from scheduling_client.api.jobs import Filter, Job, Order
from scheduling_srv.entrances.web.list_pages import listed
from scheduling_srv.entrances.web.visit import Visit

PAGE_JOBS = 200
CROWD = 10
"""Jobs in one minute that count as a crowd."""
BARS = 60


class Hour(NamedTuple):
    """The jobs that are due next within an hour."""

    begin: datetime
    jobs: Sequence[Job]
    crowds: Sequence[tuple[datetime, int]]
    """Minutes with many jobs, and how many."""


class Bar(NamedTuple):
    """A part of the time line."""

    begin: datetime
    due: int
    """Jobs."""
    height: float
    """Of 100."""
    crowded: bool


async def upcoming(visit: Visit) -> Response:
    """The jobs that are due next, each with its next due time."""
    token = visit.query("after")
    page = await listed(visit, Filter(), Order.NEXT_DUE, size=PAGE_JOBS, token=token)
    due = [job for job in page.jobs if job.next_times]
    return visit.page(
        "upcoming.html",
        hours=_hours(due),
        bars=_bars([job.next_times[0] for job in due]),
        resting=[job for job in page.jobs if not job.next_times],
        after=page.token,
        token=token,
    )


def _hours(jobs: Iterable[Job]) -> list[Hour]:
    grouped = groupby(
        jobs, lambda job: job.next_times[0].replace(minute=0, second=0, microsecond=0)
    )
    return [_hour(begin, list(each)) for begin, each in grouped]


def _hour(begin: datetime, jobs: Sequence[Job]) -> Hour:
    minutes = Counter(job.next_times[0].replace(second=0, microsecond=0) for job in jobs)
    crowds = [(minute, count) for minute, count in sorted(minutes.items()) if count >= CROWD]
    return Hour(begin, jobs, crowds)


def _bars(times: Sequence[datetime]) -> list[Bar]:
    """The times in 60 parts of equal length, each a whole number of minutes."""
    if not times:
        return []
    first = min(times).replace(second=0, microsecond=0)
    minutes = max(1, -(-int((max(times) - first).total_seconds()) // (60 * BARS)) or 1)
    counts = Counter(int((time - first).total_seconds()) // (60 * minutes) for time in times)
    most = max(counts.values())
    return [
        Bar(
            first + timedelta(minutes=minutes * place),
            counts[place],
            100 * counts[place] / most,
            counts[place] >= CROWD,
        )
        for place in range(max(counts) + 1)
    ]
