"""Reads all that the service publishes, and answers its runs."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from confluent_kafka import Producer

from tests.client.contract import CommandResponse, JobDone, ScheduledJob
from tests.client.topics import Record, TopicReader
from tests.harness.names import Names

WITNESS = b"witness-"
"""The payloads of ordinary jobs begin with it; no input has it."""


class Watch:
    """The records read so far; `until` and `catch_up` read on."""

    def __init__(self, bootstrap: str, names: Names, producer: Producer) -> None:
        """`producer` sends the answers."""
        self.runs: Counter[str] = Counter()
        """Of each ordinary job."""
        self.nominals: dict[str, list[str]] = defaultdict(list)
        """When the runs of each were due."""
        self.announced: set[str] = set()
        """Ids of jobs, of this round."""
        self.ids: Counter[str] = Counter()
        """Event and occurrence ids, of this round."""
        self.letters: list[Record] = []
        """Dead letters, of this batch."""
        self.results: list[bytes] = []
        """What commands were answered, of this batch."""
        self.responses = 0
        self._names = names
        self._producer = producer
        self.reader = TopicReader(bootstrap, *names.topics)

    def until(self, ask: Callable[[], bool], seconds: float) -> bool:
        """Read until `ask` says yes; False if it does not in time."""
        deadline = time.monotonic() + seconds
        while not ask():
            if time.monotonic() > deadline:
                return False
            self.take(self.reader.poll(0.05))
        return True

    def catch_up(self) -> None:
        """Read everything that the topics hold now."""
        self.take(self.reader.drain())

    def begin_batch(self) -> None:
        """Forget what the batch before has led to."""
        self.letters.clear()
        self.results.clear()

    def begin_round(self) -> None:
        """Forget what the round before has led to."""
        self.announced.clear()
        self.ids.clear()

    def doubled(self) -> Iterator[str]:
        """Ids that two records have."""
        return (found for found, count in self.ids.items() if count > 1)

    def take(self, records: list[Record]) -> None:
        """Notice these records."""
        for record in records:
            if record.topic == self._names.dead_letter:
                self.letters.append(record)
            elif "event-id" in record.headers:  # else it is an input
                self._published(record)
        self.reader.records.clear()
        self._producer.poll(0)

    def _published(self, record: Record) -> None:
        for name in ("event-id", "occurrence-id"):
            if value := record.headers.get(name):
                self.ids[f"{name} {value}"] += 1
        if record.topic == self._names.commands:
            self.responses += 1
            self.results.append(record.parse(CommandResponse).payload.value)
            return
        self.announced.add(record.headers.get("job-id", ""))
        if record.key == "queuedJob":
            self._answer(record)

    def _answer(self, record: Record) -> None:
        job = record.parse(ScheduledJob)
        for each in job.data.payload:
            if each.value.startswith(WITNESS):
                tag = each.value.decode()
                self.runs[tag] += 1
                self.nominals[tag].append(record.headers["nominal-time"])
        done = JobDone(id=job.id, schedule_type=job.schedule_type).SerializeToString()
        self._producer.produce(self._names.jobs, done, "jobDone", partition=0)
