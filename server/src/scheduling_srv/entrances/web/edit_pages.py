"""New jobs, copies and changes: a form that shows the next runs while its fields are filled in."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from starlette.responses import Response

from scheduling_client.api import logic
from scheduling_client.api.jobs import (
    Backoff,
    Job,
    JobSpec,
    MissedRuns,
    Overlap,
    Payload,
    Preview,
    Priority,
)
from scheduling_client.api.request_ids import new_request_id
from scheduling_client.api.triggers import Trigger
from scheduling_srv.domain.errors import InvalidRequest, RequestError, StaleRevision, Violation
from scheduling_srv.domain.limits import Limits
from scheduling_srv.entrances.web import forms, job_form, job_pages
from scheduling_srv.entrances.web.job_form import EMPTY, GROUPS, KINDS, Filled
from scheduling_srv.entrances.web.payloads import in_thread
from scheduling_srv.entrances.web.rendering import link
from scheduling_srv.entrances.web.visit import Visit, go_to

PREVIEWED = 10
SENT_AGAIN_SECONDS = 600
"""Within which the form of a job that runs at once may be sent: requests are kept for longer."""
MAY_BE_SENT = (
    "This form was opened more than 10 minutes ago, and may have been sent. Look at the runs of the"
    " type. If it was not sent, create the job now."
)
CHOICES: Mapping[str, Sequence[str]] = {
    "priority": [each.name for each in Priority],
    "backoff": [each.name for each in Backoff],
    "overlap": [each.name for each in Overlap],
    "missed_older": ["", *(each.name for each in MissedRuns)],
}
_FIELDS = {**{group: names[-1] for group, names in GROUPS.items()}, "retry": "attempts"}
"""Of a property with several fields: the one that a fault without a name of its own stands at."""
_FIELDS |= {"missed": "missed_window", "payload": "payload"}


class Mark(NamedTuple):
    """Names a form, so that it may be sent again, and says when the page with it was made."""

    request_id: str
    opened: int
    """In seconds since 1970."""

    @classmethod
    def new(cls) -> Mark:
        """Of a page that is made now."""
        return cls(new_request_id(), int(time.time()))

    @classmethod
    def of(cls, form: forms.Form) -> Mark:
        """As it was sent."""
        return cls(forms.text(form, "request_id"), forms.whole(form, "opened"))

    @property
    def is_old(self) -> bool:
        """Whether the service may have forgotten that the form was sent."""
        return time.time() - self.opened > SENT_AGAIN_SECONDS

    def fresh(self) -> Mark:
        """For the same form, on a new page."""
        return Mark.new() if self.is_old else self


async def new(visit: Visit) -> Response:
    """An empty form, or that of a copy."""
    original = visit.raw_query("copy")
    if not original:
        return _form(visit, {**EMPTY, **_only(visit.guest.visitor.caller.limits)})
    spec = (await job_pages.read(visit, original)).spec
    fields = {**await _shown(visit, spec), "id": ""}
    return _form(visit, fields, copied=original, keeps=_keeps_payload(visit, spec))


def _only(limits: Limits | None) -> dict[str, str]:
    """The type and the creator, if the caller may have but one."""
    named = {"type": limits.types, "creator": limits.creators} if limits else {}
    return {field: next(iter(names)) for field, names in named.items() if len(names) == 1}


async def edit(visit: Visit) -> Response:
    """The form of a job that exists."""
    found = await job_pages.read(visit, visit.raw_query("id"))
    fields = await _shown(visit, found.spec)
    keeps = _keeps_payload(visit, found.spec)
    return _form(visit, fields, editing=True, revision=found.revision, keeps=keeps)


async def create(visit: Visit) -> Response:
    """Create the job of the form. A form that is sent twice creates one."""
    form = await visit.form()
    fields, copied, mark = _fields(form), forms.raw(form, "copied"), Mark.of(form)
    kept = await _kept_payload(visit, copied) if copied else None
    try:
        spec = Filled(fields).spec()
        spec = spec if kept is None else replace(spec, payload=kept)
        made = await _create(visit, spec, mark, _name_of(mark.request_id, fields, copied))
    except RequestError as fault:
        return _form(
            visit, fields, copied=copied, keeps=kept is not None, fault=fault, mark=mark.fresh()
        )
    if fields["kind"] == "now":
        return go_to(link("/jobs", said=f"A run of {made.type} was emitted. It leaves no job."))
    said = "A job with this unique key existed." if made.existing else "The job was created."
    return go_to(link("/job", id=made.id, said=said))


async def _create(visit: Visit, spec: JobSpec, mark: Mark, name: str) -> Job:
    """A job that runs at once cannot be found again: the service remembers its request."""
    if not name or not spec.schedule or spec.schedule.trigger is not Trigger.NOW:
        return (await visit.run(logic.create([spec], name)))[0]
    if mark.is_old:
        raise InvalidRequest(MAY_BE_SENT)
    return await visit.run(logic.create_at_once(spec, name))


def _name_of(request_id: str, fields: Mapping[str, str], copied: str) -> str:
    """Names a request by its form and what was typed: who goes back and changes it, means more."""
    if not request_id:
        return ""
    typed = json.dumps([request_id, dict(fields), copied], sort_keys=True)
    return hashlib.sha256(typed.encode()).hexdigest()


async def update(visit: Visit) -> Response:
    """Change the properties whose fields differ from the job that the form was made of."""
    form = await visit.form()
    fields, job_id = _fields(form), forms.raw(form, "id")
    revision = forms.whole(form, "revision")
    found = await job_pages.read(visit, job_id)
    keeps = _keeps_payload(visit, found.spec)
    try:
        if revision and found.revision != revision:
            raise StaleRevision(
                "The job was changed since you opened this form. Open it again to see the change."
            )
        before = await _shown(visit, found.spec)
        changes = Filled(fields).changes(before)
        if changes:
            await visit.run(logic.update(job_id, changes, revision, allow_missing=False))
    except RequestError as fault:
        return _form(visit, fields, editing=True, revision=revision, keeps=keeps, fault=fault)
    said = "The job was changed." if changes else "Nothing was changed."
    return go_to(link("/job", id=job_id, said=said))


async def preview(visit: Visit) -> Response:
    """The words and the next runs of a form: a part of the page, or the whole without htmx."""
    form = await visit.form()
    fields = _fields(form)
    found, problem = None, ""
    try:
        found = await _previewed(visit, fields)
    except RequestError as fault:
        problem = str(fault)
    if visit.request.headers.get("hx-request"):
        return visit.page("preview.html", preview=found, problem=problem)
    return _form(
        visit,
        fields,
        editing=bool(forms.text(form, "editing")),
        revision=forms.whole(form, "revision"),
        copied=forms.raw(form, "copied"),
        keeps=bool(forms.text(form, "keeps")),
        mark=Mark.of(form),
        preview_of=found,
        problem=problem,
    )


async def _previewed(visit: Visit, fields: Mapping[str, str]) -> Preview | None:
    """Only the fields of the schedule count. None: there is none yet."""
    if fields["kind"] != "now" and not fields["schedule"].strip():
        return None
    names = ("kind", "schedule", "timezone", "start_time", "end_time", "max_runs")
    spec = Filled({**EMPTY, **{name: fields[name] for name in names}}).spec()
    return await visit.run(logic.preview(spec, PREVIEWED, None))


def _form(
    visit: Visit,
    fields: Mapping[str, str],
    *,
    editing: bool = False,
    revision: int = 0,
    copied: str = "",
    keeps: bool = False,
    fault: RequestError | None = None,
    preview_of: Preview | None = None,
    problem: str = "",
    mark: Mark | None = None,
) -> Response:
    faults = _faults(fault) if fault else {}
    return visit.page(
        "edit.html",
        status=400 if isinstance(fault, InvalidRequest) else 409 if fault else 200,
        fields=fields,
        kinds=KINDS,
        choices=CHOICES,
        editing=editing,
        revision=revision,
        copied=copied,
        keeps_payload=keeps,
        sentence=str(fault) if fault else "",
        faults=faults,
        shown={name for name in EMPTY if name in faults or fields[name] != EMPTY[name]},
        preview=preview_of,
        problem=problem,
        mark=mark or Mark.new(),
    )


def _faults(fault: RequestError) -> dict[str, str]:
    """Field of the form -> the fault of it."""
    return {_field(each): each.description for each in fault.violations}


def _field(violation: Violation) -> str:
    """From `jobs[0].schedule.interval` or `job.retry.delay` to the name of a field."""
    path = violation.field.removeprefix("jobs[0].").removeprefix("job.").removeprefix("spec.")
    first, _, rest = path.partition(".")
    return rest if rest in EMPTY and first == "retry" else _FIELDS.get(first, first)


def _fields(form: forms.Form) -> dict[str, str]:
    return {name: forms.raw(form, name) for name in EMPTY}


def _keeps_payload(visit: Visit, spec: JobSpec) -> bool:
    """Whether the payload stays as it is: the form cannot, or must not, show it."""
    return visit.site.masks_payloads or not job_form.is_editable(spec)


async def _kept_payload(visit: Visit, original: str) -> tuple[Payload, ...] | None:
    """The payload of the job that is copied, if the form does not have it."""
    spec = (await job_pages.read(visit, original)).spec
    return spec.payload if _keeps_payload(visit, spec) else None


async def _shown(visit: Visit, spec: JobSpec) -> dict[str, str]:
    """The texts of the fields."""
    shown = replace(spec, payload=()) if _keeps_payload(visit, spec) else spec
    return await in_thread(job_form.fields_of, shown)
