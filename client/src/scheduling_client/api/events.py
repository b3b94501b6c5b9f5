"""Events of jobs and runs, as programs see them, and how a watcher goes on by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from scheduling_client.api.errors import Exhausted, SchedulingError, Unavailable
from scheduling_client.api.jobs import Run
from scheduling_client.api.messages import known, run_in, time_in
from scheduling_client.api.retrying import Attempts
from scheduling_client.wire.v1 import event_service_pb2 as service

WATCH = "/scheduling.v1.EventService/WatchEvents"
SLOW = "SLOW_WATCHER"


class EventKind(Enum):
    """The kind of an event."""

    UNKNOWN = 0
    CREATED = 1
    DELETED = 2
    QUEUED = 3
    DONE = 4
    FAILED = 5
    """An attempt has failed."""
    TIMED_OUT = 6
    FINALLY_FAILED = 7
    SKIPPED = 8
    MISSED = 9
    PAUSED = 10
    RESUMED = 11
    CANCELLED = 12
    HEARTBEAT = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job or a run."""

    id: str
    """The same for each re-send."""
    kind: EventKind
    time: datetime | None
    job_id: str = ""
    """Empty: it is about a type, or the job is not known."""
    type: str = ""
    run: Run | None = None
    count: int = 1
    """How many runs it is about."""
    reason: str = ""
    by: str = ""
    cursor: str = ""
    """A watcher that begins with it gets the events after this one and those sent with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events. All conditions that are set apply; none: all events."""

    job_id: str = ""
    type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    kinds: Sequence[EventKind] = ()


def events_in(raw: bytes) -> list[Event]:
    """Those of a message of `WatchEvents`."""
    message = service.WatchEventsResponse.FromString(raw)
    return [_event_in(each, message.cursor) for each in message.events]


class Watch:
    """The state of one watcher over several connections."""

    def __init__(self, where: EventFilter, cursor: str, seconds: float) -> None:
        """`seconds`: how long the service may be away."""
        self._where = where
        self._cursor = cursor
        self._seconds = seconds
        self._attempts = self._new_attempts()

    @property
    def request(self) -> service.WatchEventsRequest:
        """For the next connection."""
        return service.WatchEventsRequest(
            job_id=self._where.job_id,
            type=self._where.type,
            labels=self._where.labels,
            kinds=[each.value for each in self._where.kinds],  # type: ignore[misc]
            cursor=self._cursor,
        )

    def events(self, message: Any) -> list[Event]:  # noqa: ANN401 - a WatchEventsResponse
        """Those of a message. The connection works."""
        self._cursor = message.cursor
        self._attempts = self._new_attempts()
        return [_event_in(each, message.cursor) for each in message.events]

    def pause_after(self, error: SchedulingError) -> float:
        """Seconds until the next connection. Raises the error if there is to be none."""
        if isinstance(error, Exhausted) and error.reason == SLOW:
            return 0.0
        if isinstance(error, Unavailable):
            return self._attempts.pause_after(error)
        raise error

    def _new_attempts(self) -> Attempts:
        return Attempts(self._seconds, repeatable=True)


def _event_in(message: service.Event, cursor: str) -> Event:
    return Event(
        id=message.event_id,
        kind=known(EventKind, message.kind, EventKind.UNKNOWN),
        time=time_in(message, "time"),
        job_id=message.job_id,
        type=message.type,
        run=run_in(message.run) if message.HasField("run") else None,
        count=message.count,
        reason=message.reason,
        by=message.by,
        cursor=cursor,
    )
