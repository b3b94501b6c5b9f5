"""The stored form of a job: a fixed header that Lua reads, then bytes that are ready to be sent.

    header | created | policy | MORE | type | data | rest | trace

`created` is in records of versions 2 and 3, MORE in those of version 2; version 3 has a smaller
header (docs/decisions/0030). `type` and `data` are length-prefixed as protobuf wants them, without
their tags, so that both a ScheduledJob and a Job are made by putting tags between slices
(docs/decisions/0001). `rest` holds the remaining fields of the Job, `trace` the W3C trace context.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntFlag
from functools import lru_cache
from typing import Any, NamedTuple

from scheduling_client.schedules.when import rfc3339
from scheduling_srv.domain.job import RANKS, JobRequest, Trigger, TriggerKind
from scheduling_srv.formats import layouts
from scheduling_srv.formats.layouts import (
    HAS_MORE,
    HAS_POLICY,
    SMALL_DATA,
    SMALL_TRACE,
    SMALL_TYPE,
    VERSION_OF_MORE,
    VERSION_OF_SMALL,
    VERSION_UNIT,
    VERSION_UNKNOWN,
)
from scheduling_srv.formats.more import INSTANT_BYTES, More, instant_bytes, pack_more, read_more
from scheduling_srv.formats.versions import FORMATS, FRESH, newer

HEADER = layouts.HEADER.struct
SMALL_HEADER = layouts.SMALL_HEADER.struct
POLICY = layouts.POLICY.struct
"""Most jobs have none, and Redis holds millions of jobs."""
NO_POLICY = (0, 0, 0.0, 0, 0)
KIND_AT = layouts.HEADER.before("kind")
SIZES_AT = layouts.HEADER.before("type_size")
MORE_SIZE = layouts.MORE.part("size").struct
OLD_VERSION = VERSION_UNIT * (VERSION_OF_MORE - 1)
WITH_BIRTH = VERSION_UNIT * VERSION_OF_MORE
WITH_SMALL_HEADER = VERSION_UNIT * VERSION_OF_SMALL
NEW_VERSION = VERSION_UNIT * FORMATS[FRESH].job
"""In the kinds of records: without and with a creation time, with a small header, and the newest.

The kinds of records with a creation time are as large as the second, or larger; and so on."""


def _header_layout(kind: int) -> layouts.Layout:
    """Of a record with this kind."""
    is_small = kind & ~HAS_POLICY >= WITH_SMALL_HEADER
    return layouts.SMALL_HEADER if is_small else layouts.HEADER


def _fixed_size(kind: int) -> int:
    """Bytes before MORE, or the type, in a record with this kind; 0: a later version."""
    form = kind & ~HAS_POLICY
    if form >= VERSION_UNKNOWN:
        return 0
    created = INSTANT_BYTES if form >= WITH_BIRTH else 0
    return _header_layout(kind).size + created + (POLICY.size if kind & HAS_POLICY else 0)


FIXED_SIZES = [_fixed_size(kind) for kind in range(0x100)]
HEADERS = [_header_layout(kind).struct for kind in range(0x100)]
SIZES = [
    _header_layout(kind).part("type_size", "data_size", "trace_size").struct
    for kind in range(0x100)
]
"""Of the type, the data and the trace, by the kind of the record; they are at `SIZES_AT`."""

HEADER_AND_BIRTH = HEADER.size + INSTANT_BYTES
SMALL_HEADER_AND_BIRTH = SMALL_HEADER.size + INSTANT_BYTES
LONGEST_VARINT = 10
"""Bytes."""
JOB_ID, JOB_WHEN, SCHEDULED_KIND = b"\x0a", b"\xaa\x01", b"\x22"
"""Tags of protobuf fields."""


class Note(IntFlag):
    """What the store has to know of a request: the first byte of a record without a `seq`."""

    NONE = 0
    ELAPSED = layouts.ELAPSED
    """The time of a one-time job has passed: it may only replace one that was due then."""
    RELATIVE = layouts.RELATIVE
    """The text of `when` depends on now: it is always a change."""
    UPDATED = layouts.UPDATED
    """It is announced even if nothing changes."""
    KEEP_MORE = layouts.KEEP_MORE
    """The job keeps what the messages of 2018 cannot say, and counts a revision."""
    NEW_PHASE = layouts.NEW_PHASE
    """It has another `start_time`: it does not keep the phase of the job that it replaces."""


NO_NOTES = Note.NONE
"""Looked up once: a member of an enum takes Python 3.11 70 ns."""


class Header(NamedTuple):
    """The fixed part of a record, and the policy."""

    seq: int
    """Creation number, given by the store; also the generation in occurrence ids."""
    kind: int
    rank: int
    type_size: int
    data_size: int
    trace_size: int
    creator_at: int
    """Where the creator's text, behind its length, lies within the record; 0: there is none."""
    attempts: int
    backoff_type: int
    backoff_delay: float
    parallel: int
    interval: int
    """See `Trigger`; 0 for cron jobs of versions before 0.2."""
    created: int = 0
    """When the job was created, in epoch ms; 0: the record is of an earlier version."""


