"""The consumer group on the jobs and the commands topic (docs/contract.md).

Positions live in the store, beside what was applied; the group only shares out the partitions.
What it commits to Kafka is for those who watch its lag.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_srv import metrics, points
from scheduling_srv.app.ports import Clock, InputStore, Source
from scheduling_srv.connecting import connect
from scheduling_srv.domain.errors import SchedulingError, StaleSource, StoreFault, Unavailable
from scheduling_srv.entrances.intake import KEYS, Consumed
from scheduling_srv.failpoints import passed, reached
from scheduling_srv.headers import headers_of

log = structlog.get_logger(__name__)

POLL = 0.2
"""Seconds after which a poll that has found nothing looks whether it is to end."""
BATCH = 500
"""Records of one round."""
PAUSE = 0.5
"""Seconds to wait after a server did not answer."""
WATERMARK_TIMEOUT = 10.0
"""Seconds to wait for the broker's word on where a partition begins and ends."""

Place = tuple[str, int]
Result = TypeVar("Result")


class Application(Protocol):
    """What consumed records are given to; see `Intake`."""

    async def apply(self, records: Sequence[Consumed], lineage: str, stored: int) -> int:
        """Apply the records of a partition, in order; returns its new position."""

    async def apply_alone(self, record: Consumed, lineage: str, stored: int) -> int:
        """Apply one record; if that breaks, put it aside."""


