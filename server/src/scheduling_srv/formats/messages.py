"""The protobuf messages: they are read and written here and go no further (docs/contract.md).

Bytes in, domain objects out, and back; calls, records and what this service has stored use it. What
is not the message that it should be is an `InvalidRequest`: truncated, not UTF-8, or a known field
with a wrong wire type, which protobuf itself would take for a field of the future and silently
ignore.

It lies on the path of every job, where each touch of an object costs: no loop here does anything
that it could leave to protobuf.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from scheduling_client.schedules.recurrence import Recurrence
from scheduling_client.wire import commandinterface_pb2 as commands
from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire import resourcebase_pb2 as resources
from scheduling_srv.domain.backoff import LONGEST_MS
from scheduling_srv.domain.errors import InvalidRequest, TooLarge, Violation
from scheduling_srv.domain.job import (
    LONGEST_ERROR,
    Answer,
    JobRequest,
    ReadQuery,
    StoredJob,
    Trigger,
    TriggerKind,
)
from scheduling_srv.domain.trigger import CronText, recurrence
from scheduling_srv.domain.validation import DEFAULTS, too_large, too_many
from scheduling_srv.formats import job_record
from scheduling_srv.formats.items import SIZED, VARINT, Malformed, fields
from scheduling_srv.formats.job_record import job_message, size_varint, sized, varint
from scheduling_srv.formats.parsing import check_wire_types, decode, misfits, parse
from scheduling_srv.formats.selection import Selection, select
from scheduling_srv.runtime.pieces import pieces
from scheduling_srv.runtime.time_slice import SharedSlice

JOB_SERVICE = jobs.DESCRIPTOR.services_by_name["Service"].full_name
COMMAND_SERVICE = commands.DESCRIPTOR.services_by_name["Service"].full_name

DEFAULT_TIMEZONE = "UTC"
PAYLOAD_TYPE = "payload"
"""The type_url of what commands answer (docs/contract.md)."""

LIST_ITEM, _LIST_TOTAL = b"\x0a", b"\x10"
"""The tags of a JobList's fields."""
_ITEMS, _TOTAL_COUNT = 1, 2
_LIST_TYPES = {_ITEMS: SIZED, _TOTAL_COUNT: VARINT}
LONG_LIST_BYTES = 200_000
"""A longer JobList is read item by item; protobuf reads a shorter one in a millisecond."""
READ_AT_ONCE = 16
"""Jobs that are read before the clock is read."""
SLACK_BYTES = 1_000
"""By which a serialized job may be longer than its record."""
LONG_ANSWER_BYTES = 4_000_000
"""A longer answer is put together in another thread; a shorter one takes a millisecond."""
MOST_FIELDS = 1_000
"""Field names of a Read."""
_COLLECTION, _IDS = 1, 2
_NO_TEXT = CronText("", "")


class ReadCall(NamedTuple):
    """A JobReadRequest."""

    query: ReadQuery
    fields: Selection | None
    """Which fields the answer holds; None: all."""


class DeleteCall(NamedTuple):
    """A DeleteRequest, or the Deleted event of somebody else."""

    ids: Sequence[str]
    everything: bool


class CommandCall(NamedTuple):
    """A CommandRequest."""

    name: str
    payload: bytes | None
    """The payload's value; None if there was none."""


# --- In -----------------------------------------------------------------------------------------


def decode_job_list(
    raw: bytes, trace: bytes = b"", limit: int = DEFAULTS.max_items
) -> list[JobRequest]:
    """The jobs of a JobList, unchecked; `trace` is the trace context that each of them gets.

    Raises `InvalidRequest` for bytes that are no JobList, `TooLarge` for more than `limit` items.
    """
    items = parse(jobs.JobList, raw).items
    _check_count(len(items), limit)
    return [_job_request(job, trace) for job in items]


