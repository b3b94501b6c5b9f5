"""The calls of each operation, without I/O: `Client` and `AsyncClient` both run them.

An operation is a generator. It yields a `Call`, is sent the answer, and returns its result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from scheduling_client.api.errors import NotFound
from scheduling_client.api.jobs import Filter, Job, JobSpec, Pause, Preview, Progress
from scheduling_client.api.messages import (
    changed_spec,
    filter_message,
    job_in,
    pause_in,
    preview_in,
    spec_message,
    timestamp,
)
from scheduling_client.api.request_ids import derived_id, new_request_id
from scheduling_client.api.triggers import Trigger
from scheduling_client.wire.v1 import job_pb2
from scheduling_client.wire.v1 import job_service_pb2 as service

JOBS = "scheduling.v1.JobService"
MOST_GET, MOST_IDS = 250, 10_000
"""Ids of one call."""
NO_JOB = "There is no job with the id {}."

Answer = TypeVar("Answer", bound=Message)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One call of the service."""

    path: str
    """Service and method, such as `/scheduling.v1.JobService/GetJobs`."""
    request: Message
    answer: type[Answer]
    repeatable: bool = True
    """It has the same effect if it is made twice."""
    again: Message | None = None
    """The request of a repetition; None: the same."""


Steps = Generator[Call[Any], Any, Result]


def ask(call: Call[Answer]) -> Generator[Call[Any], Any, Answer]:
    """Make one call."""
    answer: Answer = yield call
    return answer


def of_jobs(
    method: str, request: Message, answer: type[Answer], *, repeatable: bool = True
) -> Call[Answer]:
    """A call of the JobService."""
    return Call(f"/{JOBS}/{method}", request, answer, repeatable)


# --- Create, get, update ------------------------------------------------------------------------


def named(specs: Sequence[JobSpec], request_id: str, first: int = 0) -> list[JobSpec]:
    """The specs with ids that come from the request and their places, from `first` on.

    Jobs that run at once get none: they could not be found again.
    """
    return [
        spec if spec.id or _at_once(spec) else replace(spec, id=derived_id(request_id, number))
        for number, spec in enumerate(specs, first)
    ]


def _at_once(spec: JobSpec) -> bool:
    return spec.schedule is not None and spec.schedule.trigger is Trigger.NOW


def create(specs: Sequence[JobSpec], request_id: str, first: int = 0) -> Steps[list[Job]]:
    """Create all or none; the specs are those from place `first` on of the request.

    A list with a job that runs at once is sent once. Without a `request_id` a job with an id of its
    own must not exist before the first attempt. In a repetition it may be that of an earlier one.
    """
    name = request_id or new_request_id()
    new = named(specs, name, first)
    messages = [*map(spec_message, new)]
    repeated = service.CreateJobsRequest(jobs=messages, request_id=name)
    if any(map(_at_once, specs)):
        request, again = service.CreateJobsRequest(jobs=messages), None
    elif request_id or not any(spec.id for spec in specs):
        request, again = repeated, repeated
    else:
        request, again = service.CreateJobsRequest(jobs=messages), repeated
    path = f"/{JOBS}/CreateJobs"
    call = Call(path, request, service.CreateJobsResponse, again is not None, again)
    answer = yield from ask(call)
    return [job_in(each.job, existing=each.existing) for each in answer.jobs]


def create_at_once(spec: JobSpec, request_id: str) -> Steps[Job]:
    """Create a job that runs at once. A repetition within 15 minutes creates no second one.

    The service forgets the request with a loss of Redis.
    """
    new = spec if spec.id else replace(spec, id=derived_id(request_id, 0))
    request = service.CreateJobsRequest(jobs=[spec_message(new)], request_id=request_id)
    call = of_jobs("CreateJobs", request, service.CreateJobsResponse, repeatable=False)
    answer = yield from ask(call)
    return job_in(answer.jobs[0].job)


def get(ids: Sequence[str], next_times: int) -> Steps[list[Job]]:
    """The jobs that exist, in the order of the ids."""
    found: list[Job] = []
    for start in range(0, len(ids), MOST_GET):
        request = service.GetJobsRequest(ids=ids[start : start + MOST_GET], next_times=next_times)
        answer = yield from ask(of_jobs("GetJobs", request, service.GetJobsResponse))
        found += map(job_in, answer.jobs)
    return found


def get_one(job_id: str, next_times: int) -> Steps[Job]:
    """The job. Raises `NotFound`."""
    found = yield from get([job_id], next_times)
    if not found:
        raise NotFound(NO_JOB.format(job_id), code="NOT_FOUND", reason="JOB_NOT_FOUND")
    return found[0]


def update(
    job_id: str, changes: Mapping[str, Any], revision: int, *, allow_missing: bool
) -> Steps[Job]:
    """Change the properties that are given."""
    spec, paths = changed_spec(job_id, changes)
    request = service.UpdateJobRequest(job=spec, revision=revision, allow_missing=allow_missing)
    request.update_mask.paths.extend(paths)
    # A repeated call with a revision would find the revision that the first one has made.
    call = of_jobs("UpdateJob", request, service.UpdateJobResponse, repeatable=not revision)
    answer = yield from ask(call)
    return job_in(answer.job)


