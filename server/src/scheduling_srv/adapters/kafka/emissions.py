"""Looks for the runs of one job on the jobs topic, around an instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from scheduling_srv.adapters.kafka.clients import make_consumer, unavailable
from scheduling_srv.adapters.kafka.connecting import metadata
from scheduling_srv.adapters.kafka.history import as_record
from scheduling_srv.domain.explanation.facts import Emitted, TopicRead
from scheduling_srv.domain.run import RunOrigin
from scheduling_srv.formats.kafka_records import QUEUED_KEY, Emission

MOST_RECORDS, MOST_BYTES, MOST_SECONDS = 10_000, 8_000_000, 2.0
"""Of one look."""
AT_ONCE = 500
ANSWER_SECONDS = 2.0
"""Seconds to wait for each answer of the broker."""
POLL_SECONDS = 0.2
WITHIN_MS = 1_000
"""An instant may be given in whole seconds."""


class KafkaEmissions:
    """Implements `EmissionReading`. Each look has a consumer of its own, without a group."""

    def __init__(
        self, config: Mapping[str, str | int | float | bool], namespace: str, topic: str
    ) -> None:
        self.config = {
            **config,
            "group.id": f"{namespace}-history",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": MOST_BYTES // 1000,
            "fetch.wait.max.ms": 10,
        }
        self.topic = topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="emissions")

    async def emitted(self, job_id: str, nominal: int, since: int) -> TopicRead:
        """One look at a time, even if callers give up: a look that has begun goes on."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._look, job_id, nominal, since)
        except KafkaException as fault:
            reason = str(unavailable(fault, self.config))
            return TopicRead(since, since, whole=False, fault=reason)

    def _look(self, job_id: str, nominal: int, since: int) -> TopicRead:
        with closing(make_consumer(self.config, polled=False)) as consumer:
            starts, is_whole = self._starts(consumer, since)
            look = Look(job_id, nominal, since, {each.partition for each in starts})
            if starts:
                consumer.assign(starts)
                look.run(consumer)
            return look.found(is_whole=is_whole)

    def _starts(self, consumer: Consumer, since: int) -> tuple[list[TopicPartition], bool]:
        """Where to read each partition that has more; whether none has lost records of then."""
        known = metadata(consumer, self.topic, seconds=ANSWER_SECONDS).topics[self.topic]
        asked = [TopicPartition(self.topic, number, max(0, since)) for number in known.partitions]
        found = consumer.offsets_for_times(asked, timeout=ANSWER_SECONDS) if asked else []
        starts = [each for each in found if each.offset != OFFSET_END]
        is_whole = True
        for each in starts:
            place = TopicPartition(each.topic, each.partition)
            low, _ = consumer.get_watermark_offsets(place, timeout=ANSWER_SECONDS)
            is_whole = is_whole and (low == 0 or each.offset > low)
        return starts, is_whole


class Look:
    """Reads until it has found the run, or has read enough."""

    def __init__(self, job_id: str, nominal: int, since: int, partitions: set[int]) -> None:
        self.prefix = f"{job_id}/".encode()
        self.nominals = range(nominal, nominal + WITHIN_MS)
        self.since = self.until = since
        self.left = partitions
        """Partitions that have not ended."""
        self.records = self.bytes = 0
        self.emitted = list[Emitted]()
        self.is_found = False

    def run(self, consumer: Consumer) -> None:
        """Read. Raises `KafkaException`."""
        ends = time.monotonic() + MOST_SECONDS
        while self.left and not self.is_found and time.monotonic() < ends:
            if self.records >= MOST_RECORDS or self.bytes >= MOST_BYTES:
                return
            for message in consumer.consume(AT_ONCE, timeout=POLL_SECONDS):
                self._see(message)

    def found(self, *, is_whole: bool) -> TopicRead:
        """The answer. `is_whole`: no record from the beginning on is lost."""
        return TopicRead(self.since, self.until, is_whole and not self.left, self.emitted)

    def _see(self, message: Message) -> None:
        if error := message.error():
            self._note(message, error)
            return
        self.records += 1
        self.bytes += len(message)
        self.until = max(self.until, message.timestamp()[1])
        if message.key() == QUEUED_KEY:
            with suppress(ValueError, KeyError, IndexError):  # anybody may write to the topic
                self._see_run(message)

    def _note(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            self.left.discard(message.partition() or 0)
        elif not error.retriable():
            raise KafkaException(error)

    def _see_run(self, message: Message) -> None:
        record = as_record(message)
        if not record.headers["occurrence-id"].startswith(self.prefix):
            return
        run, attempt, _, at, kind, *_ = Emission.parse(record)
        if f"{run.job_id}/".encode() != self.prefix:
            return  # an id may hold a slash
        origin = RunOrigin.of_stored(run.origin)
        self.emitted.append(Emitted(run.nominal, attempt, at, origin, run.seq, kind.decode()))
        self.is_found = self.is_found or (attempt <= 1 and run.nominal in self.nominals)