async def read_job_list(
    raw: bytes,
    trace: bytes = b"",
    limit: int = DEFAULTS.max_items,
    largest: int = DEFAULTS.max_job_bytes,
) -> list[JobRequest]:
    """As `decode_job_list`, but a long list gives the event loop back between its items.

    An item of more than `largest` bytes is an `InvalidRequest` before it is read.
    """
    if len(raw) <= LONG_LIST_BYTES:
        parsed = parse(jobs.JobList, raw).items
        _check_count(len(parsed), limit)
        if len(parsed) <= READ_AT_ONCE:  # most calls: nothing else may cost them time
            return [_job_request(job, trace) for job in parsed]
        found: Iterable[Sequence[jobs.Job]] = pieces(parsed, READ_AT_ONCE)
    else:
        found = ((job,) for job in _items(raw, limit, largest + SLACK_BYTES))
    requests, time_slice = list[JobRequest](), SharedSlice()
    for piece in found:
        requests += [_job_request(job, trace) for job in piece]
        if time_slice.used:
            await time_slice.pause()
    return requests


def _check_count(count: int, limit: int, what: str = "items") -> None:
    if count > limit:
        sentence = too_many(count, what, limit)
        raise TooLarge(sentence, [Violation(what, sentence)])


def _items(raw: bytes, limit: int, largest: int) -> Iterator[jobs.Job]:
    """The items of a long list, of which no more than one is there at a time."""
    kind = jobs.JobList.DESCRIPTOR.full_name
    count = 0
    try:
        for field in fields(raw):
            known = jobs.JobList.DESCRIPTOR.fields_by_number.get(field.number)
            if known and field.wire_type != _LIST_TYPES[field.number]:
                sentence = f"Field {known.name} of {kind} has a wrong wire type."
                raise InvalidRequest(sentence, [Violation(known.name, sentence)])
            count += field.number == _ITEMS
            if count > limit:
                sentence = too_many(f"more than {limit}", "items", limit)
                raise TooLarge(sentence, [Violation("items", sentence)])
    except Malformed as fault:
        raise InvalidRequest(f"The message cannot be read as {kind}.") from fault
    items = (each for each in fields(raw) if each.number == _ITEMS)
    for index, item in enumerate(items):
        if item.end - item.start > largest:
            sentence = f"Item {index}: {too_large(largest - SLACK_BYTES)}"
            raise InvalidRequest(sentence, [Violation(f"items[{index}].data", sentence)])
        try:
            yield jobs.Job.FromString(raw[item.start : item.end])
        except DecodeError as fault:
            raise InvalidRequest(f"The message cannot be read as {kind}.") from fault


def _job_request(job: jobs.Job, trace: bytes) -> JobRequest:
    if len(UnknownFieldSet(job)):
        check_wire_types(job)
    data, timezone, creator = _data(job)
    job_id, job_type = job.id, job.type
    delay, kind = _backoff(job)
    job.ClearField("id")
    job.ClearField("type")
    job.ClearField("data")
    return JobRequest(
        job_id,
        job_type,
        timezone,
        creator,
        data,
        job.SerializeToString(),
        job.priority,
        job.attempts,
        kind,
        delay,
        job.parallel,
        job.interval,
        job.when,
        job.now,
        trace,
    )


def _data(job: jobs.Job) -> tuple[bytes | None, str, str]:
    """The serialized Data with its time zone filled in, the time zone and the creator."""
    if not job.HasField("data"):
        return None, DEFAULT_TIMEZONE, ""
    data = job.data
    if len(UnknownFieldSet(data)):
        check_wire_types(data)
    timezone = data.timezone
    if not timezone:
        data.timezone = timezone = DEFAULT_TIMEZONE
    return data.SerializeToString(), timezone, data.creator


def _backoff(job: jobs.Job) -> tuple[float, int]:
    if not job.HasField("backoff"):
        return 0.0, 0
    backoff = job.backoff
    if len(UnknownFieldSet(backoff)):
        check_wire_types(backoff)
    return backoff.delay, backoff.type


