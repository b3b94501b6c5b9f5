"""A backfill: first the number of runs and a question, then the deed."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from starlette.responses import Response

from scheduling_client.api import run_logic
from scheduling_client.api.jobs import Backfill, Job
from scheduling_client.api.logic import Steps
from scheduling_client.api.request_ids import new_request_id
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.entrances.web import forms, job_pages, why_pages
from scheduling_srv.entrances.web.forms import Form
from scheduling_srv.entrances.web.rendering import counted, link
from scheduling_srv.entrances.web.visit import Visit, go_to


class Span(NamedTuple):
    """Which occurrences, as the form has them."""

    job: Job
    since: datetime
    until: datetime
    most: int
    """That may be open at a time."""
    request_id: str

    def steps(self, *, dry_run: bool) -> Steps[Backfill]:
        """The call."""
        span = (self.since, self.until)
        return run_logic.backfill(self.job.id, span, self.most, self.request_id, dry_run=dry_run)


async def ask(visit: Visit) -> Response:
    """How many runs it is, and whether it is meant."""
    form = await visit.form()
    span = await _span(visit, form)
    found = await visit.run(span.steps(dry_run=True))
    return visit.page(
        "backfill.html",
        span=span,
        count=found.runs,
        typed={name: forms.text(form, name) for name in ("from", "until", "most")},
    )


async def do(visit: Visit) -> Response:
    """Begin it. A form that is sent twice begins one."""
    span = await _span(visit, await visit.form())
    done = await visit.run(span.steps(dry_run=False))
    were = "was" if done.runs == 1 else "were"
    said = f"{counted(done.runs, 'run')} {were} added, {span.most} at a time."
    return go_to(link("/job", id=span.job.id, said=said))


async def _span(visit: Visit, form: Form) -> Span:
    """Raises `InvalidRequest` and `NotFound`."""
    job = await job_pages.read(visit, forms.raw(form, "id"))
    place = why_pages.zone_of(job)
    since, until = (
        forms.instant(forms.text(form, name), name, place) for name in ("from", "until")
    )
    if until <= since:
        raise InvalidRequest("`until` must be after `from`.")
    request_id = forms.text(form, "request_id") or new_request_id()
    return Span(job, since, until, max(1, forms.whole(form, "most")), request_id)
