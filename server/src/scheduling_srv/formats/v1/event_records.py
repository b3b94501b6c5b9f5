"""Events from the records of jobs, jobs.resource and the service's own topic of events."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from scheduling_client.wire import job_pb2 as jobs
from scheduling_srv.domain.event import Event, EventKind, EventRun
from scheduling_srv.domain.job import LONGEST_ERROR
from scheduling_srv.formats.kafka_records import (
    INSTANCES,
    LONGEST_NUMBER,
    MOST_ATTEMPTS,
    Emission,
    LogRecord,
    RunKey,
    Topic,
)
from scheduling_srv.formats.messages import at_most
from scheduling_srv.formats.outbox_entries import ORIGINS
from scheduling_srv.runtime.throttle import Throttle

UNREAD = Throttle("record of an event cannot be read", counted="unread_since_last_line")
"""One line a minute for each topic: anybody may write to some of them."""

MOST_REMEMBERED = 50_000
"""Runs, and types of jobs, that are remembered: answers and deletions name neither."""
WORDS = {
    "PAUSED": EventKind.PAUSED,
    "RESUMED": EventKind.RESUMED,
    "SKIPPED": EventKind.SKIPPED,
    "MISSED": EventKind.MISSED,
    "TIMED_OUT": EventKind.TIMED_OUT,
    "FINALLY_FAILED": EventKind.FINALLY_FAILED,
    "CANCELLED": EventKind.CANCELLED,
}
"""Kind of an event without a record of its own -> what it is."""
ORIGIN_NAMES = tuple(each.decode() for each in ORIGINS)


class KnownRun(NamedTuple):
    """A run that was seen."""

    job_id: str
    type: str
    labels: Mapping[str, str]
    run: EventRun


class _Recent(OrderedDict[Any, Any]):
    """The newest entries of a mapping."""

    def note(self, key: Any, value: Any) -> None:  # noqa: ANN401 - of any kind
        self[key] = value
        self.move_to_end(key)
        if len(self) > MOST_REMEMBERED:
            self.popitem(last=False)


class EventRecords:
    """Reads records in their order. It remembers what later records leave out."""

    def __init__(self) -> None:
        self._runs = _Recent()
        """Instance id -> run."""
        self._jobs = _Recent()
        """Job id -> type and labels."""
        self._readers: Mapping[tuple[Topic, bytes], Callable[[LogRecord, str], Event]] = {
            (Topic.JOBS, b"queuedJob"): self._queued,
            (Topic.JOBS, b"jobDone"): self._done,
            (Topic.JOBS, b"jobFailed"): self._failed,
            (Topic.JOBS, b"jobHeartbeat"): self._heartbeat,
            (Topic.RESOURCES, b"jobsCreated"): self._created,
            (Topic.RESOURCES, b"jobsDeleted"): self._deleted,
        }

    def tells(self, topic: Topic, key: bytes | None) -> bool:
        """Whether a record tells of an event, unless it cannot be read."""
        return topic is Topic.EVENTS or (topic, key or b"") in self._readers

    def read(self, topic: Topic, record: LogRecord) -> Event | None:
        """The event that a record tells of; None: none, or it cannot be read."""
        reader = self._readers.get((topic, record.key or b""))
        if topic is Topic.EVENTS:
            reader = self._told
        if reader is None:
            return None
        try:
            event_id = _text(record, "event-id")
            return reader(record, event_id or f"{topic}:{record.partition}:{record.offset}")
        except Exception as fault:  # noqa: BLE001 - a fault here would end every watch again and again
            place = f"{topic}:{record.partition}:{record.offset}"
            UNREAD.note(topic, record=place, fault=type(fault).__name__)
            return None

    # --- Runs ---------------------------------------------------------------------------------

    def _queued(self, record: LogRecord, name: str) -> Event:
        found = Emission.parse(record)
        known = KnownRun(
            job_id=found.run.job_id,
            type=found.type.decode(),
            labels=_labels(record.headers.get("labels", b"{}")),
            run=EventRun(
                run_id=_text(record, "run-id")
                or f"{found.run.job_id}/{found.run.seq}/{found.run.nominal}",
                nominal=found.run.nominal,
                origin=_text(record, "origin") or "schedule",
                attempt=found.attempt,
                instance=found.instance,
            ),
        )
        self._runs.note(found.instance, known)
        self._jobs.note(known.job_id, (known.type, known.labels))
        return _of_run(EventKind.QUEUED, record, name, known)

    def _done(self, record: LogRecord, name: str) -> Event:
        return self._answered(EventKind.DONE, jobs.JobDone, record, name)

    def _failed(self, record: LogRecord, name: str) -> Event:
        return self._answered(EventKind.FAILED, jobs.JobFailed, record, name)

    def _heartbeat(self, record: LogRecord, name: str) -> Event:
        return self._answered(EventKind.HEARTBEAT, jobs.JobDone, record, name)

    def _answered(
        self,
        kind: EventKind,
        message: type[jobs.JobDone | jobs.JobFailed],
        record: LogRecord,
        name: str,
    ) -> Event:
        answer = message.FromString(record.value or b"")
        known = self._runs.get(answer.id)
        error = answer.error if isinstance(answer, jobs.JobFailed) else ""
        reason = at_most(error, LONGEST_ERROR)
        return _of_run(kind, record, name, known or self._as_told(record, answer.id), reason)

    def _as_told(self, record: LogRecord, instance: int) -> KnownRun:
        """The run of an answer that was emitted before the first record here."""
        try:
            run, attempt = RunKey.and_attempt(record.headers["occurrence-id"])
            is_ours = run.is_possible and 0 <= attempt < MOST_ATTEMPTS
        except (KeyError, ValueError):
            is_ours = False
        if not is_ours:
            return KnownRun("", "", {}, EventRun("", 0, "", 0, instance))
        kind, labels = self._jobs.get(run.job_id, ("", {}))
        about = EventRun(run.id, run.nominal, ORIGIN_NAMES[run.origin], attempt, instance)
        return KnownRun(run.job_id, kind, labels, about)

    # --- Jobs ---------------------------------------------------------------------------------

    def _created(self, record: LogRecord, name: str) -> Event:
        found = jobs.Job.FromString(record.value or b"")
        labels = self._jobs.get(found.id, ("", {}))[1]
        self._jobs.note(found.id, (found.type, labels))
        time = record.timestamp
        return Event(name, EventKind.CREATED, time, found.id, found.type, labels)

    def _deleted(self, record: LogRecord, name: str) -> Event:
        job_id = _text(record, "job-id")
        kind, labels = self._jobs.get(job_id, ("", {}))
        reason, error = _text(record, "outcome"), _text(record, "error")
        if error:
            reason = f"{reason}: {at_most(error, LONGEST_ERROR)}"
        time = record.timestamp
        return Event(name, EventKind.DELETED, time, job_id, kind, labels, reason=reason)

    # --- Events without a record of their own -------------------------------------------------

    def _told(self, record: LogRecord, name: str) -> Event:
        found = _object(json.loads(record.value or b""))
        pause = _object(found.get("pause", {}))
        job_id = _string(found, "job")
        labels = self._jobs.get(job_id, ("", {}))[1]
        return Event(
            id=name,
            kind=WORDS[found["kind"]],
            time=_number(found, "at") or _number(pause, "since") or record.timestamp,
            job_id=job_id,
            type=_string(found, "type"),
            labels=labels,
            run=_run_told(found),
            count=_number(found, "count", 1),
            reason=_string(found, "reason") or _string(pause, "note"),
            by=_string(pause, "by"),
        )


def _run_told(found: Mapping[str, Any]) -> EventRun | None:
    if "nominal" not in found:
        return None
    nominal = _number(found, "nominal")
    run_id = f"{_string(found, 'job')}/{_number(found, 'seq')}/{nominal}"
    attempt = _number(found, "attempt", below=MOST_ATTEMPTS)
    instance = _number(found, "instance", below=INSTANCES)
    return EventRun(run_id, nominal, "schedule", attempt, instance)


def _of_run(
    kind: EventKind, record: LogRecord, name: str, known: KnownRun, reason: str = ""
) -> Event:
    job_id, type_, labels, run = known
    return Event(name, kind, record.timestamp, job_id, type_, labels, run, reason=reason)


def _text(record: LogRecord, name: str) -> str:
    return record.headers.get(name, b"").decode()


# --- Values of JSON. Each raises `TypeError` or `ValueError` for one that no event can hold -------


def _object(found: Any) -> Mapping[str, Any]:  # noqa: ANN401 - of any kind
    if not isinstance(found, dict):
        raise TypeError("It is no object.")
    return found


def _string(found: Mapping[str, Any], name: str) -> str:
    text = found.get(name, "")
    if not isinstance(text, str):
        raise TypeError(f"{name} is no text.")
    text.encode()  # lone surrogates are JSON, and no text of protobuf
    return text


def _number(
    found: Mapping[str, Any], name: str, default: int = 0, *, below: int = LONGEST_NUMBER
) -> int:
    number = int(found.get(name, default))
    if not 0 <= number < below:
        raise ValueError(f"{name} is out of range.")
    return number


def _labels(header: bytes) -> Mapping[str, str]:
    labels = _object(json.loads(header))
    return {name: _string(labels, name) for name in labels}
