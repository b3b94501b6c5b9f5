"""Reads the events of jobs from Kafka, as any consumer could."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka import Consumer, Message, TopicPartition

from examples.demo.jobs import retry_delay
from scheduling_client.wire import job_pb2 as wire

JOBS, RESOURCES = "io.restorecommerce.jobs", "io.restorecommerce.jobs.resource"
LONGEST_WAIT_MS = 5_000
"""How long a run waits for the creation of its job."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    what: str
    """`created`, `queued`, `done`, `failed` or `deleted`."""
    at: int
    """When it was put on Kafka, in epoch ms."""
    seen: int
    """When we had it."""
    job_id: str = ""
    job_type: str = ""
    instance: int = 0
    attempt: int = 0
    nominal: int = 0
    """When the run was due at first, in epoch ms."""
    due: int = 0
    """When this attempt was due: for a retry, the failure before it and the backoff."""
    error: str = ""
    schedule_type: str = ""

    @property
    def late(self) -> int:
        """Milliseconds from the instant when a run was due until we had its record."""
        return self.seen - self.due


def epoch_ms() -> int:
    """The time."""
    return round(time.time() * 1000)


@dataclass
class Events:
    """Follows both topics, and keeps the events that it has seen."""

    bootstrap: str
    now: Callable[[], int] = epoch_ms
    log: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._types: dict[str, str] = {}
        self._runs: dict[int, Event] = {}
        self._waiting: list[Message] = []
        self._failures: dict[tuple[str, int], Event] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "demo-screen",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                "log_level": 0,  # the broker ends with the service
            }
        )
        # The embedded broker starts empty: from the first record on, nothing is missed.
        self._consumer.assign([TopicPartition(topic, 0, 0) for topic in (JOBS, RESOURCES)])

    def know(self, jobs: Iterable[wire.Job]) -> None:
        """Types of jobs whose creation was not seen."""
        self._types.update({job.id: job.type for job in jobs})

    def poll(self, seconds: float = 0.1) -> list[Event]:
        """The events since the last call, in order."""
        first = self._consumer.poll(seconds)
        if first is not None:
            messages = [first, *self._consumer.consume(100, timeout=0)]
            self._waiting += [message for message in messages if not message.error()]
        now = self.now()
        events = list(self._read(self._ready(now), now))
        self.log += events
        return events

    def _ready(self, now: int) -> list[Message]:
        """The messages in their order.

        Consumers may get the topics in any order. The run of a job waits for the job's creation.
        """
        self._waiting.sort(key=lambda message: message.timestamp()[1])
        ready, waiting = list[Message](), list[Message]()
        known = {*self._types}
        for message in self._waiting:
            if message.topic() == RESOURCES:
                ready.append(message)
                if message.key() == b"jobsCreated":
                    known.add(wire.Job.FromString(message.value() or b"").id)
        for message in self._waiting:
            if message.topic() == JOBS:
                late = now - message.timestamp()[1] > LONGEST_WAIT_MS
                held = waiting or not (late or self._is_known(message, known))
                (waiting if held else ready).append(message)
        self._waiting = waiting
        return sorted(ready, key=lambda message: message.timestamp()[1])

    def _is_known(self, message: Message, known: set[str]) -> bool:
        if message.key() != b"queuedJob":
            return True
        run = wire.ScheduledJob.FromString(message.value() or b"")
        return run.schedule_type == "NOW" or _headers(message)["job-id"] in known

    def close(self) -> None:
        """Stop following."""
        self._consumer.close()

    def _read(self, messages: Iterable[Message], seen: int) -> Iterator[Event]:
        readers = {
            "jobsCreated": self._created,
            "queuedJob": self._queued,
            "jobDone": self._done,
            "jobFailed": self._failed,
            "jobsDeleted": self._deleted,
        }
        for message in messages:
            reader = readers.get((message.key() or b"").decode())
            if reader:
                yield reader(message.value() or b"", message, seen)

    def _created(self, value: bytes, message: Message, seen: int) -> Event:
        job = wire.Job.FromString(value)
        self._types[job.id] = job.type
        return Event("created", message.timestamp()[1], seen, job.id, job.type)

    def _queued(self, value: bytes, message: Message, seen: int) -> Event:
        job, headers = wire.ScheduledJob.FromString(value), _headers(message)
        attempt, nominal = int(headers["attempt"]), _epoch_ms(headers["nominal-time"])
        job_id, due = headers["job-id"], nominal
        self._types[job_id] = job.type
        if failure := self._failures.get((job_id, nominal)):
            due = failure.at + retry_delay(attempt)
        run = Event(
            "queued",
            message.timestamp()[1],
            seen,
            job_id,
            job.type,
            job.id,
            attempt,
            nominal,
            due,
            schedule_type=job.schedule_type,
        )
        self._runs[job.id] = run
        return run

    def _done(self, value: bytes, message: Message, seen: int) -> Event:
        return self._answer("done", wire.JobDone.FromString(value).id, message, seen)

    def _failed(self, value: bytes, message: Message, seen: int) -> Event:
        answer = wire.JobFailed.FromString(value)
        event = self._answer("failed", answer.id, message, seen, answer.error)
        self._failures[event.job_id, event.nominal] = event
        return event

    def _answer(
        self, what: str, instance: int, message: Message, seen: int, error: str = ""
    ) -> Event:
        at = message.timestamp()[1]
        run = self._runs.get(instance)
        if run is None:
            return Event(what, at, seen, instance=instance, error=error)
        return Event(
            what,
            at,
            seen,
            run.job_id,
            run.job_type,
            instance,
            run.attempt,
            run.nominal,
            error=error,
            schedule_type=run.schedule_type,
        )

    def _deleted(self, value: bytes, message: Message, seen: int) -> Event:
        job_id = wire.Deleted.FromString(value).id
        return Event(
            "deleted", message.timestamp()[1], seen, job_id, self._types.get(job_id, job_id)
        )


def _headers(message: Message) -> Mapping[str, str]:
    pairs = message.headers() or []
    return {
        name: value.decode() if isinstance(value, bytes) else value or ""
        for name, value in (pairs.items() if isinstance(pairs, dict) else pairs)
    }


def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
