"""Requests of scheduling.v1, from bytes. Each function raises `InvalidRequest` and `TooLarge`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from scheduling_client.wire.v1 import job_pb2 as v1
from scheduling_client.wire.v1 import job_service_pb2 as service
from scheduling_srv.domain import labels
from scheduling_srv.domain.bulk import BulkCall, Selection
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobFilter, JobState, ListOrder
from scheduling_srv.domain.validation import MAX_TEXT, too_large
from scheduling_srv.formats.items import SIZED, Malformed, fields
from scheduling_srv.formats.parsing import parse_whole
from scheduling_srv.formats.v1.faults import check_size, fault_in, too_many
from scheduling_srv.formats.v1.meaning import means_the_same
from scheduling_srv.formats.v1.specs import DEFAULT_TIMEZONE, definition_of, field_named, spec_of
from scheduling_srv.formats.v1.times import instant_of
from scheduling_srv.runtime.time_slice import SharedSlice

JOB_SERVICE = service.DESCRIPTOR.services_by_name["JobService"].full_name
MOST_GET, MOST_BULK = 250, 10_000
"""Ids of one call."""
MOST_NEXT, MOST_PREVIEWED = 100, 1_000
"""Times of one job."""
MOST_LISTED, DEFAULT_LISTED = 1_000, 100
"""Jobs of a page."""
MOST_PATHS = 100
"""Of a field mask."""
LONGEST_REQUEST_ID, LONGEST_NOTE, LONGEST_BY = 255, 1024, 255
"""Bytes."""
SLACK_BYTES = 4_000
"""By which a serialized spec may be longer than its record."""
_ORDERS = {
    service.ListJobsRequest.ORDER_UNSPECIFIED: ListOrder.CREATED,
    service.ListJobsRequest.ORDER_CREATED: ListOrder.CREATED,
    service.ListJobsRequest.ORDER_NEWEST: ListOrder.NEWEST,
    service.ListJobsRequest.ORDER_NEXT_DUE: ListOrder.NEXT_DUE,
}
_STATES = {v1.JobState.Value(f"JOB_STATE_{each.name}"): each for each in JobState}
_WHOLE = ("schedule.", "missed.")
_JOBS = service.CreateJobsRequest.JOBS_FIELD_NUMBER


class CreateCall(NamedTuple):
    """A CreateJobsRequest."""

    definitions: Sequence[Definition]
    request_id: str


class GetCall(NamedTuple):
    """A GetJobsRequest."""

    ids: Sequence[str]
    next_times: int


class UpdateCall(NamedTuple):
    """An UpdateJobRequest whose mask was checked."""

    job: v1.JobSpec
    paths: Sequence[str]
    revision: int
    allow_missing: bool


class PauseCall(NamedTuple):
    """A PauseJobsRequest."""

    call: BulkCall
    note: str
    by: str


class PauseTypeCall(NamedTuple):
    """A PauseTypeRequest."""

    type: str
    note: str
    by: str


class ListCall(NamedTuple):
    """A ListJobsRequest."""

    wanted: JobFilter
    order: ListOrder
    size: int
    """Jobs of a page, at most."""
    token: str


class PreviewCall(NamedTuple):
    """A PreviewScheduleRequest."""

    subject: Definition | str
    """A definition, or the id of a job."""
    most: int
    """Times."""
    after: int | None


# --- Create -------------------------------------------------------------------------------------


async def read_create(
    raw: bytes, trace: bytes, limit: int, largest: int, *, latest: bool = True
) -> CreateCall:
    """A CreateJobsRequest, job by job: no more than one message is there at a time.

    `limit` jobs of `largest` bytes; `latest` as in `definition_of`.
    """
    places, request_id = _places(raw, limit, largest + SLACK_BYTES)
    definitions, time_slice = list[Definition](), SharedSlice()
    for index, (start, end) in enumerate(places):
        with_faults = _Place(index)
        definitions.append(with_faults.read(raw[start:end], trace, latest=latest))
        if time_slice.used:
            await time_slice.pause()
    return CreateCall(definitions, request_id)


class _Place:
    """The place of a job in the list, which its faults name."""

    def __init__(self, index: int) -> None:
        self.index = index

    def read(self, raw: bytes, trace: bytes, *, latest: bool) -> Definition:
        try:
            return definition_of(parse_whole(v1.JobSpec, raw), trace, latest=latest)
        except InvalidRequest as fault:
            raise InvalidRequest(
                str(fault), [self._of(each) for each in fault.violations]
            ) from None

    def _of(self, violation: Violation) -> Violation:
        path = f"jobs[{self.index}].{violation.field}".rstrip(".")
        return Violation(path, f"Job {self.index}: {violation.description}")


def _places(raw: bytes, limit: int, largest: int) -> tuple[Sequence[tuple[int, int]], str]:
    """Where the jobs lie, and the request id."""
    kind, places, rest = service.CreateJobsRequest, list[tuple[int, int]](), list[bytes]()
    at = 0
    try:
        for field in fields(raw):
            if field.number != _JOBS or field.wire_type != SIZED:
                rest.append(raw[at : field.end])
            elif len(places) == limit:
                raise too_many("jobs", f"more than {limit}", limit)
            elif field.end - field.start > largest:
                raise fault_in(f"jobs[{len(places)}]", too_large(largest - SLACK_BYTES))
            else:
                places.append((field.start, field.end))
            at = field.end
    except Malformed as fault:
        name = kind.DESCRIPTOR.full_name
        raise InvalidRequest(f"The message cannot be read as {name}.") from fault
    request_id = parse_whole(kind, b"".join(rest)).request_id
    check_size("request_id", request_id, LONGEST_REQUEST_ID)
    return places, request_id


# --- Other methods ------------------------------------------------------------------------------


def decode_get(raw: bytes) -> GetCall:
    """A GetJobsRequest."""
    request = parse_whole(service.GetJobsRequest, raw)
    if not request.ids:
        raise fault_in("ids", "No ids are given.")
    if len(request.ids) > MOST_GET:
        raise too_many("ids", len(request.ids), MOST_GET)
    _check_most("next_times", request.next_times, MOST_NEXT)
    return GetCall(list(request.ids), request.next_times or 1)


def decode_update(raw: bytes, largest: int) -> UpdateCall:
    """An UpdateJobRequest. Without a mask the properties change that are set."""
    if len(raw) > largest + SLACK_BYTES:
        raise fault_in("job", too_large(largest))
    request = parse_whole(service.UpdateJobRequest, raw)
    if not request.job.id:
        raise fault_in("job.id", "Job id not specified.")
    return UpdateCall(request.job, _paths(request), int(request.revision), request.allow_missing)


def _paths(request: service.UpdateJobRequest) -> Sequence[str]:
    paths = list(request.update_mask.paths)
    if len(paths) > MOST_PATHS:
        raise too_many("update_mask", len(paths), MOST_PATHS)
    if not paths:
        paths = [field.name for field, _ in request.job.ListFields()]
    if "*" in paths:
        paths = [field.name for field in v1.JobSpec.DESCRIPTOR.fields]
    for path in paths:
        if not FieldMask(paths=[path]).IsValidForDescriptor(v1.JobSpec.DESCRIPTOR):
            raise fault_in("update_mask", f"A job has no property {path!r}.")
    # A schedule and the reach of `missed` are a choice of one: they are replaced as a whole.
    whole = (path.partition(".")[0] if path.startswith(_WHOLE) else path for path in paths)
    return [path for path in dict.fromkeys(whole) if path != "id"]


class Changed(NamedTuple):
    """A stored job after an update."""

    definition: Definition
    differs: bool
    """Whether any property means something else."""
    new_phase: bool
    """Whether `start_time` is another one."""


def merged(
    stored: StoredJob, call: UpdateCall, trace: bytes = b"", *, latest: bool = True
) -> Changed:
    """The stored job with the properties of the call."""
    spec, before = spec_of(stored), spec_of(stored)
    for path in call.paths:
        _take_over(call.job, spec, path)
    spec.timezone = spec.timezone or DEFAULT_TIMEZONE
    definition = definition_of(spec, trace, stored, latest=latest)
    differs = not means_the_same(definition, definition_of(before, replaced=stored, latest=latest))
    return Changed(definition, differs, spec.start_time != before.start_time)


def new_definition(call: UpdateCall, trace: bytes = b"", *, latest: bool = True) -> Definition:
    """A new job with the properties of the call."""
    spec = v1.JobSpec(id=call.job.id)
    for path in call.paths:
        _take_over(call.job, spec, path)
    return definition_of(spec, trace, latest=latest)


def _take_over(source: Message, target: Message, path: str) -> None:
    """Set one property to that of `source`, or clear it if it is not set there."""
    name, _, rest = path.partition(".")
    if rest:
        _take_over(getattr(source, name), getattr(target, name), rest)
        return
    target.ClearField(name)
    field = source.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        getattr(target, name).MergeFrom(getattr(source, name))
    elif field.message_type is None:
        setattr(target, name, getattr(source, name))
    elif source.HasField(name):
        getattr(target, name).CopyFrom(getattr(source, name))


def decode_list(raw: bytes) -> ListCall:
    """A ListJobsRequest."""
    request = parse_whole(service.ListJobsRequest, raw)
    _check_most("page_size", request.page_size, MOST_LISTED)
    if request.order not in _ORDERS:
        raise fault_in("order", f"The number {request.order} is none of the enum.")
    wanted = job_filter_of(request.filter, "filter")
    return ListCall(
        wanted, _ORDERS[request.order], request.page_size or DEFAULT_LISTED, request.page_token
    )


def decode_delete(raw: bytes) -> BulkCall:
    """A DeleteJobsRequest."""
    request = parse_whole(service.DeleteJobsRequest, raw)
    return BulkCall(selection_of(request.selection), request.dry_run, request.page_token)


def decode_pause(raw: bytes) -> PauseCall:
    """A PauseJobsRequest."""
    request = parse_whole(service.PauseJobsRequest, raw)
    check_size("note", request.note, LONGEST_NOTE)
    check_size("by", request.by, LONGEST_BY)
    call = BulkCall(selection_of(request.selection), request.dry_run, request.page_token)
    return PauseCall(call, request.note, request.by)


def decode_resume(raw: bytes) -> BulkCall:
    """A ResumeJobsRequest."""
    request = parse_whole(service.ResumeJobsRequest, raw)
    return BulkCall(selection_of(request.selection), request.dry_run, request.page_token)


def decode_pause_type(raw: bytes) -> PauseTypeCall:
    """A PauseTypeRequest."""
    request = parse_whole(service.PauseTypeRequest, raw)
    _check_type(request.type)
    check_size("note", request.note, LONGEST_NOTE)
    check_size("by", request.by, LONGEST_BY)
    return PauseTypeCall(request.type, request.note, request.by)


def decode_resume_type(raw: bytes) -> str:
    """A ResumeTypeRequest; returns the type."""
    request = parse_whole(service.ResumeTypeRequest, raw)
    _check_type(request.type)
    return request.type


def decode_paused_types(raw: bytes) -> None:
    """A ListPausedTypesRequest. It says nothing."""
    parse_whole(service.ListPausedTypesRequest, raw)


def _check_type(text: str) -> None:
    if not text:
        raise fault_in("type", "No type is given.")
    check_size("type", text, MAX_TEXT)


def selection_of(selection: v1.JobSelection) -> Selection:
    """The jobs of a bulk call."""
    kind = selection.WhichOneof("selection")
    if kind is None:
        raise fault_in("selection", "No jobs are selected: give ids or a filter.")
    if kind == "filter":
        return job_filter_of(selection.filter, "selection.filter")
    ids = list(dict.fromkeys(selection.ids.ids))
    if not ids:
        raise fault_in("selection.ids", "No ids are given.")
    if len(ids) > MOST_BULK:
        raise too_many("selection.ids", len(ids), MOST_BULK)
    return ids


def job_filter_of(given: v1.JobFilter, path: str) -> JobFilter:
    """A JobFilter, which is the field `path` of its request."""
    for sentence in labels.faults(given.labels):
        raise fault_in(f"{path}.labels", sentence)
    unknown = [number for number in given.states if number not in _STATES]
    if unknown:
        raise fault_in(f"{path}.states", f"The number {unknown[0]} is none of the states.")
    times = {}
    for name in ("due_from", "due_until"):
        if given.HasField(name):
            with field_named(f"{path}.{name}"):
                times[name] = instant_of(getattr(given, name))
    states = frozenset(_STATES[number] for number in given.states)
    return JobFilter(
        given.type, given.creator, dict(given.labels), given.id_prefix, states, **times
    )


def decode_preview(raw: bytes, largest: int) -> PreviewCall:
    """A PreviewScheduleRequest."""
    if len(raw) > largest + SLACK_BYTES:
        raise fault_in("spec", too_large(largest))
    request = parse_whole(service.PreviewScheduleRequest, raw)
    subject = request.WhichOneof("subject")
    if subject is None:
        raise fault_in("spec", "Nothing to preview: give a spec or a job id.")
    _check_most("count", request.count, MOST_PREVIEWED)
    after = instant_of(request.after) if request.HasField("after") else None
    chosen = definition_of(request.spec) if subject == "spec" else request.job_id
    return PreviewCall(chosen, request.count or 10, after)


def _check_most(field: str, number: int, most: int) -> None:
    if number > most:
        raise fault_in(field, f"The number {number} is larger than {most}.")
