"""From the definitions of scheduling.v1 to jobs as the store takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduling_srv.app.narrowing import refused_fields
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import (
    FailedPrecondition,
    Forbidden,
    InvalidRequest,
    RequestError,
    Violation,
)
from scheduling_srv.domain.job import JobRequest, NewJob
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.stored_format import SCHEDULING_V1
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.hot_path import check_job
from scheduling_srv.formats.job_record import Note
from scheduling_srv.runtime.time_slice import SharedSlice

NO_SCHEDULE = "A job needs a schedule: one of now, at, when, every and interval."
TWICE = "The id stands twice in the list."
PLAIN = Properties()
_FIELDS = {
    "data": "payload",
    "data.creator": "creator",
    "data.timezone": "timezone",
    "backoff.delay": "retry.delay",
    "backoff.type": "retry.backoff",
}
"""The names of 2018 -> those of scheduling.v1. Those of triggers depend on the schedule."""


async def check_definitions(
    asked: Sequence[Definition], now: int, rules: Rules, replacing: Note | None = None
) -> list[NewJob]:
    """Every job of a list, checked; an empty id is given a new one.

    Raises `InvalidRequest` with all faults of all jobs, and `FailedPrecondition`.
    """
    jobs, faults, time_slice = list[NewJob](), list[Violation](), SharedSlice()
    ids, first = set[str](), ""
    for index, each in enumerate(asked):
        if each.request.id in ids:
            faults.append(Violation(f"jobs[{index}].id", f"Job {index}: {TWICE}"))
            first = first or TWICE
        try:
            jobs.append(check_definition(each, now, rules, replacing))
        except InvalidRequest as fault:
            first = first or str(fault)
            faults += of_job(index, fault)
        except FailedPrecondition as fault:
            raise type(fault)(str(fault), of_job(index, fault)) from None
        if each.request.id:
            ids.add(each.request.id)
        if time_slice.used:
            await time_slice.pause()
    if faults:
        raise InvalidRequest(first, faults)
    return jobs


def check_limits(asked: Sequence[Definition], within: Limits) -> None:
    """Raise `Forbidden` if one of the jobs of a list is not within the limits of the caller."""
    for index, each in enumerate(asked):
        if found := refused_fields(within, each):
            sentence = found[0].description
            raise Forbidden(sentence, of_job(index, Forbidden(sentence, found)))


def check_definition(
    asked: Definition, now: int, rules: Rules, replacing: Note | None = None
) -> NewJob:
    """One job, checked; see `check_job`. Raises `InvalidRequest` and `FailedPrecondition`."""
    if not asked.trigger:
        raise InvalidRequest(NO_SCHEDULE, [Violation("schedule", NO_SCHEDULE)])
    try:
        return check_job(_request_of(asked, rules, replacing), now, rules, replacing)
    except (InvalidRequest, FailedPrecondition) as fault:
        raise type(fault)(str(fault), _renamed(fault, asked.trigger)) from None


def _request_of(asked: Definition, rules: Rules, replacing: Note | None) -> JobRequest:
    """A new job that the contract of 2018 can say is stored as one of 2018."""
    can_wait = not asked.spec or rules.stored.number < SCHEDULING_V1
    if replacing is None and asked.properties == PLAIN and can_wait:
        return asked.request
    return replace(asked.request, properties=asked.properties, spec=asked.spec)


def of_job(index: int, fault: RequestError) -> list[Violation]:
    """The violations of a job as those of its place in the list."""
    return [
        Violation(f"jobs[{index}].{each.field}".rstrip("."), f"Job {index}: {each.description}")
        for each in fault.violations
    ]


def _renamed(fault: RequestError, trigger: str) -> list[Violation]:
    names = {**_FIELDS, "interval": f"schedule.{trigger}", "when": f"schedule.{trigger}"}
    return [
        Violation(names.get(each.field, each.field), each.description) for each in fault.violations
    ]
