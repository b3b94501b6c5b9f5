"""Entries of the outbox: a letter, a fixed part that Lua packs, and bytes that are passed on.

`layouts` has the letters and the fixed parts.
"""

from __future__ import annotations

import json
import struct

from scheduling_client.schedules.when import rfc3339
from scheduling_srv.formats import job_record, layouts
from scheduling_srv.formats.kafka_records import DEADLINE, RUN_NUMBER, Headers, Topic
from scheduling_srv.formats.layouts import (
    COMMANDS,
    DEAD_LETTER,
    GROUP,
    HAPPENED,
    JOBS_TOPIC,
    MARK,
    QUEUE_MORE,
    RESOURCES,
)
from scheduling_srv.formats.more import labels_of

SILENT = frozenset({MARK, GROUP})
"""Entries that become no record: markers, and the heads of groups that are published together."""

QUEUED = layouts.QUEUED.struct
QUEUED_SIZES = struct.Struct(f"<{layouts.QUEUED.before('id_size')}xHxxH")
"""The sizes of id and type alone, which is quicker."""
NOMINAL = struct.Struct(f"<{layouts.QUEUED.before('nominal')}xQ")
"""The nominal time alone."""
SHORT = 128
"""Bytes of a type with its length, if that takes one byte."""
QUEUED_MORE = layouts.QUEUED_MORE.struct
ORIGINS = (b"schedule", b"manual", b"backfill")
_MARKS = [mark.encode() for mark in layouts.ORIGIN_MARKS]
CREATED = layouts.CREATED.struct
GROUPED = layouts.GROUPED.struct
KEYED = layouts.KEYED.struct
EVENT = layouts.EVENT.struct

EVENT_TOPICS = {
    bytes((COMMANDS,)): Topic.COMMANDS,
    bytes((DEAD_LETTER,)): Topic.DEAD_LETTER,
    bytes((RESOURCES,)): Topic.RESOURCES,
    bytes((JOBS_TOPIC,)): Topic.JOBS,
}
EVENT_LETTERS = {topic: letter for letter, topic in EVENT_TOPICS.items()}


def event_entry(topic: Topic, key: bytes, value: bytes, headers: Headers | None = None) -> bytes:
    """An outbox entry for a command response, a dead letter, or a jobsDeleted with an outcome."""
    texts = json.dumps([(name, text.decode()) for name, text in headers or ()]).encode()
    fixed = EVENT.pack(EVENT_LETTERS[topic], len(key), len(texts))
    return b"".join((bytes((HAPPENED,)), fixed[1:], key, texts, value))


def read_event(entry: bytes) -> tuple[Topic, bytes, bytes, Headers]:
    """Topic, key, value and headers of an event entry."""
    letter, key_size, headers_size = EVENT.unpack_from(entry)
    headers_at = EVENT.size + key_size
    value_at = headers_at + headers_size
    headers = [(name, text.encode()) for name, text in json.loads(entry[headers_at:value_at])]
    return EVENT_TOPICS[letter], entry[EVENT.size : headers_at], entry[value_at:], headers


def occurrence_id(job_id: bytes, seq: int, nominal: int, attempt: int, mark: bytes = b"") -> bytes:
    """The same for each re-send of a run, different for every other run (docs/contract.md).

    `mark` is that of its origin.
    """
    return b"%b/%d/%d%b/%d" % (job_id, seq, nominal, mark, attempt)


def occurrence_of(entry: bytes) -> bytes:
    """The occurrence id of the run of a queued entry."""
    _, _, nominal, number, seq, size, trace_size, type_size, data_size = QUEUED.unpack_from(entry)
    job_id = entry[QUEUED.size : QUEUED.size + size]
    mark = b""
    if entry[0] == QUEUE_MORE:
        mark = origin_mark(entry, QUEUED.size + size + type_size + data_size + trace_size)
    return occurrence_id(job_id, seq, nominal, number, mark)


def origin_mark(entry: bytes, at: int) -> bytes:
    """The mark of the origin in a QUEUED_MORE that begins at `at`."""
    return _MARKS[entry[at]]


def run_headers(entry: bytes, at: int, run_id: bytes) -> Headers:
    """The headers of a run that only scheduling.v1 has; they begin at `at` within its entry."""
    origin, attempts, deadline, number, labels_size = QUEUED_MORE.unpack_from(entry, at)
    headers = [
        ("run-id", run_id),
        ("origin", ORIGINS[origin]),
        ("attempts", b"%d" % attempts),
    ]
    if deadline:
        headers.append((DEADLINE, rfc3339(deadline)))
    if number:
        headers.append((RUN_NUMBER, b"%d" % number))
    if labels_size:
        lines = entry[at + QUEUED_MORE.size : at + QUEUED_MORE.size + labels_size]
        headers.append(("labels", json.dumps(labels_of(lines)).encode()))
    return headers


def nominal_time(entry: bytes) -> int:
    """When the run of a queued entry was due, in epoch ms."""
    (nominal,) = NOMINAL.unpack_from(entry)
    return int(nominal)


def attempt(entry: bytes) -> int:
    """Which attempt of its run a queued entry is, from 1."""
    number: int = QUEUED.unpack_from(entry)[3]
    return number


def type_of(entry: bytes) -> bytes:
    """The type of the job of a queued entry."""
    id_size, size = QUEUED_SIZES.unpack_from(entry)
    at = QUEUED.size + id_size
    text_at = at + 1 if size <= SHORT else job_record.read_varint(entry, at)[1]
    return entry[text_at : at + size]
