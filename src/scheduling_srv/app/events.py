"""What the events on `jobs.resource` say of each job, and the job that follows from them."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import TypeVar

import structlog

from scheduling_srv.app.records import Extent, LogRecord
from scheduling_srv.domain import record
from scheduling_srv.domain.errors import InvalidRequest, RequestError
from scheduling_srv.domain.job import JobRequest, NewJob, TriggerKind
from scheduling_srv.domain.validation import Rules, at_instant, check_fields, find_trigger

log = structlog.get_logger(__name__)

LENIENT = Rules(min_interval=1)
"""What was accepted once is put back, whatever the settings say now."""

CREATED, DELETED = b"jobsCreated", b"jobsDeleted"
KEYS = frozenset({CREATED, DELETED})
"""Of the events that say whether a job lives."""
OFFSET_BITS = 64
"""Of a place that are its offset; those above them are its partition."""
TAKEN_AT_ONCE = 10_000
"""Places that are handed over at a time: that blocks the loop for a millisecond."""
DIGEST_BYTES = 16
"""Of what stands for a long id."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Codec:
    """What needs protobuf, injected. What reads raises `InvalidRequest`."""

    ids: Callable[[Sequence[bytes]], Sequence[str]]
    """The ids of Jobs, which are not looked at any further."""
    created: Callable[[Sequence[bytes]], Sequence[JobRequest]]
    """Jobs."""
    deleted: Callable[[bytes], str]
    """The id in a Deleted."""
    response: Callable[[bytes], bytes]
    """A CommandResponse with this JSON."""


class EventReader:
    """Reads events, all at once where that is possible. It logs the events that it cannot read."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def ids(self, created: Sequence[LogRecord]) -> Sequence[str | None]:
        """Ids of jobsCreated events; None: the event cannot be read."""
        return self._read(self.codec.ids, created)

    def deleted(self, event: LogRecord) -> str | None:
        """The id of a jobsDeleted event; None: the event cannot be read."""
        try:
            return self.codec.deleted(event.value or b"")
        except Exception as fault:  # noqa: BLE001 - it is logged
            _skipped(event.offset, fault)
            return None

    def jobs(self, created: Sequence[LogRecord], now: int) -> Sequence[NewJob]:
        """With their next runs, but for one-time jobs whose time has passed."""
        return [job for job in self.checked(created, now) if job]

    def checked(self, created: Sequence[LogRecord], now: int) -> Iterator[NewJob | None]:
        """Of each event that is a job. None: the time of a one-time job has passed."""
        for event, request in zip(created, self._read(self.codec.created, created), strict=True):
            if request is not None:
                try:
                    yield next_job(request, event, now)
                except Exception as fault:  # noqa: BLE001 - it is logged
                    _skipped(event.offset, fault)

    def _read(
        self, read: Callable[[Sequence[bytes]], Sequence[Found]], created: Sequence[LogRecord]
    ) -> Sequence[Found | None]:
        """All at once, which is ten times faster, or each for itself if one cannot be read."""
        try:
            return read([event.value or b"" for event in created])
        except Exception as fault:  # noqa: BLE001 - it is logged
            if len(created) > 1:
                return [found for event in created for found in self._read(read, [event])]
            _skipped(created[0].offset, fault)
            return [None]


class LastEvents:
    """Finds the place of the last valid event of each job.

    It keeps some 130 bytes for each id, and no event. Checking an event costs more than all the
    rest of a restore, and can be done while Redis and Kafka work on others. So an event is checked
    in the second reading, unless it replaces an earlier one, which counts if this one is invalid.
    """

    def __init__(self, reader: EventReader) -> None:
        self.reader = reader
        self._places: dict[bytes, int] = {}

    def add(self, entries: Sequence[LogRecord], now: int) -> None:
        """The next records of the topic."""
        created = [entry for entry in entries if entry.key == CREATED]
        ids = iter(self.reader.ids(created))
        for entry in entries:
            if entry.key == CREATED:
                self._add_created(next(ids), entry, now)
            elif entry.key == DELETED:
                job_id = self.reader.deleted(entry)
                if job_id is not None:
                    self._note(_short(job_id), entry)

    def _add_created(self, job_id: str | None, event: LogRecord, now: int) -> None:
        if job_id is None:
            return
        key = _short(job_id)
        if key not in self._places:
            self._note(key, event)
            return
        for job in self.reader.checked([event], now):
            if job:
                self._note(key, event)
            else:
                del self._places[key]

    def _note(self, key: bytes, event: LogRecord) -> None:
        """Keep the dict in the order of the log: sorting millions would hold up the loop."""
        self._places.pop(key, None)
        self._places[key] = _place(event)

    async def take(self) -> Wanted:
        """The places found so far, in the order of the log; the ids are freed."""
        places = list[int]()
        while self._places:
            for _ in range(min(len(self._places), TAKEN_AT_ONCE)):
                places.append(self._places.popitem()[1])
            await asyncio.sleep(0)
        places.reverse()
        return Wanted(places)


class Wanted:
    """Finds the events that count when the topic is read again, in the order of the log."""

    def __init__(self, places: Sequence[int]) -> None:
        """`places` are sorted."""
        self.places = places
        self.met = 0
        """How many of the places were passed."""
        self.missed = 0
        """How many of those were no longer there."""

    def extents(self) -> Sequence[Extent]:
        """Where they are: from the first to the last one in each partition."""
        found, at = list[Extent](), 0
        while at < len(self.places):
            partition, first = _read_place(self.places[at])
            at = bisect_left(self.places, (partition + 1) << OFFSET_BITS, at)
            _, last = _read_place(self.places[at - 1])
            found.append(Extent(partition, first, last + 1))
        return found

    def pick(self, entries: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Those among the next records."""
        places, at, size, found = self.places, self.met, len(self.places), list[LogRecord]()
        for entry in entries:
            place = entry.partition << OFFSET_BITS | entry.offset
            while at < size and places[at] < place:
                at, self.missed = at + 1, self.missed + 1
            if at < size and places[at] == place:
                at += 1
                if entry.key in KEYS:
                    found.append(entry)
                else:
                    self.missed += 1  # the topic is another one than before
        self.met = at
        return found

    def end(self) -> int:
        """There are no more records; how many of the events were missed in all."""
        self.missed += len(self.places) - self.met
        self.met = len(self.places)
        return self.missed


