"""What is due until an instant, over all jobs, by hour; crowded minutes stand out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from starlette.responses import Response

from scheduling_client.api import run_logic
from scheduling_client.api.jobs import UpcomingRun
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.entrances.web.filters import Asked
from scheduling_srv.entrances.web.visit import Visit

MOST_RUNS = 250
"""Entries of the page: a job that runs often is one."""
CROWD = 10
"""Runs in one minute that count as a crowd."""
BARS = 60
SPANS: Mapping[str, timedelta] = {
    "hour": timedelta(hours=1),
    "6 hours": timedelta(hours=6),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
FIRST_SPAN = "day"


class Hour(NamedTuple):
    """The entries of an hour."""

    begin: datetime
    runs: Sequence[UpcomingRun]
    crowds: Sequence[tuple[datetime, int]]
    """Minutes with many runs, and how many."""


class Bar(NamedTuple):
    """A part of the time line."""

    begin: datetime
    due: int
    height: float
    """Of 100."""
    crowded: bool


async def upcoming(visit: Visit) -> Response:
    """What is due in the time that the address names."""
    name = visit.query("within") or FIRST_SPAN
    if name not in SPANS:
        raise InvalidRequest(f"There is no span {name!r}: {', '.join(SPANS)}.")
    asked, now = Asked.of(visit.request.query_params), datetime.now(UTC)
    found = await visit.run(run_logic.upcoming(now + SPANS[name], asked.where(), MOST_RUNS))
    due = [run for run in found.runs if run.time]
    return visit.page(
        "upcoming.html",
        asked=asked,
        span=name,
        spans=list(SPANS),
        hours=_hours(due),
        bars=_bars([run.time for run in due if run.time], now, SPANS[name]),
        more=found.more,
    )


def _hours(runs: Iterable[UpcomingRun]) -> list[Hour]:
    grouped = groupby(runs, lambda run: _begin(run).replace(minute=0))
    return [_hour(begin, list(each)) for begin, each in grouped]


def _begin(run: UpcomingRun) -> datetime:
    """Of its minute."""
    return (run.time or datetime.now(UTC)).replace(second=0, microsecond=0)


def _hour(begin: datetime, runs: Sequence[UpcomingRun]) -> Hour:
    minutes = Counter(map(_begin, runs))
    crowds = [(minute, count) for minute, count in sorted(minutes.items()) if count >= CROWD]
    return Hour(begin, runs, crowds)


def _bars(times: Sequence[datetime], now: datetime, span: timedelta) -> list[Bar]:
    """The span in 60 parts of equal length."""
    part = span / BARS
    counts = Counter(min(BARS - 1, max(0, (time - now) // part)) for time in times)
    most = max(counts.values(), default=1)
    return [
        Bar(now + part * place, counts[place], 100 * counts[place] / most, counts[place] >= CROWD)
        for place in range(BARS)
    ]
