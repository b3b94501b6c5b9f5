"""The use case that lists what is due from now to an instant, over all jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.preview import Recurring
from scheduling_client.schedules.recurrence import MOST_COUNTED, Every, occurrences
from scheduling_srv.app.ports import Clock
from scheduling_srv.app.requests.job_views import recurring_of
from scheduling_srv.app.requests.turns import turn
from scheduling_srv.app.run_ports import DuePlace, RunReading
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.run import Upcoming, UpcomingRuns
from scheduling_srv.formats.job_record import kind, properties_of, type_of
from scheduling_srv.formats.v1.schedules import schedule_in
from scheduling_srv.runtime.time_slice import SharedSlice

CALLS = 1
"""Store calls that are under way at once: the owner's calls wait for them."""
MOST_STEPS = 50_000
"""Occurrences of cron jobs that one call counts, some seconds of work: further series are only as
long as was counted until then."""


class UpcomingListing:
    """Series of recurring jobs, and single runs, by the time of the first one."""

    def __init__(self, shards: Sequence[RunReading], clock: Clock) -> None:
        self.shards = shards
        self.clock = clock
        self._calls = asyncio.Semaphore(CALLS)

    async def upcoming(self, wanted: JobFilter, until: int, limit: int) -> UpcomingRuns:
        """At most `limit` entries, 1 to 1,000. Raises `Unavailable`."""
        now = self.clock.now()
        async with turn(self._calls):
            found = await asyncio.gather(
                *(shard.upcoming(wanted, now, until, limit) for shard in self.shards)
            )
        places = sorted((place for each in found for place in each.places), key=_due)
        series, time_slice = Series(until), SharedSlice()
        for place in places:
            if len(series.entries) == limit and place.job.id not in series.entries:
                return UpcomingRuns(series.in_order(), more=True)
            series.add(place)
            await time_slice.yield_if_used()
        return UpcomingRuns(series.in_order(), more=any(each.more for each in found))


def _due(place: DuePlace) -> int:
    return place.due


class Series:
    """Counts the runs of each job up to an instant."""

    def __init__(self, until: int, most_steps: int = MOST_STEPS) -> None:
        self.until = until
        self.entries: dict[bytes, Upcoming] = {}
        self._steps = most_steps
        self._counts: dict[Any, int] = {}
        """Jobs with one schedule are counted once."""

    def in_order(self) -> Sequence[Upcoming]:
        """By time."""
        return sorted(self.entries.values(), key=lambda each: each.time)

    def add(self, place: DuePlace) -> None:
        """The places of a job become one entry."""
        entry, known = self._entry(place), self.entries.get(place.job.id)
        if known:
            first = min(known, entry, key=lambda each: each.time)
            count = min(known.number + entry.number, MOST_COUNTED)
            entry = first._replace(number=count, words=known.words or entry.words)
        self.entries[place.job.id] = entry

    def _entry(self, place: DuePlace) -> Upcoming:
        record = place.job.record
        single = Upcoming(place.job.id.decode(), type_of(record).decode(), place.due)
        if place.nominal is None:
            return single
        first = single._replace(time=place.nominal)
        if TriggerKind(kind(record)) in {TriggerKind.NOW, TriggerKind.ONCE}:
            return first
        try:
            found = recurring_of(schedule_in(record), place.nominal)
        except ScheduleError:  # only another version understands it
            return first
        return first._replace(number=self._count(place, found), words=found.words)

    def _count(self, place: DuePlace, found: Recurring) -> int:
        asked = properties_of(place.job.record).properties
        last = self.until if asked.end is None else min(self.until, asked.end)
        assert place.nominal is not None  # noqa: S101 - only next occurrences are counted
        count = self._between(found, place.nominal, last)
        left = max(1, asked.max_runs - place.counted) if asked.max_runs else MOST_COUNTED
        return max(1, min(count, left))

    def _between(self, found: Recurring, first: int, last: int) -> int:
        """The first one counts, however late it is."""
        recurrence = found.recurrence
        if isinstance(recurrence, Every):
            return min(MOST_COUNTED, max(0, last - first) // recurrence.period + 1)
        key = (recurrence, first, last)
        if key not in self._counts:
            times = occurrences(recurrence, first - 1, last)
            count = sum(1 for _ in islice(times, min(MOST_COUNTED, self._steps)))
            self._steps -= count
            self._counts[key] = count
        return self._counts[key]
