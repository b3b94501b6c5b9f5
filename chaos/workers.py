"""A service that does the jobs: well, badly, twice, late, or never."""

from __future__ import annotations

import heapq
import threading
import time
import zlib
from itertools import count
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from chaos.clock import now_ms
from chaos.generator import SENTINEL
from chaos.history import METRONOME, Recorder
from chaos.model import parse_instant
from tests.client.contract import JobDone, JobFailed, ScheduledJob
from tests.client.topics import Record, TopicReader

DONE, FAILED, BEAT = "jobDone", "jobFailed", "jobHeartbeat"
MANNERS = (
    ("done", 70),
    ("failed", 12),
    ("done twice", 4),
    ("failed twice", 3),
    ("failed, then done", 2),
    ("late", 4),
    ("never", 3),
    ("stranger", 2),
)
"""How runs are answered, in percent. A late one with a time-out of its own sends heartbeats."""
LATE = (0.3, 1.0, 2.5)


class Worker:
    """Reads the jobs topic and answers, in a thread of its own."""

    def __init__(self, recorder: Recorder, bootstrap: str, topic: str, seed: int) -> None:
        self.recorder = recorder
        self.topic = topic
        self.seed = seed
        self.runs = 0
        self.last_run = 0.0
        """When the last run was seen, as time.monotonic() has it."""
        self.tags: set[str] = set()
        """Of sentinels that ran."""
        self.settled = 0
        """Runs that were due before, in epoch ms, are overdue."""
        self.last_overdue = 0.0
        """When the last run was seen that was overdue, as time.monotonic() has it."""
        self.honest = False
        """From now on every run is done at once."""
        self._due: list[tuple[float, int, int, str]] = []
        self._order = count()
        self._leaving = threading.Event()
        self._reader = TopicReader(bootstrap, topic)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 0,
                # After a message timeout librdkafka sends the later records once more.
                "message.timeout.ms": 600_000,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; raises what went wrong."""
        self._leaving.set()
        self._thread.join(90)
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            with self._reader:
                while not self._leaving.is_set():
                    for record in self._reader.poll(self._patience()):
                        if record.key == "queuedJob":
                            self._handle(record)
                    self._reader.records.clear()
                    self._answer_due()
                self._producer.flush(60)
        except BaseException as failure:  # noqa: BLE001 - raised again by stop()
            self.failure = failure

    def _patience(self) -> float:
        return max(0.0, min(0.1, self._due[0][0] - time.monotonic())) if self._due else 0.1

    def _handle(self, record: Record) -> None:
        self.runs += 1
        self.last_run = time.monotonic()
        if is_overdue(record.headers, self.settled):
            self.last_overdue = self.last_run
        job = ScheduledJob.FromString(record.value)
        tag = job.data.payload[0].value.decode()
        if tag.startswith(SENTINEL):
            self.tags.add(tag)
        manner = self._manner(record, job)
        for delay, event in _answers(manner, job.id):
            due = time.monotonic() + delay
            heapq.heappush(self._due, (due, next(self._order), job.id, event))
        if manner == "stranger":  # answers to what was never emitted change nothing
            stranger = 4_000_000_000 + job.id % 1000
            heapq.heappush(self._due, (0.0, next(self._order), stranger, FAILED))

    def _manner(self, record: Record, job: Any) -> str:
        if self.honest or job.type.startswith(METRONOME):
            return "done"
        name = f"{self.seed}/{record.headers.get('nominal-time')}/{job.data.payload[0].value}"
        draw = zlib.crc32(f"{name}/{record.headers.get('attempt')}".encode()) % 100
        for manner, percent in MANNERS:
            draw -= percent
            if draw < 0:
                return "beating" if manner == "late" and "deadline" in record.headers else manner
        return "done"

    def _answer_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, instance, event = heapq.heappop(self._due)
            failed = event == FAILED
            message = JobFailed(id=instance, error="no") if failed else JobDone(id=instance)
            self._send(instance, event, message)
        self._producer.poll(0)

    def _send(self, instance: int, event: str, message: Any) -> None:
        def delivered(error: KafkaError | None, record: Message) -> None:
            offset = None if error else record.offset()
            self.recorder.write("sent", at=now_ms(), id=instance, event=event, offset=offset)

        self._producer.produce(
            self.topic, message.SerializeToString(), event, partition=0, on_delivery=delivered
        )


def is_overdue(headers: dict[str, str], settled: int) -> bool:
    """Whether a run was due before an instant, in epoch ms. Retries come when they come."""
    return headers["attempt"] == "1" and parse_instant(headers["nominal-time"]) < settled


def _answers(manner: str, instance: int) -> list[tuple[float, str]]:
    """(delay, event) of each answer."""
    late = LATE[instance % len(LATE)]
    return {
        "done": [(0.0, DONE)],
        "stranger": [(0.0, DONE)],
        "failed": [(0.0, FAILED)],
        "done twice": [(0.0, DONE), (0.2, DONE)],
        "failed twice": [(0.0, FAILED), (0.05, FAILED)],
        "failed, then done": [(0.0, FAILED), (0.1, DONE)],
        "late": [(late, FAILED if instance % 2 else DONE)],
        "beating": [(1.2, BEAT), (2.4, BEAT), (4.0, DONE)],
        "never": [],
    }[manner]