def _place(entry: LogRecord) -> int:
    """Places are in the order in which the topic is read."""
    return entry.partition << OFFSET_BITS | entry.offset


def _read_place(place: int) -> tuple[int, int]:
    """Partition and offset."""
    return place >> OFFSET_BITS, place & ((1 << OFFSET_BITS) - 1)


def _short(job_id: str) -> bytes:
    """The id, or 16 bytes that are like those of no other id."""
    name = job_id.encode()
    return name if len(name) < DIGEST_BYTES else blake2b(name, digest_size=DIGEST_BYTES).digest()


def _skipped(offset: int, fault: Exception) -> None:
    """Anybody may write to that topic; one record must not keep the others."""
    if isinstance(fault, RequestError):
        log.warning("event not restored", offset=offset, reason=str(fault))
    else:
        log.error("event not restored", offset=offset, exc_info=fault)


def next_job(request: JobRequest, event: LogRecord, now: int) -> NewJob | None:
    """The job with its next run, or None when its only run has passed.

    Raises `InvalidRequest`: anybody may write to that topic.
    """
    if not request.id:
        raise InvalidRequest("Job id not specified.")
    check_fields(request)
    first = first_due(event.headers.get("nominal-time"))
    # Announced late, a one-time job may lie in the past by then; when it was due, it did not.
    trigger = find_trigger(request, event.timestamp if first is None else first, LENIENT)
    first = trigger.due if first is None else first
    if trigger.kind == TriggerKind.CRON:
        trigger = find_trigger(request, now, LENIENT)
        due = max(first, trigger.due)
    elif trigger.kind == TriggerKind.INTERVAL:
        missed = max(0, (now - first) // trigger.interval + 1)
        due = first + missed * trigger.interval
    elif first <= now:
        return None
    else:
        due, request = first, at_instant(request, first)
    return NewJob(request.id, due, record.pack(request, trigger))


def first_due(nominal: bytes | None) -> int | None:
    """From the `nominal-time` header that this service gives to jobsCreated, in epoch ms."""
    if not nominal:
        return None
    try:
        return round(datetime.fromisoformat(nominal.decode()).timestamp() * 1000)
    except ValueError:
        return None
