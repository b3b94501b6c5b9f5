"""Stored jobs as callers of scheduling.v1 see them."""

from __future__ import annotations

from itertools import islice

from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.preview import Recurring, read_recurring, spoken_instant
from scheduling_client.schedules.recurrence import Every, occurrences
from scheduling_client.schedules.when import parse_when
from scheduling_client.schedules.zone import zone
from scheduling_srv.app.ports import ListedJob
from scheduling_srv.domain.job import StoredJob, TriggerKind
from scheduling_srv.domain.job_filter import JobState
from scheduling_srv.domain.job_view import JobView
from scheduling_srv.formats.job_record import created_at, properties_of
from scheduling_srv.formats.v1.schedules import StoredSchedule, schedule_in

AT_ONCE = "once, at once"


def listed_view(listed: ListedJob, count: int) -> JobView:
    """A job of a list, with its next `count` nominal times; none while it is paused."""
    is_waiting = listed.due is not None and listed.state is not JobState.PAUSED
    view = view_of(listed.job, count, listed.nominal if is_waiting else None)
    return view._replace(state=listed.state)


def view_of(job: StoredJob, count: int, first: int | None) -> JobView:
    """The job with its next `count` nominal times, from `first` on; None: no times.

    A schedule that only another version understands is shown as its text.
    """
    schedule = schedule_in(job.record)
    try:
        view = _view(job, schedule, count, first)
    except ScheduleError:
        view = JobView(job, schedule.text)
    created = created_at(job.record)
    more = properties_of(job.record)
    return view._replace(created=created, updated=more.updated or created, revision=more.revision)


def _view(job: StoredJob, schedule: StoredSchedule, count: int, first: int | None) -> JobView:
    if schedule.kind is TriggerKind.NOW:
        return JobView(job, AT_ONCE)
    if schedule.kind is TriggerKind.ONCE:
        place = zone(schedule.timezone)
        instant = parse_when(schedule.text, 0, place)
        once = [] if first is None else [first]
        return JobView(job, f"once, {spoken_instant(instant, place)}", once)
    found = recurring_of(schedule, first)
    if first is None:
        return JobView(job, found.words)
    times = occurrences(found.recurrence, first - 1, properties_of(job.record).properties.end)
    return JobView(job, found.words, [*islice(times, count)])


def recurring_of(schedule: StoredSchedule, nominal: int | None) -> Recurring:
    """The occurrences of a recurring job. `nominal`: one of them. Raises `ScheduleError`."""
    found = read_recurring(schedule.text, schedule.timezone, 0)
    if schedule.kind is TriggerKind.INTERVAL and nominal is not None:
        return found._replace(recurrence=Every(nominal, schedule.period))
    return found