class Listener:
    """Consumes, applies, and shows how far it is. `offset_interval` is in milliseconds."""

    def __init__(
        self,
        *,
        config: Mapping[str, str | int | float | bool],
        group: str,
        topics: Sequence[str],
        intake: Application,
        inputs: InputStore,
        clock: Clock,
        offset_interval: int,
    ) -> None:
        self.config = {
            # So long a dead replica keeps its partitions; brokers allow no less.
            "session.timeout.ms": 6_000,
            # What is read ahead, and so what one round may have to hold.
            "queued.max.messages.kbytes": 16_384,
            **config,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": True,
        }
        self.topics = topics
        self.intake = intake
        self.inputs = inputs
        self.clock = clock
        self.offset_interval = offset_interval
        self.lineage = ""
        self.next: dict[Place, int] = {}
        """Offset behind the last record that was applied or skipped."""
        self.stored: dict[Place, int] = {}
        """The position in the store: behind the last record that was applied."""
        self.shown: dict[Place, int] = {}
        self.last_shown = float("-inf")
        self.polled_at = float("-inf")
        """When it last asked for records, by `time.monotonic`."""
        self._stopping = False
        self._thread: ThreadPoolExecutor
        self._loop: asyncio.AbstractEventLoop | None = None
        self._consumer: Consumer | None = None

    def stop(self) -> None:
        """Apply what was read, then leave the group; `run` returns."""
        self._stopping = True

    async def run(self) -> None:
        """Consume until stopped."""
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listener")
        self.next.clear()  # it may run again after it broke
        consumer = self._consumer = Consumer(dict(self.config))
        consumer.subscribe(list(self.topics), on_assign=self._on_assign, on_revoke=self._on_revoke)
        try:
            while not self._stopping:
                await self._round()
            await self._show_last()
        finally:
            await self._in_thread(consumer.close)
            self._thread.shutdown(wait=False)

    async def _show_last(self) -> None:
        try:
            await self._show_offsets()
        except (StaleSource, Unavailable) as fault:
            log.info("positions not shown", reason=str(fault))

    async def _round(self) -> None:
        try:
            await self.run_once()
        except StaleSource as fault:
            log.info("going back to the stored positions", reason=str(fault))
            await self._go_back()
        except (Unavailable, KafkaException) as fault:
            log.warning("not listening", reason=str(fault))
            await asyncio.sleep(PAUSE)
            await self._go_back()

    async def run_once(self) -> int:
        """Consume and apply one batch; returns how many records it had."""
        messages = await self._in_thread(self._poll)
        if messages:
            await reached(points.LISTEN_POLLED)
        batches, ends = dict[Place, list[Consumed]](), dict[Place, int]()
        for message in messages:
            place = (message.topic() or "", message.partition() or 0)
            ends[place] = (message.offset() or 0) + 1
            batch = batches.setdefault(place, [])
            if message.key() in KEYS:  # most are our own queuedJob: look no further
                batch.append(_consumed(message))
        for place, batch in batches.items():
            if place in self.next:
                if batch:
                    await self._apply(place, batch)
                await reached(points.LISTEN_APPLIED)
                self.next[place] = ends[place]
        if (time.monotonic() - self.last_shown) * 1000 >= self.offset_interval:
            await self._show_offsets()
        return len(messages)

    async def _apply(self, place: Place, batch: Sequence[Consumed]) -> None:
        stored = self.stored[place]
        batch = [record for record in batch if record.offset >= stored]  # others came again
        try:
            self.stored[place] = await self.intake.apply(batch, self.lineage, stored)
        except Exception as fault:
            if isinstance(fault, SchedulingError) and not isinstance(fault, StoreFault):
                raise
            # One bad record must not stop the others: find it, and put it aside.
            log.exception("a batch broke", first=batch[0].offset, last=batch[-1].offset)
            await self._go_back()
            for record in batch:
                stored = self.stored[place]
                if record.offset >= stored:
                    self.stored[place] = await self.intake.apply_alone(record, self.lineage, stored)

    def _poll(self) -> list[Message]:
        """Waits for a record as long as no positions are to be shown."""
        until = self.last_shown + self.offset_interval / 1000
        while (first := self._poll_once()) is None:
            if self._stopping or time.monotonic() >= until:
                return []
        messages = [first, *self._client.consume(BATCH - 1, timeout=0)]
        good = []
        for message in messages:
            if error := message.error():
                _note(error)
            else:
                good.append(message)
        return good

    def _poll_once(self) -> Message | None:
        self.polled_at = time.monotonic()
        return self._client.poll(POLL)

    # --- Partitions ---------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Called within `poll`, in the consumer's thread."""
        assert self._loop  # noqa: S101 - `run` has set it
        future = asyncio.run_coroutine_threadsafe(self._find_starts(partitions), self._loop)
        consumer.assign(future.result())
        log.info("partitions assigned", places=[f"{p.topic}:{p.partition}" for p in partitions])

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        passed(points.LISTEN_REVOKED)
        for partition in partitions:
            self.next.pop((partition.topic, partition.partition), None)

    async def _find_starts(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Where to begin; waits for the servers as long as it takes."""
        while True:
            try:
                self.lineage, stored = await self.inputs.positions()
                self.shown.clear()  # a store that was lost has lost what it showed
                ends = await asyncio.to_thread(self._look_up, partitions)
                found = zip(partitions, ends, strict=True)
                starts = [await self._find_start(*each, stored) for each in found]
                await reached(points.LISTEN_ASSIGNED)
            except (SchedulingError, KafkaException) as fault:
                log.warning("not listening", reason=str(fault))
                if self._stopping:
                    return []
                await asyncio.sleep(PAUSE)
            else:
                return starts

    def _look_up(self, partitions: Sequence[TopicPartition]) -> list[tuple[int, int]]:
        """Where each begins and ends. Raises `KafkaException`.

        A consumer that is within its rebalance callback does not answer other calls.
        """
        client, found = Consumer(dict(self.config)), []
        try:
            for topic in dict.fromkeys(partition.topic for partition in partitions):
                connect(client, topic, WATERMARK_TIMEOUT)
            for partition in partitions:
                place = TopicPartition(partition.topic, partition.partition)
                found.append(client.get_watermark_offsets(place, timeout=WATERMARK_TIMEOUT))
        finally:
            client.close()
        return found

    async def _find_start(
        self, partition: TopicPartition, ends: tuple[int, int], stored: Mapping[str, int]
    ) -> TopicPartition:
        topic, number = partition.topic, partition.partition
        name = f"{topic}:{number}"
        known = stored.get(name)
        offset = _start(known, *ends)
        if known is not None and offset != known:
            log.warning(
                "the stored position is not in the log", place=name, stored=known, to=offset
            )
        if offset != known:
            now = self.clock.now()
            await self.inputs.set_position(name, known, offset, self.lineage, now)
        self.next[topic, number] = self.stored[topic, number] = offset
        return TopicPartition(topic, number, offset)

    async def _go_back(self) -> None:
        """Read again from where the store says that it is."""
        places = [TopicPartition(topic, number) for topic, number in self.next]
        if places:
            starts = await self._find_starts(places)
            await self._in_thread(partial(self._client.assign, starts))

    # --- Positions ----------------------------------------------------------------------------

    async def _show_offsets(self) -> None:
        """Store the positions, also behind records that were skipped."""
        self.last_shown = time.monotonic()
        for (topic, number), offset in list(self.next.items()):
            if self.shown.get((topic, number)) != offset:
                stored = self.stored[topic, number]
                source = Source(f"{topic}:{number}", stored, offset, self.lineage)
                await self.inputs.append([], self.clock.now(), source)
                self.stored[topic, number] = offset
                await reached(points.LISTEN_SHOW)
                await self.inputs.show_offset(topic, number, offset)
                self.shown[topic, number] = offset
                await reached(points.LISTEN_SHOWN)
                await self._in_thread(partial(self._commit, topic, number, offset))
                await reached(points.LISTEN_COMMITTED)

    def _commit(self, topic: str, number: int, offset: int) -> None:
        place = TopicPartition(topic, number)
        _, high = self._client.get_watermark_offsets(place, cached=True)
        lag = metrics.CONSUMER_LAG.labels(topic=topic, partition=str(number))
        lag.set(max(0, high - offset))
        try:
            self._client.commit(offsets=[TopicPartition(topic, number, offset)], asynchronous=True)
        except KafkaException as fault:
            log.debug("group offset not committed", reason=str(fault))

    @property
    def _client(self) -> Consumer:
        assert self._consumer  # noqa: S101 - `run` has made it
        return self._consumer

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _start(known: int | None, low: int, high: int) -> int:
    """Where to read from: where the store is, if the log still has that.

    A partition that was added since the first start is read from its beginning. A log that ends a
    little before the position has lost its last records; one that ends far before it is a new one.
    """
    if known is None or known < low or high < known // 2:
        return low
    return min(known, high)


def _consumed(message: Message) -> Consumed:
    return Consumed(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        headers_of(message),
    )


def _note(error: KafkaError) -> None:
    """After all of these librdkafka goes on by itself."""
    log.info("consumer", reason=error.str())
