"""Occurrences that pass while a job is paused: the store counts them when the pause ends."""

from __future__ import annotations

from scheduling_client.schedules.errors import ScheduleError
from scheduling_srv.app.ports import ListedJob
from scheduling_srv.app.requests.job_views import recurring_of
from scheduling_srv.domain.run import JobRuns
from scheduling_srv.formats.job_record import properties_of
from scheduling_srv.formats.v1.schedules import schedule_in


def with_passing(runs: JobRuns, listed: ListedJob, now: int) -> JobRuns:
    """The runs of a job, whose counters also have those that have passed in a pause by now."""
    schedule = schedule_in(listed.job.record)
    since = listed.nominal if listed.due is None and schedule.kind.recurring else None
    if since is None:
        return runs
    end = properties_of(listed.job.record).properties.end
    try:
        found = recurring_of(schedule, since).recurrence
        number = found.count(since - 1, now if end is None else min(now, end))
    except ScheduleError:  # only another version understands it
        return runs
    counters = runs.counters
    return runs._replace(counters=counters._replace(skipped=counters.skipped + number))