def decode_read(raw: bytes, limit: int = DEFAULTS.max_items) -> ReadCall:
    """A JobReadRequest. UNSORTED is ascending, as a list of unknown order is of no use to anybody.

    Raises `InvalidRequest`, also for names of fields that jobs do not have, and `TooLarge` for more
    than `limit` ids.
    """
    request = parse(jobs.JobReadRequest, raw)
    check_wire_types(request.filter)
    _check_count(len(request.filter.jobs_ids), limit, "ids")
    if len(request.field) > MOST_FIELDS:
        sentence = f"The request names more than {MOST_FIELDS} fields."
        raise InvalidRequest(sentence, [Violation("field", sentence)])
    if request.sort not in jobs.JobReadRequest.SortOrder.values():
        sentence = "The sort order is none of UNSORTED, ASCENDING and DESCENDING."
        raise InvalidRequest(sentence, [Violation("sort", sentence)])
    names = [(each.name, each.include) for each in request.field]
    query = ReadQuery(
        request.filter.creator,
        list(request.filter.jobs_ids),
        request.sort == jobs.JobReadRequest.DESCENDING,
        request.limit,
    )
    return ReadCall(query, select(jobs.Job.DESCRIPTOR, names))


def decode_delete(raw: bytes, limit: int = DEFAULTS.max_items) -> DeleteCall:
    """A DeleteRequest or a Deleted; these differ in the wire type of field 1 (docs/contract.md).

    Raises `InvalidRequest`, also for bytes that could be read either way, and `TooLarge` for more
    than `limit` ids.
    """
    request = decode(resources.DeleteRequest, raw)
    _check_count(len(request.ids), limit, "ids")
    # The other fields are ignored, so it does not matter what is in them.
    strange = misfits(request) & {_COLLECTION, _IDS}
    if not strange:
        return DeleteCall(list(request.ids), request.collection)
    if strange == {_COLLECTION} and not request.ids:
        return DeleteCall([parse(jobs.Deleted, raw).id], everything=False)
    raise InvalidRequest("The message is neither a DeleteRequest nor a Deleted.")


def decode_answer(raw: bytes, *, failed: bool, occurrence: bytes = b"") -> Answer:
    """A JobDone, or a JobFailed if it says `failed`. Its schedule_type is not believed.

    `occurrence` is the header `occurrence-id`. Raises `InvalidRequest`.
    """
    if not failed:
        return Answer(parse(jobs.JobDone, raw).id, failed=False, occurrence=occurrence)
    answer = parse(jobs.JobFailed, raw)
    return Answer(
        answer.id,
        failed=True,
        error=at_most(answer.error, LONGEST_ERROR),
        retry_after=min(answer.retry_after_ms, LONGEST_MS),
        final=answer.final,
        occurrence=occurrence,
    )


def decode_heartbeat(raw: bytes, occurrence: bytes = b"") -> Answer:
    """A jobHeartbeat, which has the shape of a JobDone. Raises `InvalidRequest`."""
    instance = parse(jobs.JobDone, raw).id
    return Answer(instance, failed=False, heartbeat=True, occurrence=occurrence)


def at_most(text: str, size: int) -> str:
    """The beginning of a text, in whole characters, that has at most `size` bytes."""
    return text.encode()[:size].decode(errors="ignore")


def decode_command(raw: bytes) -> CommandCall:
    """A CommandRequest. Raises `InvalidRequest`."""
    request = parse(commands.CommandRequest, raw)
    if not request.HasField("payload"):
        return CommandCall(request.name, None)
    check_wire_types(request.payload)
    return CommandCall(request.name, request.payload.value)


# --- Out ----------------------------------------------------------------------------------------


def encode_items(stored: Iterable[StoredJob], selection: Selection | None) -> bytes:
    """A piece of a JobList of the selected fields; pieces concatenate, `encode_total` ends it."""
    return b"".join([_item(job, selection) for job in stored])


async def write_items(stored: Sequence[StoredJob], selection: Selection | None) -> bytes:
    """As `encode_items`, but gives the event loop back between items."""
    if len(stored) <= READ_AT_ONCE:
        return encode_items(stored, selection)
    parts, time_slice = list[bytes](), SharedSlice()
    for piece in pieces(stored, READ_AT_ONCE):
        parts.append(encode_items(piece, selection))
        if time_slice.used:
            await time_slice.pause()
    return b"".join(parts)


