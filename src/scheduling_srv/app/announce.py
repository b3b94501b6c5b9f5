"""From entries of the outbox to records on Kafka (docs/decisions/0001).

An entry is a letter, a fixed part that its Lua twin packs (`lua/lib/outbox.lua`, `starting.lua`,
`answer.lua`), and bytes that are passed on as they are.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from scheduling_srv.app.deployments.deployment import Deployment
from scheduling_srv.app.records import Headers, Position, Record, Topic
from scheduling_srv.app.sharding import changes
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.domain.when import rfc3339
from scheduling_srv.formats import job_record

QUEUE, CREATE, NEW_NOW, DELETE, TOMBSTONE, PUT_OFF, HAND_ON, LISTED = b"QCNDXRPL"
HAPPENED, MARK, GROUP = b"EMG"
"""First bytes of entries."""
SILENT = frozenset({MARK, GROUP})
"""Entries that become no record: markers, and the heads of groups that are published together."""

QUEUED = struct.Struct("<xBIQIQHHHI")
"""Kind, instance, nominal ms, attempt, seq, sizes of id, trace, type and data."""
QUEUED_SIZES = struct.Struct("<26xHxxH")
"""Of the same: the sizes of id and type alone, which is quicker."""
SHORT = 128
"""Bytes of a type with its length, if that takes one byte."""
CREATED = struct.Struct("<xQH")
"""First due ms, size of id."""
GROUPED = struct.Struct("<xI")
"""How many entries of the group follow."""
KEYED = struct.Struct("<xH")
"""Size of the key."""
EVENT = struct.Struct("<xcHI")
"""Topic's letter, size of the key, size of the headers."""
JOURNAL_DUE = struct.Struct("<Q")
"""First due ms, in front of the record in a journal value."""

MARKED = ("replay_from", "seq", "instance", "reset", "cleared")
"""Numbers that each marker holds."""
MOVES, GOES = b'"inputs":', b'"gone":'
"""In markers that say something of partitions."""

EVENT_TOPICS = {b"c": Topic.COMMANDS, b"d": Topic.DEAD_LETTER, b"r": Topic.RESOURCES}
EVENT_LETTERS = {topic: letter for letter, topic in EVENT_TOPICS.items()}

JOURNAL_JOB, JOURNAL_RETRY, JOURNAL_PARCEL, JOURNAL_LIST = b"job", b"retry", b"parcel", b"list"
"""Values of the journal's `kind` header."""
KEPT_KINDS = {PUT_OFF: JOURNAL_RETRY, HAND_ON: JOURNAL_PARCEL, LISTED: JOURNAL_LIST}


def event_entry(topic: Topic, key: bytes, value: bytes, headers: Headers | None = None) -> bytes:
    """An outbox entry for a command response, a dead letter, or a jobsDeleted with an outcome."""
    texts = json.dumps([(name, text.decode()) for name, text in headers or ()]).encode()
    fixed = EVENT.pack(EVENT_LETTERS[topic], len(key), len(texts))
    return b"".join((b"E", fixed[1:], key, texts, value))


def read_event(entry: bytes) -> tuple[Topic, bytes, bytes, Headers]:
    """Topic, key, value and headers of an event entry."""
    letter, key_size, headers_size = EVENT.unpack_from(entry)
    headers_at = EVENT.size + key_size
    value_at = headers_at + headers_size
    headers = [(name, text.encode()) for name, text in json.loads(entry[headers_at:value_at])]
    return EVENT_TOPICS[letter], entry[EVENT.size : headers_at], entry[value_at:], headers


def occurrence_id(job_id: bytes, seq: int, nominal: int, attempt: int) -> bytes:
    """The same for each re-send of a run, different for every other run (docs/contract.md)."""
    return b"%b/%d/%d/%d" % (job_id, seq, nominal, attempt)


def nominal_time(entry: bytes) -> int:
    """When the run of a queued entry was due, in epoch ms."""
    nominal: int = QUEUED.unpack_from(entry)[2]
    return nominal


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


