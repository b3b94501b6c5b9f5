"""The runs that a service under test has emitted, as its topic has them."""

from __future__ import annotations

import os
import time
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_client.worker import Run, messages
from scheduling_client.worker.settings import from_environment

ASK_SECONDS = 10.0
BATCH = 1000
_TOPIC = "io.restorecommerce.jobs"


class EmittedRuns:
    """Reads the topic from its beginning."""

    def __init__(self, kafka: str) -> None:
        self._topic = from_environment("TOPIC_JOBS", _TOPIC)
        self._runs: list[Run] = []
        self._next: dict[int, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": f"test-{os.getpid()}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,  # marks of transactions are records, too
                "fetch.wait.max.ms": 5,
                "log_level": 0,
            }
        )

    def __enter__(self) -> Self:
        """Raises `KafkaException`."""
        found = self._consumer.list_topics(self._topic, timeout=ASK_SECONDS)
        self._next = dict.fromkeys(found.topics[self._topic].partitions, 0)
        self._consumer.assign([TopicPartition(self._topic, each, 0) for each in self._next])
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def read(self, seconds: float) -> None:
        """Read what there is, and wait so long for it. Raises `KafkaException`."""
        first = self._consumer.poll(seconds)
        for message in [] if first is None else [first, *self._consumer.consume(BATCH, 0)]:
            self._note(message)

    def take(self) -> list[Run]:
        """All runs that the topic has now, and that were not taken before. Raises as `read`."""
        ends = {each: self._end(each) for each in self._next}
        deadline = time.monotonic() + ASK_SECONDS
        while any(self._next[each] < end for each, end in ends.items()):
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
            self.read(0.1)
        taken, self._runs = self._runs, []
        return taken

    def _end(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        found = self._consumer.get_watermark_offsets(place, timeout=ASK_SECONDS)
        return found[1]

    def _note(self, message: Message) -> None:
        partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                raise KafkaException(error)
            self._next[partition] = offset
            return
        self._next[partition] = offset + 1
        if message.key() == messages.QUEUED:
            job = messages.read_job(message.value() or b"")
            self._runs.append(messages.run_of(job, message, lambda _: None))
