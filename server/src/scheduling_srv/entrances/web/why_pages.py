"""Why a job ran, or did not, at an instant. Each answer may read a part of the jobs topic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from starlette.responses import Response

from scheduling_client.api import explanations, logic
from scheduling_client.api.explanations import Explanation
from scheduling_client.api.jobs import Job, Outcome, Run
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.zone import zone
from scheduling_srv.domain.errors import InvalidRequest, Unavailable
from scheduling_srv.entrances.web import forms
from scheduling_srv.entrances.web.courtesy import RENEWED_BY
from scheduling_srv.entrances.web.visit import Visit

PATH = "/job/why"
DID_NOT_RUN = frozenset({Outcome.SKIPPED, Outcome.MISSED, Outcome.REFUSED})


async def why(visit: Visit) -> Response:
    """The sentences: a page, or with htmx a part of the page of the job.

    The job may be gone. A fault stands in place of the sentences: the form stays.
    """
    job_id = visit.raw_query("id")
    if not job_id:
        raise InvalidRequest("The address names no job.")
    job = next(iter(await visit.run(logic.get([job_id], 0))), None)
    place, typed = zone_of(job), visit.query("at")
    found, problem = None, ""
    at = datetime.now(UTC)
    try:
        asked = forms.instant(typed, "at", place) if typed else None
        found = await visit.run(explanations.explain(job_id, asked))
        at = asked or _subject(found) or at
    except (InvalidRequest, Unavailable) as fault:
        problem = str(fault)
    is_part = visit.request.headers.get(RENEWED_BY)
    return visit.page(
        "why_answer.html" if is_part else "why.html",
        job_id=job_id,
        is_there=job is not None,
        timezone=str(place),
        asked_at=field_of(at, place),
        found=found,
        problem=problem,
    )


def _subject(found: Explanation) -> datetime | None:
    """When the run was due that was explained."""
    return found.run.nominal_time if found.run else None


def zone_of(job: Job | None) -> tzinfo:
    """The zone of a job. UTC without a job, or with a zone that only another version knows."""
    try:
        return zone(job.spec.timezone) if job and job.spec.timezone else UTC
    except ScheduleError:
        return UTC


def field_of(instant: datetime, place: tzinfo) -> str:
    """As a field of a form shows it, to the second."""
    return instant.astimezone(place).isoformat(timespec="seconds")[: len("2027-01-31T08:00:00")]


def suggested(runs: Sequence[Run], now: datetime) -> datetime:
    """The latest time that passed without a run; now, if each of these has run."""
    passed = [run.nominal_time for run in runs if run.nominal_time and run.outcome in DID_NOT_RUN]
    return max(passed, default=now)