class Announcer:
    """Turns entries into records. `recurring` is the spelling of recurring schedule types."""

    def __init__(self, recurring: str = "RECURR", deployment: Deployment | None = None) -> None:
        """`deployment` becomes a header of each run, as soon as it is known."""
        self.deployment = deployment or Deployment()
        self.kinds = {
            kind: job_record.SCHEDULED_KIND
            + job_record.sized(job_record.schedule_type(kind, recurring).encode())
            for kind in TriggerKind
        }

    def records(self, entries: Sequence[bytes], after: int, incarnation: str) -> Iterator[Record]:
        """The records of the entries numbered `after + 1` and on. Markers have no record."""
        makers = {
            QUEUE: self._queued,
            CREATE: self._created,
            NEW_NOW: self._new_now,
            TOMBSTONE: self._tombstone,
            PUT_OFF: self._kept,
            HAND_ON: self._kept,
            LISTED: self._kept,
            HAPPENED: self._event,
        }
        prefix = incarnation.encode() + b"-"
        replaced, group_end = set[bytes](), 0
        for number, entry in enumerate(entries, start=after + 1):
            letter, event_id = entry[0], b"%b%d" % (prefix, number)
            if letter == GROUP:
                (size,) = GROUPED.unpack_from(entry)
                first = number - after
                replaced, group_end = _put_in(entries[first : first + size]), number + size
            elif letter == DELETE:
                outcome = number <= group_end and entry[1:] in replaced
                yield from self._deleted(entry, event_id, b"replaced" if outcome else b"deleted")
            elif letter not in SILENT:
                yield from makers[letter](entry, event_id)

    def _queued(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        kind, instance, nominal, attempt, seq, id_size, trace_size, type_size, data_size = (
            QUEUED.unpack_from(entry)
        )
        type_at = QUEUED.size + id_size
        data_at = type_at + type_size
        end = data_at + data_size
        job_id = entry[QUEUED.size : type_at]
        # Formatting is the quickest way to join bytes; the fields are those of ScheduledJob.
        value = b"\x08%b\x12%b\x1a%b%b" % (
            job_record.varint(instance),
            entry[type_at:data_at],
            entry[data_at:end],
            self.kinds[kind],
        )
        headers = [
            ("occurrence-id", occurrence_id(job_id, seq, nominal, attempt)),
            ("job-id", job_id),
            ("nominal-time", rfc3339(nominal)),
            ("attempt", b"%d" % attempt),
            ("event-id", event_id),
            *self.deployment.headers,
        ]
        if trace_size:
            headers += _trace_headers(entry[end:])
        return (Record(Topic.JOBS, b"queuedJob", value, headers, job_id),)

    def _created(self, entry: bytes, event_id: bytes) -> tuple[Record, Record]:
        due, id_size = CREATED.unpack_from(entry)
        at = CREATED.size + id_size
        job_id = entry[CREATED.size : at]
        value = job_record.job_message(job_id, entry, at)
        headers = [("event-id", event_id), ("job-id", job_id), ("nominal-time", rfc3339(due))]
        created = Record(Topic.RESOURCES, b"jobsCreated", value, headers, job_id)
        return created, _journal_job(event_id, job_id, due, entry[at:])

    def _new_now(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        """The record of the journal. `now` jobs are announced nowhere else."""
        due, id_size = CREATED.unpack_from(entry)
        at = CREATED.size + id_size
        return (_journal_job(event_id, entry[CREATED.size : at], due, entry[at:]),)

    def _deleted(self, entry: bytes, event_id: bytes, outcome: bytes) -> tuple[Record, Record]:
        job_id = entry[1:]
        value = job_record.JOB_ID + job_record.sized(job_id)
        headers = [("event-id", event_id), ("job-id", job_id), ("outcome", outcome)]
        deleted = Record(Topic.RESOURCES, b"jobsDeleted", value, headers, job_id)
        return (deleted, *self._tombstone(entry, event_id))

    def _tombstone(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        key = entry[1:]
        return (Record(Topic.JOURNAL, key, None, [("event-id", event_id + b"-j")], key),)

    def _kept(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        """Headers that only a rebuild needs."""
        (size,) = KEYED.unpack_from(entry)
        at = KEYED.size + size
        key = entry[KEYED.size : at]
        headers = [("kind", KEPT_KINDS[entry[0]]), ("event-id", event_id)]
        return (Record(Topic.JOURNAL, key, entry[at:], headers, key),)

    def _event(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        topic, key, value, headers = read_event(entry)
        job = dict(headers).get("job-id") if topic is Topic.RESOURCES else None
        headers.append(("event-id", event_id))
        # A jobsDeleted event with an outcome goes to the partition of its job.
        return (Record(topic, key, value, headers, job or key),)


def _put_in(group: Sequence[bytes]) -> set[bytes]:
    """Ids of the jobs that a group creates, here or in another shard.

    An Update deletes the job and creates it again in the same group (`lua/lib/replacing.lua`).
    """
    ids = set[bytes]()
    for entry in group:
        if entry[0] in {CREATE, NEW_NOW}:
            _, id_size = CREATED.unpack_from(entry)
            ids.add(entry[CREATED.size : CREATED.size + id_size])
        elif entry[0] == HAND_ON:
            (key_size,) = KEYED.unpack_from(entry)
            change = changes.unpack(entry[KEYED.size + key_size :])
            ids.update(job.id.encode() for job in change.put)
    return ids


def advance(position: Position, entries: Sequence[bytes], after: int) -> Position:
    """The position behind `entries`: their last marker, and the inputs of all of them."""
    number = after + len(entries)
    marks = [entry for entry in entries if entry[0] == MARK]
    if not marks:
        return replace(position, number=number)
    inputs, origins = dict(position.inputs), dict(position.origins)
    last: dict[str, Any] = {}
    for entry in marks:
        if entry is marks[-1] or MOVES in entry or GOES in entry:
            last = json.loads(entry[1:])
            inputs |= {name: int(at) for name, at in last.get("inputs", {}).items()}
            origins |= last.get("origins", {})
            for name in last.get("gone", ()):
                inputs.pop(name, None)
                origins.pop(name, None)
    known: dict[str, Any] = {name: int(last[name]) for name in MARKED if name in last}
    return replace(position, number=number, inputs=inputs, origins=origins, **known)


def _journal_job(event_id: bytes, job_id: bytes, due: int, stored: bytes) -> Record:
    headers = [("kind", JOURNAL_JOB), ("event-id", event_id + b"-j")]
    return Record(Topic.JOURNAL, job_id, JOURNAL_DUE.pack(due) + stored, headers, job_id)


def _trace_headers(trace: bytes) -> Headers:
    parent, _, state = trace.partition(b"\n")
    headers = [("traceparent", parent)]
    if state:
        headers.append(("tracestate", state))
    return headers
