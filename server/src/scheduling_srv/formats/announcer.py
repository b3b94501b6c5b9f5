"""From entries of the outbox to records on Kafka (docs/decisions/0001)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scheduling_client.schedules.when import rfc3339
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats import changes, job_record
from scheduling_srv.formats.job_record import KIND_AT
from scheduling_srv.formats.kafka_records import (
    JOB_V1,
    JOURNAL_BACKFILL,
    JOURNAL_COUNT,
    JOURNAL_DUE,
    JOURNAL_JOB,
    JOURNAL_LIST,
    JOURNAL_PARCEL,
    JOURNAL_PAUSE,
    JOURNAL_RETRY,
    Headers,
    Record,
    Topic,
)
from scheduling_srv.formats.layouts import (
    COUNT,
    CREATE,
    DELETE,
    FILLING,
    GROUP,
    HAND_ON,
    HAPPENED,
    HAS_MORE,
    LISTED,
    NEW_NOW,
    PAUSE,
    PUT_OFF,
    QUEUE,
    QUEUE_MORE,
    TOMBSTONE,
)
from scheduling_srv.formats.outbox_entries import (
    CREATED,
    GROUPED,
    KEYED,
    QUEUED,
    SILENT,
    occurrence_id,
    origin_mark,
    read_event,
    run_headers,
)

JOBS, RESOURCES, JOURNAL = Topic.JOBS, Topic.RESOURCES, Topic.JOURNAL
"""Looked up once: a member of an enum takes Python 3.11 70 ns."""
OF_JOBS = {JOBS, RESOURCES}
KEPT_KINDS = {
    PUT_OFF: JOURNAL_RETRY,
    HAND_ON: JOURNAL_PARCEL,
    LISTED: JOURNAL_LIST,
    COUNT: JOURNAL_COUNT,
    PAUSE: JOURNAL_PAUSE,
    FILLING: JOURNAL_BACKFILL,
}


class Announcer:
    """Turns entries into records. `recurring` is the spelling of recurring schedule types."""

    def __init__(self, recurring: str = "RECURR", deployment: Headers | None = None) -> None:
        """`deployment`: a header of each run. The list is filled when the deployment is known."""
        self.deployment = [] if deployment is None else deployment
        self.kinds = {
            kind: job_record.SCHEDULED_KIND
            + job_record.sized(job_record.schedule_type(kind, recurring).encode())
            for kind in TriggerKind
        }

    def records(self, entries: Sequence[bytes], after: int, incarnation: str) -> Iterator[Record]:
        """The records of the entries numbered `after + 1` and on. Markers have no record."""
        makers = {
            QUEUE: self._queued,
            QUEUE_MORE: self._queued,
            COUNT: self._kept,
            PAUSE: self._kept,
            FILLING: self._kept,
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
        has_more = entry[0] == QUEUE_MORE
        mark = origin_mark(entry, end + trace_size) if has_more else b""
        headers = [
            ("occurrence-id", occurrence_id(job_id, seq, nominal, attempt, mark)),
            ("job-id", job_id),
            ("nominal-time", rfc3339(nominal)),
            ("attempt", b"%d" % attempt),
            ("event-id", event_id),
            *self.deployment,
        ]
        if has_more:
            run_id = b"%b/%d/%d%b" % (job_id, seq, nominal, mark)
            headers += run_headers(entry, end + trace_size, run_id)
        if trace_size:
            headers += _trace_headers(entry[end : end + trace_size])
        return (Record(JOBS, b"queuedJob", value, headers, job_id),)

    def _created(self, entry: bytes, event_id: bytes) -> tuple[Record, Record]:
        due, id_size = CREATED.unpack_from(entry)
        at = CREATED.size + id_size
        job_id = entry[CREATED.size : at]
        value = job_record.job_message(job_id, entry, at)
        headers = [("event-id", event_id), ("job-id", job_id), ("nominal-time", rfc3339(due))]
        if entry[at + KIND_AT] & HAS_MORE:
            headers.append((JOB_V1, job_record.heritage_of(entry, at)))
        created = Record(RESOURCES, b"jobsCreated", value, headers, job_id)
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
        deleted = Record(RESOURCES, b"jobsDeleted", value, headers, job_id)
        return (deleted, *self._tombstone(entry, event_id))

    def _tombstone(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        key = entry[1:]
        return (Record(JOURNAL, key, None, [("event-id", event_id + b"-j")], key),)

    def _kept(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        """Headers that only a rebuild needs."""
        (size,) = KEYED.unpack_from(entry)
        at = KEYED.size + size
        key = entry[KEYED.size : at]
        headers = [("kind", KEPT_KINDS[entry[0]]), ("event-id", event_id)]
        return (Record(JOURNAL, key, entry[at:], headers, key),)

    def _event(self, entry: bytes, event_id: bytes) -> tuple[Record]:
        topic, key, value, headers = read_event(entry)
        job = dict(headers).get("job-id") if topic in OF_JOBS else None
        headers.append(("event-id", event_id))
        if topic is JOBS:
            headers += self.deployment
        # What tells the outcome of a job, or of its run, goes to the partition of the job.
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


def _journal_job(event_id: bytes, job_id: bytes, due: int, stored: bytes) -> Record:
    headers = [("kind", JOURNAL_JOB), ("event-id", event_id + b"-j")]
    if stored[KIND_AT] & HAS_MORE:
        headers.append((JOB_V1, job_record.heritage_of(stored)))
    return Record(JOURNAL, job_id, JOURNAL_DUE.pack(due) + stored, headers, job_id)


def _trace_headers(trace: bytes) -> Headers:
    parent, _, state = trace.partition(b"\n")
    headers = [("traceparent", parent)]
    if state:
        headers.append(("tracestate", state))
    return headers