def varint(value: int) -> bytes:
    """`value` >= 0 as a protobuf varint (protobuf encoding guide, "Base 128 Varints")."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


size_varint = lru_cache(maxsize=4096)(varint)
"""Of the sizes of a job's parts, which come again and again. It runs no Python code then."""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at this place of a message that we wrote, and the place behind it."""
    number = shift = 0
    for byte in data[at : at + LONGEST_VARINT]:
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return number, at


def sized(data: bytes) -> bytes:
    """`data` behind its length, as protobuf writes bytes, strings and messages."""
    return size_varint(len(data)) + data


@lru_cache(maxsize=1024)
def _sized_text(text: str) -> bytes:
    """Of types and creators, which are few."""
    return sized(text.encode())


def pack(
    request: JobRequest,
    trigger: Trigger,
    notes: Note = NO_NOTES,
    created: int | None = None,
    more: bytes = b"",
) -> bytes:
    """The record of a checked request. The store puts `seq` in place of the notes.

    `created` is epoch ms, `more` comes from `pack_more`. Without `created` the record is one of
    the version before, which has neither.
    """
    data = request.data or b""
    policy = (
        request.attempts if request.attempts > 1 else 0,  # there is always a first one
        request.backoff_type,
        request.backoff_delay,
        request.parallel,
        trigger.interval,
    )
    flag, policy_part = (0, b"") if policy == NO_POLICY else (HAS_POLICY, POLICY.pack(*policy))
    type_part, data_part = _sized_text(request.type), sized(data)
    layout, head_size = HEADER, HEADER_AND_BIRTH
    if created is None:
        flag, head_size = flag | OLD_VERSION, HEADER.size
    elif more:
        flag |= WITH_BIRTH | HAS_MORE
    elif (
        len(data_part) > SMALL_DATA
        or len(type_part) > SMALL_TYPE
        or len(request.trace) > SMALL_TRACE
    ):
        flag |= WITH_BIRTH
    else:
        flag |= NEW_VERSION
        layout, head_size = SMALL_HEADER, SMALL_HEADER_AND_BIRTH
    # The creator is a field of the data: point at it there instead of storing it twice.
    data_at = head_size + len(policy_part) + len(more) + len(type_part) + len(data_part) - len(data)
    header = layout.pack(
        trigger.kind | flag,
        RANKS[request.priority],
        len(type_part),
        len(data_part),
        len(request.trace),
        data_at + data.index(_sized_text(request.creator)) if request.creator else 0,
    )
    if notes is not NO_NOTES:  # to ask a flag for its truth runs Python code
        header = bytes((notes,)) + header[1:]
    if created is not None:
        header += instant_bytes(created)
    return b"".join((header, policy_part, more, type_part, data_part, request.rest, request.trace))


def pack_properties(request: JobRequest, updated: int) -> bytes:
    """MORE of a request of scheduling.v1; empty for another one."""
    if request.properties is None:
        return b""
    return pack_more(More(request.revision, updated, request.properties, request.spec))


def at_instant(request: JobRequest, due: int) -> JobRequest:
    """The request with its relative `when` as an instant (docs/contract.md).

    `rest` gets a second `when`: in protobuf the last value of a field counts.
    """
    text = rfc3339(due)
    rest = request.rest + JOB_WHEN + sized(text)
    return replace(request, when=text.decode(), rest=rest)


def body_at(stored: bytes, at: int = 0) -> int:
    """Where the type begins in a record that begins at `at`. Raises `NewerData`."""
    fixed = _fixed_end(stored, at)
    has_more = stored[at + KIND_AT] & HAS_MORE
    return fixed + MORE_SIZE.unpack_from(stored, fixed)[0] if has_more else fixed


def _fixed_end(stored: bytes, at: int) -> int:
    """Where MORE, or else the type, begins."""
    size = FIXED_SIZES[stored[at + KIND_AT]]
    if not size:
        raise newer("job", version(stored, at))
    return at + size


def more_of(stored: bytes, at: int = 0) -> bytes:
    """MORE of a record that begins at `at`; empty: it has none. Raises `NewerData`."""
    return stored[_fixed_end(stored, at) : body_at(stored, at)]


def properties_of(record: bytes) -> More:
    """What `record` says beside the message of 2018; the defaults if it says nothing."""
    text = more_of(record)
    return read_more(text) if text else More()


def created_at(record: bytes) -> int:
    """When the job was created, in epoch ms; 0: the record does not say it."""
    if record[KIND_AT] & ~HAS_POLICY < WITH_BIRTH:
        return 0
    at = HEADERS[record[KIND_AT]].size
    return int.from_bytes(record[at : at + INSTANT_BYTES], "little")


