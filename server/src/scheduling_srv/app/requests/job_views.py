"""Stored jobs as callers of scheduling.v1 see them."""

from __future__ import annotations

from itertools import islice

from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.preview import Recurring, read_recurring, spoken_instant
from scheduling_client.schedules.recurrence import Every, occurrences
from scheduling_client.schedules.when import parse_when
from scheduling_client.schedules.zone import zone
from scheduling_srv.domain.job import StoredJob, TriggerKind
from scheduling_srv.domain.job_filter import JobState
from scheduling_srv.domain.job_view import JobView
from scheduling_srv.formats.job_record import created_at, properties_of
from scheduling_srv.formats.v1.schedules import StoredSchedule, schedule_in

AT_ONCE = "once, at once"


def view_of(job: StoredJob, count: int, due: int | None, state: JobState | None = None) -> JobView:
    """The job with its next `count` nominal times, of which `due` is the first; None: no times.

    A schedule that only another version understands is shown as its text.
    """
    schedule = schedule_in(job.record)
    try:
        view = _view(job, schedule, count, due)
    except ScheduleError:
        view = JobView(job, schedule.text)
    view = view._replace(state=state)
    created = created_at(job.record)
    if not created:
        return view
    more = properties_of(job.record)
    return view._replace(created=created, updated=more.updated or created, revision=more.revision)


def _view(job: StoredJob, schedule: StoredSchedule, count: int, due: int | None) -> JobView:
    if schedule.kind is TriggerKind.NOW:
        return JobView(job, AT_ONCE)
    if schedule.kind is TriggerKind.ONCE:
        place = zone(schedule.timezone)
        instant = parse_when(schedule.text, 0, place)
        return JobView(job, f"once, {spoken_instant(instant, place)}", [] if due is None else [due])
    found = recurring_of(schedule, due)
    if due is None:
        return JobView(job, found.words)
    times = occurrences(found.recurrence, due - 1)
    return JobView(job, found.words, [*islice(times, count)])


def recurring_of(schedule: StoredSchedule, due: int | None) -> Recurring:
    """The occurrences of a recurring job. `due`: one of them. Raises `ScheduleError`."""
    found = read_recurring(schedule.text, schedule.timezone, 0)
    if schedule.kind is TriggerKind.INTERVAL and due is not None:
        return found._replace(recurrence=Every(due, schedule.period))
    return found
