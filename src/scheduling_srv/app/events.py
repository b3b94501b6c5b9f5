"""What the events on `jobs.resource` say of each job, and the job that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

import structlog

from scheduling_srv.app.pieces import pieces
from scheduling_srv.app.records import LogRecord
from scheduling_srv.domain import record
from scheduling_srv.domain.errors import InvalidRequest, RequestError
from scheduling_srv.domain.job import JobRequest, NewJob, TriggerKind
from scheduling_srv.domain.validation import Rules, check_fields, find_trigger

log = structlog.get_logger(__name__)

LENIENT = Rules(min_interval=1)
"""What was accepted once is put back, whatever the settings say now."""

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


class Created(NamedTuple):
    """A jobsCreated event; a restore holds as many as there are jobs."""

    offset: int
    timestamp: int
    value: bytes
    nominal: bytes | None
    """The `nominal-time` header."""


class Events:
    """The last event of each job that says something; all others are skipped.

    Checking an event costs more than all the rest of a restore, and can be done while Redis and
    Kafka work on others. So it is left until the job is wanted, unless there is an event before
    it which counts if this one is worth nothing.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.last: dict[str, Created | None] = {}
        """None: the job is gone."""

    def add(self, entries: Sequence[LogRecord], now: int) -> None:
        """The next records of the topic."""
        created = [
            Created(
                entry.offset, entry.timestamp, entry.value or b"", entry.headers.get("nominal-time")
            )
            for entry in entries
            if entry.key == b"jobsCreated"
        ]
        found = zip(created, self._read(self.codec.ids, created), strict=True)
        for entry in entries:
            if entry.key == b"jobsCreated":
                event, job_id = next(found)
                if job_id is not None:
                    self._add_created(job_id, event, now)
            elif entry.key == b"jobsDeleted":
                try:
                    self.last[self.codec.deleted(entry.value or b"")] = None
                except Exception as fault:  # noqa: BLE001 - it is logged
                    _skipped(entry.offset, fault)

    def _add_created(self, job_id: str, event: Created, now: int) -> None:
        if job_id not in self.last:
            self.last[job_id] = event
            return
        for _, job in self._checked([event], now):
            if job:
                self.last[job_id] = event
            else:
                del self.last[job_id]

    def pieces(self, size: int) -> Iterator[tuple[Sequence[Created], Sequence[str]]]:
        """All of it, `size` jobs at a time: those that were created last, and ids that are gone."""
        for piece in pieces(self.last.items(), size):
            created = [event for _, event in piece if event]
            yield created, [job_id for job_id, event in piece if event is None]

    def jobs(self, created: Sequence[Created], now: int) -> Sequence[NewJob]:
        """With their next runs, but for one-time jobs whose time has passed."""
        return [job for _, job in self._checked(created, now) if job]

    def _checked(
        self, created: Sequence[Created], now: int
    ) -> Iterator[tuple[Created, NewJob | None]]:
        """None: the time of a one-time job has passed."""
        for event, request in zip(created, self._read(self.codec.created, created), strict=True):
            if request is not None:
                try:
                    yield event, next_job(request, event, now)
                except Exception as fault:  # noqa: BLE001 - it is logged
                    _skipped(event.offset, fault)

    def _read(
        self, read: Callable[[Sequence[bytes]], Sequence[Found]], created: Sequence[Created]
    ) -> Sequence[Found | None]:
        """All at once, which is ten times faster, or each for itself if one cannot be read."""
        try:
            return read([event.value for event in created])
        except Exception as fault:  # noqa: BLE001 - it is logged
            if len(created) > 1:
                return [found for event in created for found in self._read(read, [event])]
            _skipped(created[0].offset, fault)
            return [None]


def _skipped(offset: int, fault: Exception) -> None:
    """Anybody may write to that topic; one record must not keep the others."""
    if isinstance(fault, RequestError):
        log.warning("event not restored", offset=offset, reason=str(fault))
    else:
        log.error("event not restored", offset=offset, exc_info=fault)


def next_job(request: JobRequest, event: Created, now: int) -> NewJob | None:
    """The job with its next run, or None when its only run has passed.

    Raises `InvalidRequest`: anybody may write to that topic.
    """
    if not request.id:
        raise InvalidRequest("Job id not specified.")
    check_fields(request)
    first = first_due(event.nominal)
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
        due = first
    return NewJob(request.id, due, record.pack(request, trigger))


def first_due(nominal: bytes | None) -> int | None:
    """From the `nominal-time` header that this service gives to jobsCreated, in epoch ms."""
    if not nominal:
        return None
    try:
        return round(datetime.fromisoformat(nominal.decode()).timestamp() * 1000)
    except ValueError:
        return None