def heritage_of(stored: bytes, at: int = 0) -> bytes:
    """The header `job-v1` of a job with MORE: creation time and MORE; empty for another job."""
    more = more_of(stored, at)
    return stored[at + HEADER.size : at + HEADER_AND_BIRTH] + more if more else b""


def read_heritage(header: bytes) -> tuple[int, bytes]:
    """Creation time and MORE of a header `job-v1`. Raises `ValueError`."""
    more = header[INSTANT_BYTES:]
    if len(more) < layouts.MORE.size or MORE_SIZE.unpack_from(more)[0] != len(more):
        raise ValueError("The header job-v1 is not one of this service.")
    read_more(more)
    return int.from_bytes(header[:INSTANT_BYTES], "little"), more


def has_note(new: bytes, note: Note) -> bool:
    """Whether a record that the store has not numbered yet says so."""
    return bool(new[0] & note)


def as_new(record: bytes) -> bytes:
    """A stored record as one that the store has not numbered yet, without notes."""
    return bytes(KIND_AT) + record[KIND_AT:]


def seq(record: bytes) -> int:
    """The creation number alone."""
    return int.from_bytes(record[:KIND_AT], "little")


def kind(record: bytes) -> int:
    """The trigger's kind alone. Raises `NewerData`."""
    return _kind_in(record[KIND_AT])


def version(record: bytes, at: int = 0) -> int:
    """The version of the layout of a record that begins at `at`."""
    return (record[at + KIND_AT] & ~HAS_POLICY) // VERSION_UNIT


def _kind_in(byte: int) -> int:
    if byte & ~HAS_POLICY >= VERSION_UNKNOWN:
        raise newer("job", (byte & ~HAS_POLICY) // VERSION_UNIT)
    return byte % HAS_MORE


def header(record: bytes) -> Header:
    """The fixed part of `record`, and its policy. Raises `NewerData`."""
    of, *fixed = HEADERS[record[KIND_AT]].unpack_from(record)
    kind = _kind_in(of)
    policy: tuple[Any, ...] = NO_POLICY
    if of & HAS_POLICY:
        policy = POLICY.unpack_from(record, FIXED_SIZES[of] - POLICY.size)
    return Header._make((seq(record), kind, *fixed, *policy, created_at(record)))


def creator_of(record: bytes) -> str:
    """The creator of the job; empty if the job names none."""
    at = header(record).creator_at
    return _text_at(record, at).decode() if at else ""


def sizes_of(stored: bytes, at: int = 0) -> tuple[int, int, int]:
    """Bytes of the type, the data and the trace of a record that begins at `at`."""
    found: tuple[int, int, int] = SIZES[stored[at + KIND_AT]].unpack_from(stored, at + SIZES_AT)
    return found


def job_message(job_id: bytes, stored: bytes, at: int = 0) -> bytes:
    """The serialized Job: what Read answers and `jobsCreated` carries.

    The job's record begins at `at` within `stored`, and ends with it.
    """
    type_size, data_size, trace_size = sizes_of(stored, at)
    type_at = body_at(stored, at)
    data_at = type_at + type_size
    rest_at = data_at + data_size
    # Formatting is the quickest way to join bytes.
    return b"\x0a%b%b\x5a%b\x62%b%b" % (
        size_varint(len(job_id)),
        job_id,
        stored[type_at:data_at],
        stored[data_at:rest_at],
        stored[rest_at : len(stored) - trace_size],
    )


def schedule_type(kind: int, recurring_spelling: str) -> str:
    """`NOW`, `ONCE` or the recurring spelling that the operator chose (docs/contract.md)."""
    if kind == TriggerKind.NOW:
        return "NOW"
    return "ONCE" if kind == TriggerKind.ONCE else recurring_spelling


def rest_of(record: bytes) -> bytes:
    """The Job's fields other than id, type and data, serialized."""
    head = header(record)
    at = body_at(record) + head.type_size + head.data_size
    return record[at : len(record) - head.trace_size]


def data_of(record: bytes) -> bytes:
    """The serialized Data message of the job."""
    return _text_at(record, body_at(record) + header(record).type_size)


def type_of(record: bytes) -> bytes:
    """The job's type, in UTF-8."""
    return _text_at(record, body_at(record))


def says_the_same(stored: bytes, new: bytes, request: JobRequest) -> bool:
    """Whether a stored job is defined as a new one that was made of `request`.

    A relative `when` counts as the same, whatever instant it came to.
    """
    if kind(stored) != kind(new) or type_of(stored) != type_of(new):
        return False
    if data_of(stored) != data_of(new):
        return False
    mine, theirs = properties_of(stored), properties_of(new)
    if (mine.properties, mine.spec) != (theirs.properties, theirs.spec):
        return False
    rest = rest_of(stored)
    relative = rest_of(new) != request.rest
    return rest.startswith(request.rest) if relative else rest == request.rest


def _text_at(record: bytes, at: int) -> bytes:
    size, text_at = read_varint(record, at)
    return record[text_at : text_at + size]
