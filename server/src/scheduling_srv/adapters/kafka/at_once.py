"""Sends runs at once, and everything else in transactions (docs/decisions/0005).

The producer of the runs is idempotent, but not fenced: a broker cannot tell whether its user still
owns the shard. Every record that a rebuild relies on goes through the transactional producer, which
is fenced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from zlib import crc32

from confluent_kafka import KafkaError, KafkaException, Message

from scheduling_srv.adapters.kafka.clients import make_producer, said
from scheduling_srv.adapters.kafka.connecting import connect
from scheduling_srv.adapters.kafka.due_time import is_early, produce_at
from scheduling_srv.adapters.kafka.errors import error_of, failed, fatal_errors, publish_failed
from scheduling_srv.adapters.kafka.producer import (
    PREPARE_TIMEOUT_SECONDS,
    ROOM,
    TransactionalPublisher,
)
from scheduling_srv.app.ports import ExactClock
from scheduling_srv.domain.errors import PublishFailed, RecordRefused
from scheduling_srv.formats.kafka_records import Record, Refusal, Topic
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.positions import Place

POLL_SECONDS = 0.05
"""Seconds that the thread which waits for deliveries sleeps at most: it may be told to stop."""
FEW_ENTRIES = 50
"""Entries whose runs are handed over in the event loop: another thread would take longer."""
GIVEN_UP = "Its producer was given up."


class AtOncePublisher:
    """Implements `SwiftPublisher` for one shard.

    A run that Kafka has not confirmed after `patience` milliseconds has failed, and is not sent any
    more. So a process that was frozen drops such runs when it continues.
    """

    def __init__(self, transactional: TransactionalPublisher, *, patience: int) -> None:
        self.transactional = transactional
        self.patience = patience
        self.prepared: Sender | None = None
        self.sender: Sender | None = None
        shard = transactional.shard
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"sender-{shard}")
        self.waiter = ThreadPoolExecutor(1, thread_name_prefix=f"deliveries-{shard}")

    async def prepare(self) -> None:
        """Producers that know their broker."""
        await asyncio.gather(self.transactional.prepare(), self._prepare())

    async def _prepare(self) -> None:
        if self.prepared is None:
            self.prepared = await self._make()

    async def open(self, *, careful: bool = False) -> None:
        """Fence transactions of earlier owners, and drop runs that this one has not sent.

        Careful: runs go in transactions as well.
        """
        self.abandon()
        await self.transactional.open(careful=careful)
        if not careful:
            await self._prepare()
            self.sender, self.prepared = self.prepared, None

    async def publish(self, records: Iterable[Record], position: Position, due: int) -> None:
        """One transaction, committed."""
        await self.transactional.publish(records, position, due)

    async def publish_carefully(
        self, records: Sequence[Record], position: Position, due: int
    ) -> Sequence[Refusal]:
        """See `Publisher`. Runs are in the transaction as well."""
        return await self.transactional.publish_carefully(records, position, due)

    def shrink_batches(self) -> None:
        """See `TransactionalPublisher`."""
        self.transactional.shrink_batches()
        self.prepared = None

    def places(self) -> Sequence[Place]:
        """See `TransactionalPublisher`."""
        return self.transactional.places()

    async def settle(self, places: Sequence[Place] = ()) -> None:
        """See `TransactionalPublisher`."""
        await self.transactional.settle(places)

    async def send(
        self, records: Iterable[Record], size: int, due: int
    ) -> tuple[Sequence[Record], Delivery]:
        """Hand the runs to librdkafka."""
        sender = self._sender()
        delivery = Delivery(sender, self.waiter)
        if Topic.JOBS not in self.transactional.partitions:
            raise RecordRefused(self.transactional.unusable[Topic.JOBS])
        partitions, clock = self.transactional.partitions[Topic.JOBS], self.transactional.clock

        def work() -> Sequence[Record]:
            with fatal_errors():
                return sender.send(records, partitions, delivery, clock, due)

        try:
            if size <= FEW_ENTRIES and not is_early(clock, due):
                return work(), delivery
            return await asyncio.get_running_loop().run_in_executor(self.thread, work), delivery
        except (KafkaException, BufferError) as fault:
            raise publish_failed(fault, said(fault, self.transactional.config)) from fault

    def abandon(self) -> None:
        """Send no more records of the queue."""
        if self.sender is not None:
            self.sender.end()
            self.sender = None

    def _sender(self) -> Sender:
        if self.sender is None:
            raise PublishFailed("The producer was given up.")
        return self.sender

    async def _make(self) -> Sender:
        publisher = self.transactional
        topic = publisher.topics[Topic.JOBS]

        def work() -> Sender:
            return Sender(self._properties(publisher.config), topic)

        try:
            return await asyncio.get_running_loop().run_in_executor(self.thread, work)
        except KafkaException as fault:
            raise PublishFailed(said(fault, publisher.config)) from fault

    def properties(self) -> Sequence[Mapping[str, str | int | float | bool]]:
        """The properties of each kind of producer that it makes."""
        return [*self.transactional.properties(), self._properties(self.transactional.config)]

    def _properties(
        self, config: Mapping[str, str | int | float | bool]
    ) -> dict[str, str | int | float | bool]:
        return {
            "queue.buffering.max.messages": 1_000_000,
            "message.max.bytes": self.transactional.largest + ROOM,
            "socket.nagle.disable": True,
            **config,
            "batch.size": self.transactional.batch_size(),
            "enable.idempotence": True,
            "acks": "all",
            # A run after a failed one is not sent: the runs of a partition on Kafka have no gaps.
            "enable.gapless.guarantee": True,
            "linger.ms": 0,
            "message.timeout.ms": self.patience,
        }


class Sender:
    """An idempotent producer that knows its broker."""

    def __init__(self, properties: Mapping[str, str | int | float | bool], topic: str) -> None:
        self.topic = topic
        self.config = properties
        self.producer = make_producer(properties)
        connect(self.producer, topic, PREPARE_TIMEOUT_SECONDS)
        self.ended = False

    def end(self) -> None:
        """Send nothing more."""
        self.ended = True
        self.producer.purge(in_queue=True, in_flight=True, blocking=False)

    def send(
        self,
        records: Iterable[Record],
        partitions: int,
        delivery: Delivery,
        clock: ExactClock,
        due: int,
    ) -> Sequence[Record]:
        """Send the runs; returns the other records."""
        rest, count = [], 0
        produce = produce_at(self.producer, clock, due)
        name, told = self.topic, delivery.told
        for record in records:
            topic, key, value, headers, route = record
            if topic is not Topic.JOBS:
                rest.append(record)
                continue
            count += 1
            partition = crc32(route) % partitions  # where transactions put them as well
            produce(name, value, key, partition, headers=headers, on_delivery=told)
        delivery.expect(count)
        if count:
            self.producer.poll(0)  # hear of earlier ones
        return rest


class Delivery:
    """The results of one batch of runs. It wakes no task: a task that needs them waits."""

    def __init__(self, sender: Sender, waiter: ThreadPoolExecutor) -> None:
        self.sender = sender
        self.waiter = waiter
        self.missing = 0
        """Runs that were sent, less those that Kafka has: below zero while they are counted."""
        self.fault: KafkaError | None = None
        self.took = 0.0
        self.ends: dict[int, int] = {}
        """Partition -> offset after the last run there."""
        self._lock = Lock()

    def expect(self, count: int) -> None:
        """Note that `count` runs were sent."""
        with self._lock:
            self.missing += count

    def told(self, fault: KafkaError | None, message: Message) -> None:
        """Kafka has a run, or has not. Whichever thread polls calls it."""
        with self._lock:
            self.missing -= 1
            self.took = max(self.took, message.latency() or 0.0)
            self.fault = self.fault or fault
            offset = message.offset()
            if offset is not None and offset >= 0:  # they come in the order of their offsets
                self.ends[message.partition() or 0] = offset + 1

    async def wait(self) -> float:
        """Until Kafka has all runs; returns the seconds that the slowest one took."""
        if self.missing and not self.fault:
            await asyncio.get_running_loop().run_in_executor(self.waiter, self._wait)
        if self.missing or self.fault:
            raise failed(self.fault, f"A run was not delivered. {self._why()}")
        return self.took

    def _why(self) -> str:
        if self.fault is None:
            return GIVEN_UP
        return said(KafkaException(self.fault), self.sender.config)

    def _wait(self) -> None:
        while self.missing and not self.fault and not self.sender.ended:
            try:
                with fatal_errors():
                    self.sender.producer.poll(POLL_SECONDS)
            except KafkaException as fault:  # fatal: a run has failed, so no other is sent
                with suppress(KafkaException):
                    self.sender.producer.poll(POLL_SECONDS)  # hear why
                self.fault = self.fault or error_of(fault)
