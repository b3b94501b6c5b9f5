"""Finds the last event of each job on `jobs.resource`, and builds jobs from these events."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import TypeVar

import structlog

from scheduling_client.schedules.when import is_relative
from scheduling_srv.domain.errors import InvalidRequest, RequestError
from scheduling_srv.domain.job import JobRequest, NewJob, Trigger
from scheduling_srv.domain.stored_format import SCHEDULING_V1, StoredFormat
from scheduling_srv.domain.trigger import CronText, recurrence
from scheduling_srv.domain.validation import ONCE, Rules, check_fields, find_trigger
from scheduling_srv.formats import job_record, messages
from scheduling_srv.formats.job_record import Note, at_instant
from scheduling_srv.formats.kafka_records import JOB_V1, Extent, LogRecord

log = structlog.get_logger(__name__)

LENIENT = Rules(min_interval=1)
"""Rules for a restore: stricter settings of today do not apply to accepted jobs."""

CREATED, DELETED = b"jobsCreated", b"jobsDeleted"
KEYS = frozenset({CREATED, DELETED})
"""Keys of the events that create or delete a job."""
OFFSET_BITS = 64
"""The low bits of a location are its offset. The bits above are its partition."""
TAKE_BATCH = 10_000
"""Locations that are taken at a time, which blocks the event loop for a millisecond."""
DIGEST_BYTES = 16
"""Size of the digest that stands for a long id."""

Found = TypeVar("Found")


class EventReader:
    """Decodes events, many at once if possible. It logs the events that it cannot decode."""

    def __init__(self, stored: StoredFormat | None = None) -> None:
        """`stored`: the format of the records that it makes."""
        self.stored = stored or StoredFormat()

    def ids(self, created: Sequence[LogRecord]) -> Sequence[str | None]:
        """The ids of jobsCreated events. None: the event cannot be decoded."""
        return self._read(messages.read_ids, created)

    def deleted(self, event: LogRecord) -> str | None:
        """The id of a jobsDeleted event. None: the event cannot be decoded."""
        try:
            return messages.read_deleted(event.value or b"")
        except Exception as fault:  # noqa: BLE001 - it is logged
            _skipped(event.offset, fault)
            return None

    def jobs(self, created: Sequence[LogRecord], now: int) -> Sequence[NewJob]:
        """The jobs with their next runs, without one-time jobs whose time has passed."""
        return [job for job in self.checked(created, now) if job]

    def checked(self, created: Sequence[LogRecord], now: int) -> Iterator[NewJob | None]:
        """The job of each valid event. None: the time of a one-time job has passed."""
        for event, request in zip(created, self._read(messages.read_jobs, created), strict=True):
            if request is not None:
                try:
                    yield next_job(request, event, now, self.stored)
                except Exception as fault:  # noqa: BLE001 - it is logged
                    _skipped(event.offset, fault)

    def _read(
        self, read: Callable[[Sequence[bytes]], Sequence[Found]], created: Sequence[LogRecord]
    ) -> Sequence[Found | None]:
        """Decode all at once, which is ten times faster, or one by one if that fails."""
        try:
            return read([event.value or b"" for event in created])
        except Exception as fault:  # noqa: BLE001 - it is logged
            if len(created) > 1:
                return [found for event in created for found in self._read(read, [event])]
            _skipped(created[0].offset, fault)
            return [None]


class LastEvents:
    """Finds the location of the last valid event of each job.

    It keeps some 130 bytes for each id, and no event. To check an event costs more than all the
    rest of a restore. So most events are checked in the second reading, while Redis and Kafka
    work. An event that would replace an earlier one is checked here: if it is invalid, the earlier
    one counts.
    """

    def __init__(self, reader: EventReader) -> None:
        self.reader = reader
        self._locations: dict[bytes, int] = {}

    def add(self, entries: Sequence[LogRecord], now: int) -> None:
        """Add the next records of the topic."""
        created = [entry for entry in entries if entry.key == CREATED]
        ids = iter(self.reader.ids(created))
        for entry in entries:
            if entry.key == CREATED:
                self._add_created(next(ids), entry, now)
            elif entry.key == DELETED:
                job_id = self.reader.deleted(entry)
                if job_id is not None:
                    self._note(_id_key(job_id), entry)

    def _add_created(self, job_id: str | None, event: LogRecord, now: int) -> None:
        if job_id is None:
            return
        key = _id_key(job_id)
        if key not in self._locations:
            self._note(key, event)
            return
        for job in self.reader.checked([event], now):
            if job:
                self._note(key, event)
            else:
                del self._locations[key]

    def _note(self, key: bytes, event: LogRecord) -> None:
        """Keep the dict in the order of the log: sorting millions would block the event loop."""
        self._locations.pop(key, None)
        self._locations[key] = _location(event)

    async def take(self) -> WantedEvents:
        """The events found so far. Frees the ids."""
        locations = list[int]()
        while self._locations:
            for _ in range(min(len(self._locations), TAKE_BATCH)):
                locations.append(self._locations.popitem()[1])
            await asyncio.sleep(0)
        locations.reverse()
        return WantedEvents(locations)


class WantedEvents:
    """Picks the last event of each job when the topic is read again, in the order of the log."""

    def __init__(self, locations: Sequence[int]) -> None:
        """`locations` are sorted."""
        self.locations = locations
        self.passed = 0
        """Locations that the reading has passed."""
        self.missed = 0
        """Passed locations whose event no longer exists."""

    def extents(self) -> Sequence[Extent]:
        """The range from the first to the last event, for each partition."""
        found, at = list[Extent](), 0
        while at < len(self.locations):
            partition, first = _partition_and_offset(self.locations[at])
            at = bisect_left(self.locations, (partition + 1) << OFFSET_BITS, at)
            _, last = _partition_and_offset(self.locations[at - 1])
            found.append(Extent(partition, first, last + 1))
        return found

    def pick(self, entries: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """The wanted events among the next records."""
        locations, size = self.locations, len(self.locations)
        at, found = self.passed, list[LogRecord]()
        for entry in entries:
            location = _location(entry)
            while at < size and locations[at] < location:
                at, self.missed = at + 1, self.missed + 1
            if at < size and locations[at] == location:
                at += 1
                if entry.key in KEYS:
                    found.append(entry)
                else:
                    self.missed += 1  # the topic was deleted and made again
        self.passed = at
        return found

    def end(self) -> int:
        """End the reading; returns how many of the events no longer exist."""
        self.missed += len(self.locations) - self.passed
        self.passed = len(self.locations)
        return self.missed


def _location(entry: LogRecord) -> int:
    """Partition and offset in one number. The order is that in which the topic is read."""
    return entry.partition << OFFSET_BITS | entry.offset


def _partition_and_offset(location: int) -> tuple[int, int]:
    """Inverse of `_location`."""
    return location >> OFFSET_BITS, location & ((1 << OFFSET_BITS) - 1)


def _id_key(job_id: str) -> bytes:
    """The id, or the digest of a long id."""
    name = job_id.encode()
    return name if len(name) < DIGEST_BYTES else blake2b(name, digest_size=DIGEST_BYTES).digest()


def _skipped(offset: int, fault: Exception) -> None:
    """Log an event that is not restored. Any client may write to that topic."""
    if isinstance(fault, RequestError):
        log.warning("event not restored", offset=offset, reason=str(fault))
    else:
        log.error("event not restored", offset=offset, exc_info=fault)


def next_job(
    request: JobRequest, event: LogRecord, now: int, stored: StoredFormat
) -> NewJob | None:
    """The job with its next run, or None when no run is left.

    Raises `InvalidRequest`: any client may write to that topic.
    """
    if not request.id:
        raise InvalidRequest("Job id not specified.")
    check_fields(request)
    first = first_due(event.headers.get("nominal-time"))
    # The event may be younger than the due time of a one-time job, if it was announced late.
    trigger = find_trigger(request, event.timestamp if first is None else first, LENIENT)
    if first is None:
        first = trigger.due
    due = _next_due(request, trigger, first, now)
    if due is None:
        return None
    if trigger.kind is ONCE and is_relative(request.when):
        request = at_instant(request, first)
    record = _record(request, trigger, event, stored)
    end = job_record.properties_of(record).properties.end
    return None if end is not None and due > end else NewJob(request.id, due, record)


def _next_due(request: JobRequest, trigger: Trigger, first: int, now: int) -> int | None:
    if not trigger.kind.recurring:
        return None if first <= now else first
    text = CronText(request.interval, request.timezone)
    found = recurrence(trigger._replace(due=first), text)
    due = found.next_after(now) if found else None
    return None if due is None else max(first, due)


def _record(request: JobRequest, trigger: Trigger, event: LogRecord, stored: StoredFormat) -> bytes:
    """The record with what the messages of 2018 cannot say, in the format of the store."""
    if stored.number < SCHEDULING_V1:
        return job_record.pack(request, trigger)
    created, more = max(0, event.timestamp), b""
    if header := event.headers.get(JOB_V1):
        try:
            created, more = job_record.read_heritage(header)
        except ValueError as fault:
            raise InvalidRequest(str(fault)) from fault
    return job_record.pack(request, trigger, Note.NONE, created, more)


def first_due(nominal: bytes | None) -> int | None:
    """Epoch ms of the `nominal-time` header that this service adds to jobsCreated."""
    if not nominal:
        return None
    try:
        return round(datetime.fromisoformat(nominal.decode()).timestamp() * 1000)
    except ValueError:
        return None
