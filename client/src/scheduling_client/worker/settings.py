"""Where Kafka and the service are, and the bounds of a worker."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scheduling_client.worker.errors import WorkerError

MOST_OPEN_RUNS = 10_000
"""Runs that wait in a worker, are at work, or whose answers are not confirmed."""
MOST_OPEN_BYTES = 64 << 20
"""Bytes of their records."""
PREFETCH_KIB = 16 << 10
"""Records that the Kafka client reads ahead."""
BATCH = 100
"""Records that go to the event loop at once. Larger batches leave the caches of a processor."""
SESSION_TIMEOUT_MS = 6_000
"""After so long the runs of a worker that died go to another one."""
COMMIT_SECONDS = 1.0
"""Between two commits of offsets."""
RELEASE_SECONDS = 10.0
"""How long a partition that goes to another worker waits for runs at work."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker is started with."""

    name: str
    group: str
    kafka: str
    """Bootstrap servers."""
    topic: str
    instance: str
    """The name of this member of the group, the same after a crash."""
    options: Mapping[str, Any]
    """Further properties of librdkafka."""
    completion_timeout_seconds: float
    """That of the service: older runs are of no use, and long runs send heartbeats."""
    stop_within_seconds: float

    def consumer(self) -> dict[str, Any]:
        """The properties of the consumer."""
        return {
            "bootstrap.servers": self.kafka,
            "group.id": self.group,
            "client.id": self.name,
            "group.instance.id": self.instance,
            "auto.offset.reset": "earliest",  # a topic that was made anew; a first start seeks
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 6,
            "queued.max.messages.kbytes": PREFETCH_KIB,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 50,  # a second would let the worker run out of records
            "topic.metadata.refresh.interval.ms": 10_000,  # a topic that is not there yet
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 0,  # errors come as callbacks
            **self.options,
        }

    def admin(self) -> dict[str, Any]:
        """The properties of the client that asks about the topic."""
        return {
            "bootstrap.servers": self.kafka,
            "client.id": self.name,
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 0,
            **self.options,
        }

    def producer(self) -> dict[str, Any]:
        """The properties of the producer."""
        return {
            "bootstrap.servers": self.kafka,
            "client.id": self.name,
            "enable.idempotence": True,
            "message.timeout.ms": 0,  # an answer is tried until Kafka has it
            "linger.ms": 5,
            "queue.buffering.max.messages": 10 * MOST_OPEN_RUNS,
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 0,
            **self.options,
        }


def group_of(name: str, types: Iterable[str]) -> str:
    """The consumer group of the workers of this name that serve these types."""
    text = "\n".join(sorted(types))
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def from_environment(name: str, default: str) -> str:
    """A variable SCHEDULING_*, which service and worker share."""
    return os.environ.get(f"SCHEDULING_{name}") or default


def kafka_options() -> dict[str, Any]:
    """The JSON of SCHEDULING_KAFKA_OPTIONS. Raises `WorkerError`."""
    text = from_environment("KAFKA_OPTIONS", "{}")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise WorkerError("SCHEDULING_KAFKA_OPTIONS is not a JSON object of librdkafka properties.")
    return found
