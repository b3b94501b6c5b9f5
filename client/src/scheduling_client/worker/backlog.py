"""Finds the runs of a partition that have no answer on the topic, before the worker reads it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_client.worker import messages
from scheduling_client.worker.messages import DecodeError

log = logging.getLogger("scheduling_client.worker")
SCAN_SECONDS = 10.0
"""Most seconds that a scan takes. Runs after its end are taken as unanswered."""
ASK_SECONDS = 10.0
"""Seconds that Kafka has to answer a question about offsets."""
MOST_OLD_RECORDS = 100_000
"""A topic without a record since the instant is read from its beginning if it is so short.

Brokers without an index of times, such as the embedded one, say so of each topic.
"""
Scanned = dict[int, tuple[int, frozenset[int]]]
"""Partition -> the end of the scan, and the instances before it without an answer."""


def first_offsets(
    consumer: Consumer, topic: str, partitions: Collection[int], since_ms: int
) -> dict[int, int]:
    """Where a group without a position begins. Raises `KafkaException`."""
    wanted = [TopicPartition(topic, each, since_ms) for each in partitions]
    found = consumer.offsets_for_times(wanted, timeout=ASK_SECONDS)
    return {
        each.partition: each.offset if each.offset >= 0 else _if_short(consumer, each)
        for each in found
    }


def _if_short(consumer: Consumer, place: TopicPartition) -> int:
    low, high = bounds(consumer, place)
    return low if high - low <= MOST_OLD_RECORDS else high


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """The first offset of a partition, and the one after its last. Raises `KafkaException`."""
    where = TopicPartition(place.topic, place.partition)
    found = consumer.get_watermark_offsets(where, timeout=ASK_SECONDS)
    if found is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - its public name
    return found


class Scan:
    """One look at the records from the first offsets to the ends of the partitions."""

    def __init__(self, types: Collection[str], since_ms: int) -> None:
        """Runs of other types and runs of before `since_ms` are of no interest."""
        self._types, self._since_ms = types, since_ms
        self._open: dict[int, set[int]] = {}
        self._reached: dict[int, int] = {}
        self._left: set[int] = set()

    def run(
        self,
        properties: Mapping[str, Any],
        topic: str,
        starts: Mapping[int, int],
        leaving: Callable[[], bool],
    ) -> Scanned:
        """Read. Raises `KafkaException`."""
        consumer = Consumer({**properties, "enable.partition.eof": True})
        try:
            self._begin(consumer, topic, starts)
            deadline = time.monotonic() + SCAN_SECONDS
            while self._left and not leaving():
                if time.monotonic() > deadline:
                    log.warning("the scan for answered runs has stopped early", extra=self._told())
                    break
                first = consumer.poll(0.1)
                for message in [] if first is None else [first, *consumer.consume(1000, 0)]:
                    self._read(message)
        finally:
            consumer.close()
        return {each: (end, frozenset(self._open[each])) for each, end in self._reached.items()}

    def _begin(self, consumer: Consumer, topic: str, starts: Mapping[int, int]) -> None:
        self._reached = dict(starts)
        self._open = {each: set() for each in starts}
        places = [TopicPartition(topic, each, start) for each, start in starts.items()]
        places = [each for each in places if bounds(consumer, each)[1] > each.offset]
        self._left = {each.partition for each in places}
        if places:
            consumer.assign(places)

    def _read(self, message: Message) -> None:
        partition, offset = message.partition() or 0, message.offset() or 0
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._reached[partition] = max(offset, self._reached[partition])
                self._left.discard(partition)
            elif not error.retriable() and error.fatal():
                raise KafkaException(error)
            return
        self._reached[partition] = offset + 1
        key, value = message.key(), message.value() or b""
        try:
            if key == messages.QUEUED:
                instance, kind = messages.queued_instance(value)
                if kind in self._types and message.timestamp()[1] >= self._since_ms:
                    self._open[partition].add(instance)
            elif key in (messages.DONE, messages.FAILED):
                self._open[partition].discard(messages.answered_instance(value))
        except DecodeError:
            return

    def _told(self) -> dict[str, Any]:
        return {"reached": self._reached, "unfinished_partitions": sorted(self._left)}