async def join(pieces: Sequence[bytes]) -> bytes:
    """The pieces of a JobList. Of many bytes this takes long: then another thread does it."""
    if sum(map(len, pieces)) <= LONG_ANSWER_BYTES:
        return b"".join(pieces)
    return await asyncio.to_thread(b"".join, pieces)


def encode_total(total: int) -> bytes:
    """The last piece of a JobList."""
    return _LIST_TOTAL + varint(total) if total else b""


def _item(job: StoredJob, selection: Selection | None) -> bytes:
    message = job_message(*job)
    if selection is not None:
        message = _selected(message, selection)
    return b"%b%b%b" % (LIST_ITEM, size_varint(len(message)), message)


def _selected(message: bytes, selection: Selection) -> bytes:
    job = jobs.Job.FromString(message)
    selection.apply(job)
    return job.SerializeToString()


def encode_result(payload: bytes) -> bytes:
    """The Any that a command answers over gRPC."""
    return Any(type_url=PAYLOAD_TYPE, value=payload).SerializeToString()


def encode_command_response(services: Sequence[str], payload: bytes) -> bytes:
    """The CommandResponse event of the services with these logical names."""
    answer = Any(type_url=PAYLOAD_TYPE, value=payload)
    return commands.CommandResponse(services=services, payload=answer).SerializeToString()


# --- Read back ----------------------------------------------------------------------------------


def read_recurrence(stored: bytes, first: int) -> Recurrence:
    """The occurrences of a recurring job's record; `first` is one of them, in epoch ms.

    Raises `InvalidRequest` for a record that cannot be read or does not recur.
    """
    head = job_record.header(stored)
    trigger = Trigger(TriggerKind(head.kind), first, head.interval)
    found = recurrence(trigger, _read_text(stored) if trigger.kind.planned else _NO_TEXT)
    if found is None:
        raise InvalidRequest("The stored job does not recur.")
    return found


def read_open_from(stored: bytes, due: int) -> int | None:
    """The first nominal time that a journal record leaves open, in epoch ms; None: there is none.

    That is its `due`. A cron job that has rested has an instant between two seconds instead: what
    was due until then has passed, and Lua, which writes it, knows no time zones.
    """
    is_between = due % 1000 and job_record.header(stored).kind == TriggerKind.CRON
    return read_recurrence(stored, due).next_after(due) if is_between else due


def _read_text(stored: bytes) -> CronText:
    try:
        rest = jobs.Job.FromString(job_record.rest_of(stored))
        data = jobs.Data.FromString(job_record.data_of(stored))
    except DecodeError as fault:
        msg = "The stored job cannot be read."
        raise InvalidRequest(msg) from fault
    return CronText(rest.interval, data.timezone)


def answer_instance(value: bytes) -> int | None:
    """The instance that a jobDone or jobFailed names; None for bytes that are neither."""
    try:
        return jobs.JobDone.FromString(value).id
    except DecodeError:
        return None


def read_jobs(values: Sequence[bytes]) -> list[JobRequest]:
    """The jobs of jobsCreated events. Raises `InvalidRequest` if one of them is none."""
    return decode_job_list(_as_list(values), limit=len(values))


def read_job(value: bytes) -> JobRequest:
    """The job of a jobsCreated event. Raises `InvalidRequest`."""
    return read_jobs([value])[0]


def read_ids(values: Sequence[bytes]) -> list[str]:
    """The ids in jobsCreated events. Raises `InvalidRequest` if one of them cannot be read."""
    try:
        return [job.id for job in jobs.JobList.FromString(_as_list(values)).items]
    except DecodeError as fault:
        msg = "The message cannot be read as io.restorecommerce.job.Job."
        raise InvalidRequest(msg) from fault


def _as_list(values: Sequence[bytes]) -> bytes:
    """A JobList of these Jobs: protobuf reads many of them in one call."""
    return b"".join([LIST_ITEM + sized(value) for value in values])


def read_deleted(value: bytes) -> str:
    """The id of a jobsDeleted event. Raises `InvalidRequest`."""
    try:
        return jobs.Deleted.FromString(value).id
    except DecodeError as fault:
        msg = "The message cannot be read as io.restorecommerce.job.Deleted."
        raise InvalidRequest(msg) from fault