# --- Lists --------------------------------------------------------------------------------------


class Page(NamedTuple):
    """A page of jobs."""

    jobs: list[Job]
    token: str
    total: int | None


def list_page(where: Filter, order: int, size: int, token: str) -> Steps[Page]:
    """The page that a token names; an empty one names the first."""
    request = service.ListJobsRequest(
        filter=filter_message(where),
        order=order,  # type: ignore[arg-type] # the numbers of an enum are a type of their own
        page_size=size,
        page_token=token,
    )
    answer = yield from ask(of_jobs("ListJobs", request, service.ListJobsResponse))
    total = answer.total_size if answer.HasField("total_size") else None
    return Page([*map(job_in, answer.jobs)], answer.next_page_token, total)


# --- Bulk calls ---------------------------------------------------------------------------------

MakeRequest = Callable[[job_pb2.JobSelection, str], Message]


def bulk(
    method: str,
    answer: type[Message],
    selections: Iterable[job_pb2.JobSelection],
    make: MakeRequest,
) -> Steps[Progress]:
    """Make all steps of a bulk call. A step may be repeated: it finds the rest."""
    matched = changed = 0
    for selection in selections:
        token, more = "", True
        while more:
            found: Any = yield from ask(of_jobs(method, make(selection, token), answer))
            matched += found.progress.matched
            changed += found.progress.changed
            token = found.progress.next_page_token
            more = bool(token)
    return Progress(matched, changed)


def selections_of(ids: Sequence[str], where: Filter | None) -> list[job_pb2.JobSelection]:
    """By ids or by a filter. Raises `ValueError` for both, and for neither."""
    if bool(ids) == (where is not None):
        raise ValueError("Give ids or a filter, and not both.")
    if where is not None:
        return [job_pb2.JobSelection(filter=filter_message(where))]
    left = iter(ids)
    pieces = iter(lambda: [*islice(left, MOST_IDS)], [])
    return [job_pb2.JobSelection(ids=job_pb2.JobIds(ids=piece)) for piece in pieces]


def delete(ids: Sequence[str], where: Filter | None, *, dry_run: bool) -> Steps[Progress]:
    """Delete jobs. Unknown ids are no error."""
    return bulk(
        "DeleteJobs",
        service.DeleteJobsResponse,
        selections_of(ids, where),
        lambda selection, token: service.DeleteJobsRequest(
            selection=selection, dry_run=dry_run, page_token=token
        ),
    )


def pause(
    ids: Sequence[str], where: Filter | None, note: str, by: str, *, dry_run: bool
) -> Steps[Progress]:
    """Pause jobs. One that is paused already keeps its note."""
    return bulk(
        "PauseJobs",
        service.PauseJobsResponse,
        selections_of(ids, where),
        lambda selection, token: service.PauseJobsRequest(
            selection=selection, note=note, by=by, dry_run=dry_run, page_token=token
        ),
    )


def resume(ids: Sequence[str], where: Filter | None, *, dry_run: bool) -> Steps[Progress]:
    """End the pauses of jobs."""
    return bulk(
        "ResumeJobs",
        service.ResumeJobsResponse,
        selections_of(ids, where),
        lambda selection, token: service.ResumeJobsRequest(
            selection=selection, dry_run=dry_run, page_token=token
        ),
    )


# --- Pauses of types ----------------------------------------------------------------------------


def pause_type(job_type: str, note: str, by: str) -> Steps[Pause]:
    """The pause of the type: the earlier one if it was paused already."""
    request = service.PauseTypeRequest(type=job_type, note=note, by=by)
    answer = yield from ask(of_jobs("PauseType", request, service.PauseTypeResponse))
    return pause_in(answer.pause)


def resume_type(job_type: str) -> Steps[bool]:
    """Whether the type was paused. A repetition would not know that it was."""
    request = service.ResumeTypeRequest(type=job_type)
    answer = yield from ask(of_jobs("ResumeType", request, service.ResumeTypeResponse))
    return answer.changed


def paused_types() -> Steps[dict[str, Pause]]:
    """Type -> its pause."""
    request = service.ListPausedTypesRequest()
    answer = yield from ask(of_jobs("ListPausedTypes", request, service.ListPausedTypesResponse))
    return {each.type: pause_in(each.pause) for each in answer.types}


# --- Previews -----------------------------------------------------------------------------------


def preview(subject: JobSpec | str, count: int, after: datetime | None) -> Steps[Preview]:
    """The next times of a definition, or of the job with this id."""
    request = service.PreviewScheduleRequest(count=count, after=timestamp(after))
    if isinstance(subject, str):
        request.job_id = subject
    else:
        request.spec.CopyFrom(spec_message(subject))
    answer = yield from ask(of_jobs("PreviewSchedule", request, service.PreviewScheduleResponse))
    return preview_in(answer.preview)
