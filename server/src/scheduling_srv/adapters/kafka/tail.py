"""Reads the newest records of some topics, without a group: for watchers of events."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_srv.adapters.kafka.clients import make_consumer, unavailable
from scheduling_srv.adapters.kafka.connecting import metadata
from scheduling_srv.adapters.kafka.history import as_record
from scheduling_srv.app.watching.ports import Glance, Tailed, Tells
from scheduling_srv.formats.kafka_records import SETTLED_KEY
from scheduling_srv.formats.positions import Place

ANSWER_SECONDS = 5.0
"""Seconds to wait for each answer."""
POLL_SECONDS = 0.1
"""Seconds that a poll waits for records."""
MOST_RECORDS = 500
"""Of one poll."""
MOST_COUNTED = 2_000
"""The same of a poll that passes most of them over."""
READ_AHEAD_KB = 2_000
"""Little: nothing is read ahead while the reader waits."""
READ_AHEAD_MS = 10
"""How soon the client fetches again after it has read that far ahead."""
FETCH_BYTES = 65_536
"""The broker answers once it has so much, or after `FETCH_MS`: not for each transaction."""
FETCH_MS = 100

Result = TypeVar("Result")


class KafkaTail:
    """Implements `Tail`. All calls run in one thread of its own."""

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        namespace: str,
        topics: Sequence[str],
    ) -> None:
        self.config = {
            **config,
            "group.id": f"{namespace}-history",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": READ_AHEAD_KB,
            "fetch.queue.backoff.ms": READ_AHEAD_MS,
            "fetch.min.bytes": FETCH_BYTES,
            "fetch.wait.max.ms": FETCH_MS,
        }
        self.topics = topics
        self._consumer: Consumer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")

    async def extents(self) -> Mapping[Place, tuple[int, int]]:
        """From the watermarks. An open transaction ends a partition before it."""
        return await self._call(self._extents)

    async def begin(self, offsets: Mapping[Place, int]) -> None:
        """Assigns the partitions."""
        places = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        await self._call(lambda: self._client().assign(places))

    async def poll(self) -> Sequence[Tailed]:
        """Some records."""
        return await self._call(self._poll)

    async def glance(self, most: int, tells: Tells) -> Glance:
        """Most records stay as librdkafka has them."""
        return await self._call(lambda: self._glance(most, tells))

    async def close(self) -> None:
        """Closing waits for the broker. The caller need not wait."""
        if self._consumer:
            self._thread.submit(self._consumer.close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except KafkaException as fault:
            raise unavailable(fault, self.config) from fault

    def _client(self) -> Consumer:
        if self._consumer is None:
            self._consumer = make_consumer(self.config, polled=False)
        return self._consumer

    def _extents(self) -> dict[Place, tuple[int, int]]:
        client = self._client()
        known = metadata(client, seconds=ANSWER_SECONDS).topics
        places = [
            Place(name, number)
            for name in self.topics
            if name in known
            for number in known[name].partitions
        ]
        return {
            place: client.get_watermark_offsets(TopicPartition(*place), timeout=ANSWER_SECONDS)
            for place in places
        }

    def _poll(self) -> list[Tailed]:
        found = []
        for message in self._client().consume(MOST_RECORDS, timeout=POLL_SECONDS):
            if error := message.error():
                _check(error)
            elif message.key() != SETTLED_KEY:
                place = Place(message.topic() or "", message.partition() or 0)
                found.append(Tailed(place, as_record(message)))
        return in_order(found)

    def _glance(self, most: int, tells: Tells) -> Glance:
        newest = defaultdict[Place, deque[Message]](lambda: deque(maxlen=most))
        ends, count = dict[Place, int](), 0
        for message in self._client().consume(MOST_COUNTED, timeout=POLL_SECONDS):
            if error := message.error():
                _check(error)
                continue
            place = Place(message.topic() or "", message.partition() or 0)
            ends[place] = (message.offset() or 0) + 1
            if tells(place.topic, message.key()):
                newest[place].append(message)
                count += 1
        found = [Tailed(place, as_record(each)) for place in newest for each in newest[place]]
        records = in_order(found)[-most:]
        return Glance(records, count - len(records), ends)


def in_order(found: Sequence[Tailed]) -> list[Tailed]:
    """By time. A partition keeps its order, whatever the clocks of its producers say."""
    newest = dict[Place, int]()
    times = list[int]()
    for place, record in found:
        newest[place] = max(record.timestamp, newest.get(place, record.timestamp))
        times.append(newest[place])
    order = sorted(range(len(found)), key=times.__getitem__)
    return [found[at] for at in order]


def _check(error: KafkaError) -> None:
    """Raises an error that does not pass by itself."""
    if not error.retriable() and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
        raise KafkaException(error)
