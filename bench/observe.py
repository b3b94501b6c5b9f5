"""A read_committed consumer that notes when each run arrives, and whether it is right."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition


class Arrival(NamedTuple):
    """A queuedJob record as the consumer had it."""

    job_id: str
    nominal: float
    """When it was due, epoch seconds."""
    at: float
    """When the consumer had it, epoch seconds."""
    written: float
    """The record's timestamp, epoch seconds."""


class Verdict(NamedTuple):
    """What must be zero."""

    lost: int
    doubled: int
    early: int

    def check(self, name: str) -> None:
        """Raises when a benchmark does not count."""
        if any(self):
            msg = f"{name}: {self.lost} lost, {self.doubled} doubled, {self.early} early"
            raise SystemExit(msg)


class Observer:
    """Reads the jobs topic in a thread of its own."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.raw: list[tuple[float, int, list[tuple[str, bytes]]]] = []
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
                "auto.offset.reset": "earliest",
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            first = self._consumer.poll(0.05)
            if first is None:
                continue
            messages = [first, *self._consumer.consume(2000, timeout=0)]
            now = time.time()
            for message in messages:
                if not message.error() and message.key() == b"queuedJob":
                    headers: Any = message.headers()  # pairs, whatever else its type allows
                    self.raw.append((now, message.timestamp()[1], headers))

    def wait(self, count: int, patience: float) -> None:
        """Return when `count` runs have arrived, or when nothing came for `patience` seconds."""
        seen, last = -1, time.monotonic()
        while len(self.raw) < count and time.monotonic() - last < patience:
            if len(self.raw) != seen:
                seen, last = len(self.raw), time.monotonic()
            time.sleep(0.01)

    def arrivals(self, since: int = 0) -> list[Arrival]:
        """What arrived after the first `since` runs."""
        return [_arrival(*each) for each in self.raw[since:]]

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()


def verdict(expected: Collection[str], arrivals: Collection[Arrival]) -> Verdict:
    """Each expected job once, nothing else, nothing before its time to the millisecond."""
    ids = [arrival.job_id for arrival in arrivals]
    early = sum(
        arrival.written < arrival.nominal or arrival.at < arrival.nominal for arrival in arrivals
    )
    return Verdict(len(set(expected) - set(ids)), len(ids) - len(set(ids)), early)


def _arrival(at: float, written: int, headers: list[tuple[str, bytes]]) -> Arrival:
    known = dict(headers)
    nominal = datetime.fromisoformat(known["nominal-time"].decode()).timestamp()
    return Arrival(known["job-id"].decode(), nominal, at, written / 1000)
