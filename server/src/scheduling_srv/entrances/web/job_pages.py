"""One job, and what can be done with it."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response

from scheduling_client.api import logic, run_logic
from scheduling_client.api.jobs import Job, Preview, RunFilter
from scheduling_client.api.request_ids import new_request_id
from scheduling_srv.domain.errors import InvalidRequest, NotFound, RequestError
from scheduling_srv.entrances.web import forms, strips, why_pages
from scheduling_srv.entrances.web.rendering import link
from scheduling_srv.entrances.web.visit import Visit, go_to

NEXT_TIMES = 10
LAST_RUNS = 30
"""Also open ones: of ended runs the last ten are kept."""


async def job(visit: Visit) -> Response:
    """Its schedule, its next times, its properties and its payload."""
    found = await read(visit, visit.raw_query("id"))
    preview, problem = await _preview(visit, found)
    masked, place = visit.site.masks_payloads, why_pages.zone_of(found)
    runs = (await visit.run(run_logic.list_page(RunFilter(job_id=found.id), LAST_RUNS, ""))).runs
    return visit.page(
        "job.html",
        job=found,
        preview=preview,
        problem=problem,
        runs=runs,
        strip=strips.of_runs(runs, found.spec.jitter),
        timezone=str(place),
        asked_at=why_pages.field_of(why_pages.suggested(runs, datetime.now(UTC)), place),
        request_id=new_request_id(),
        masked=masked,
        payloads=[] if masked else await visit.site.payloads.shown(found.spec.payload),
    )


async def read(visit: Visit, job_id: str) -> Job:
    """The job. Raises `NotFound`."""
    if not job_id:
        raise InvalidRequest("The address names no job.")
    found = await visit.run(logic.get([job_id], NEXT_TIMES))
    if not found:
        raise NotFound(
            f"There is no job with the id {job_id}. It may have ended, or it was deleted."
        )
    return found[0]


async def _preview(visit: Visit, found: Job) -> tuple[Preview | None, str]:
    """The next times, or a sentence that tells why there are none."""
    try:
        return await visit.run(logic.preview(found.id, NEXT_TIMES, None)), ""
    except RequestError as fault:
        return None, str(fault)


# --- Actions ------------------------------------------------------------------------------------


async def pause(visit: Visit) -> Response:
    """Pause it, with a note."""
    form = await visit.form()
    job_id, note = forms.raw(form, "id"), forms.text(form, "note")
    by = visit.guest.visitor.caller.name
    done = await visit.run(logic.pause([job_id], None, note, by, dry_run=False))
    return _shown(job_id, "The job is paused." if done.changed else "The job was paused already.")


async def resume(visit: Visit) -> Response:
    """End its pause."""
    job_id = forms.raw(await visit.form(), "id")
    done = await visit.run(logic.resume([job_id], None, dry_run=False))
    return _shown(
        job_id, "The pause of the job has ended." if done.changed else "The job was not paused."
    )


async def run(visit: Visit) -> Response:
    """One more run at once. A form that is sent twice makes one."""
    form = await visit.form()
    job_id, name = forms.raw(form, "id"), forms.text(form, "request_id")
    started = await visit.run(run_logic.run_now([job_id], None, name, dry_run=False))
    if not started.changed:
        raise NotFound(f"There is no job with the id {job_id}.")
    return _shown(job_id, "A run was started.")


async def delete(visit: Visit) -> Response:
    """Delete it: the form asks first."""
    form = await visit.form()
    job_id = forms.raw(form, "id")
    if not forms.text(form, "sure"):
        raise InvalidRequest("Tick the box if you want to delete this job.")
    done = await visit.run(logic.delete([job_id], None, dry_run=False))
    said = f"The job {job_id} was deleted." if done.changed else f"There was no job {job_id}."
    return go_to(link("/jobs", said=said))


async def pause_type(visit: Visit) -> Response:
    """Pause all jobs of a type, and those that are created later."""
    form = await visit.form()
    job_type, note = forms.raw(form, "type"), forms.text(form, "note")
    await visit.run(logic.pause_type(job_type, note, visit.guest.visitor.caller.name))
    return go_to(link("/jobs", type=job_type, said=f"The type {job_type} is paused."))


async def resume_type(visit: Visit) -> Response:
    """End the pause of a type."""
    job_type = forms.raw(await visit.form(), "type")
    was_paused = await visit.run(logic.resume_type(job_type))
    ended = f"The pause of the type {job_type} has ended."
    said = ended if was_paused else f"The type {job_type} was not paused."
    return go_to(link("/jobs", type=job_type, said=said))


def _shown(job_id: str, said: str) -> Response:
    return go_to(link("/job", id=job_id, said=said))
