"""Filters, narrowed to the limits of a caller (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import Forbidden, Violation
from scheduling_srv.domain.event import EventFilter
from scheduling_srv.domain.intervals import IntervalLogs
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import Run, RunFilter, RunOrigin
from scheduling_srv.formats import job_record


def allows(within: Limits, job: StoredJob) -> bool:
    """Whether the caller may see a job."""
    type_ = job_record.type_of(job.record).decode(errors="replace")
    return within.allow(type_, job_record.creator_of(job.record))


def own_runs(within: Limits, record: bytes, runs: Sequence[Run]) -> Sequence[Run]:
    """Of the runs with the id of a job that the caller sees. Earlier jobs may have had the id.

    A run of an allowed type is its own. Runs do not tell their creator: with creators they are
    those of the job of this `record`.
    """
    typed = [run for run in runs if not within.types or run.type in within.types]
    if not within.creators:
        return typed
    seq, created = job_record.seq(record), job_record.created_at(record)
    return [run for run in typed if run.id.seq == seq or _is_since(run, created)]


def _is_since(run: Run, created: int) -> bool:
    """Whether it is no run of an earlier job. An Update changes the creation number of a job."""
    if not created or (run.ended and run.ended < created):
        return False
    is_backfilled = run.id.origin is RunOrigin.BACKFILL
    return (run.started or run.ended if is_backfilled else run.id.nominal) >= created


def own_logs(record: bytes, logs: IntervalLogs) -> IntervalLogs:
    """The same without what concerns earlier jobs with the id of this living job.

    All is dropped if the record does not tell when the job was created.
    """
    created = job_record.created_at(record)
    pauses = [each for each in logs.pauses if created and each.until >= created]
    return replace(logs, pauses=pauses, gone=())


def refused_fields(within: Limits, asked: Definition) -> Sequence[Violation]:
    """The fields by which a definition is not within the limits."""
    request = asked.request
    named = (("type", request.type, within.types), ("creator", request.creator, within.creators))
    limited = f"This caller is limited to {within}"
    return [
        Violation(field, f"{limited}: the {field} {name!r} is not allowed.")
        for field, name, allowed in named
        if allowed and name not in allowed
    ]


def jobs_within(wanted: JobFilter, within: Limits) -> JobFilter | None:
    """The same with the type and the creator, if there is but one; None: nothing can match.

    Of several types or creators each job has to be looked at: see `is_exact`.
    """
    type_, creator = wanted.type or _only(within.types), wanted.creator or _only(within.creators)
    if type_ and within.types and type_ not in within.types:
        return None
    if creator and within.creators and creator not in within.creators:
        return None
    return replace(wanted, type=type_, creator=creator)


def runs_within(wanted: RunFilter, within: Limits) -> RunFilter | None:
    """The same with the type, if there is but one; None: no run can match."""
    type_ = wanted.type or _only(within.types)
    if type_ and within.types and type_ not in within.types:
        return None
    return replace(wanted, type=type_)


def is_exact(wanted: JobFilter, within: Limits) -> bool:
    """Whether all jobs that match are within the limits."""
    return bool((wanted.type or not within.types) and (wanted.creator or not within.creators))


def events_within(wanted: EventFilter, within: Limits | None) -> EventFilter:
    """The events of the jobs that a caller may see. Raises `Forbidden`: events have no creators."""
    if within is None:
        return wanted
    refuse_creators(within, "events")
    return replace(wanted, types=within.types)


def refuse_creators(within: Limits, things: str) -> None:
    """Raise `Forbidden` if the caller is limited to creators: these things do not tell theirs."""
    if within.creators:
        raise Forbidden(
            f"This caller is limited to {within}, and {things} do not tell who created their job."
        )


def _only(names: frozenset[str]) -> str:
    """The one name; empty if there are several, or none."""
    return next(iter(names)) if len(names) == 1 else ""
