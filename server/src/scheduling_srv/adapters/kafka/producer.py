"""The only producer: one transaction a batch, with the position record in it (docs/decisions/0001).

Two transactional producers take turns. A transaction that begins right after a commit of the *same*
producer waits for the broker (CONCURRENT_TRANSACTIONS); on the other producer it does not. Each
begins only after the other's commit has returned, so the order of positions holds.

A batch with a record that Kafka refuses fails as a whole, and Kafka does not name the record. Then
the application opens *careful* producers: they send each record by itself and get its result
(docs/decisions/0009).
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeAlias, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from scheduling_srv.adapters.kafka import rights
from scheduling_srv.adapters.kafka.clients import make_producer, said
from scheduling_srv.adapters.kafka.connecting import connect, metadata
from scheduling_srv.adapters.kafka.due_time import produce_at, until_due
from scheduling_srv.adapters.kafka.errors import (
    TOO_LARGE,
    Meaning,
    error_of,
    fatal_errors,
    meaning_of,
    publish_failed,
)
from scheduling_srv.app.ports import ExactClock
from scheduling_srv.domain.errors import RecordRefused
from scheduling_srv.domain.validation import DEFAULTS
from scheduling_srv.formats.kafka_records import SETTLED_KEY, Record, Refusal, Topic
from scheduling_srv.formats.position_record import (
    POSITION_KEY,
    Position,
    dump_position,
    position_headers,
)
from scheduling_srv.formats.positions import Place
from scheduling_srv.runtime import points
from scheduling_srv.runtime.failpoints import passed

log = structlog.get_logger(__name__)

PRODUCERS = 2
PREPARE_TIMEOUT_SECONDS = 3.0
"""Seconds to wait for the broker when nothing is to be done yet."""
ROOM = 100_000
"""Bytes that a record needs beside its job: ids, headers and the frame."""
OWN_TOPICS = (Topic.POSITION, Topic.JOURNAL)
"""Topics that only the service reads: each shard has a partition of its own."""
POLL_SECONDS = 0.25
"""Seconds between looks whether a transaction has failed while its records are under way."""
MISSING_POLL_SECONDS = 2.0
"""Seconds between looks whether a topic has been deleted while its records are under way."""
MISSING = "The topic {} does not exist, or may not be seen."
CREATED_TIMEOUT_SECONDS = 2.0
"""Seconds in which a broker that creates missing topics by itself has made one."""
CREATED_POLL_SECONDS = 0.05
"""Seconds between looks for it."""
LARGEST_BATCH_BYTES = 1_000_000
"""librdkafka's default for `batch.size`. It does not split a batch that is refused."""
SMALLEST_BATCH_BYTES = 10_000
"""Bytes below which smaller batches do not help."""
CAREFUL = {"batch.num.messages": 1, "max.in.flight": 1}
"""Properties of producers whose delivery reports tell records apart. With several requests in
flight, librdkafka waits for its timeout when one of them was refused."""
PARTITION_ZERO = frozenset({Topic.COMMANDS})
"""Topics whose every record goes to partition 0, where 2018 clients look (docs/contract.md)."""

Result = TypeVar("Result")
Delivered: TypeAlias = Callable[[KafkaError | None, object], None]
"""Gets the result of a record."""
Faults: TypeAlias = Mapping[int, KafkaError]
"""Index in the batch -> error, of the records that have failed."""


class TransactionalPublisher:
    """Implements `Publisher` for one shard.

    `largest` is the size of the largest job, in bytes; `timeout` in seconds bounds each call to the
    broker.
    """

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        namespace: str,
        shard: int,
        topics: Mapping[Topic, str],
        clock: ExactClock,
        *,
        largest: int = DEFAULTS.max_job_bytes,
        timeout: float = 30.0,
        early: int = 0,
        takes: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`takes` says how many bytes of a batch all topics take, if that is known.

        `early`: milliseconds before they are due in which records may go, uncommitted.
        """
        self.takes = takes
        self.config = config
        self.namespace = namespace
        self.shard = shard
        self.topics = topics
        self.clock = clock
        self.largest = largest
        self.timeout = timeout
        self.early = early
        self.producers: list[Producer] = []
        self.prepared: list[Producer] = []
        """Connected, and not yet initialised: they fence no other producer."""
        self.prepared_for = 0
        """The bytes of their batches."""
        self.partitions: dict[Topic, int] = {}
        """Number of partitions of each usable topic."""
        self.unusable: dict[Topic, str] = {}
        """Topics that cannot be used: a sentence for the operator."""
        self.batch_bytes = int(config.get("batch.size", LARGEST_BATCH_BYTES))
        """Bytes of records that go to a broker together."""
        self.turn = 0
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"publisher-{shard}")
        self.openers = ThreadPoolExecutor(PRODUCERS, thread_name_prefix=f"opener-{shard}")

    async def prepare(self) -> None:
        """New producers that know their broker: `init_transactions` takes 10 ms then, not 500."""
        if not self.prepared:
            await self._call(self._prepare)

    async def open(self, *, careful: bool = False) -> None:
        """New producers under the old transactional ids."""
        await self._call(lambda: self._open(careful=careful))
        if careful:
            await self._call(self._look_at_rights)

    async def publish(self, records: Iterable[Record], position: Position, due: int) -> None:
        """One transaction, committed."""
        await self._call(lambda: self._publish(records, position, due))

    async def publish_carefully(
        self, records: Sequence[Record], position: Position, due: int
    ) -> Sequence[Refusal]:
        """See `Publisher`. After `open(careful=True)`."""
        return await self._call(lambda: self._publish_carefully(records, position, due))

    def shrink_batches(self) -> None:
        """Send fewer records together: Kafka bounds a batch by the size of one record."""
        self.batch_bytes = max(SMALLEST_BATCH_BYTES, self.batch_bytes // 2)
        self.prepared = []  # they have the old size
        log.warning("Kafka refuses batches of this size: smaller ones", bytes=self.batch_bytes)

    def places(self) -> Sequence[Place]:
        """All partitions of the topics, but of our own ones those of the shard."""
        found = []
        for topic, count in self.partitions.items():
            own = topic in OWN_TOPICS
            numbers = [self.shard] if own else range(count)
            found += [Place(self.topics[topic], number) for number in numbers]
        return found

    async def settle(self, places: Sequence[Place] = ()) -> None:
        """Commit a transaction of each producer in our own topics and in these partitions."""
        await self._call(lambda: self._settle(places))

    async def _call(self, work: Callable[[], Result]) -> Result:
        def guarded() -> Result:
            with fatal_errors():
                return work()

        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.thread, guarded)
        except (KafkaException, BufferError) as fault:
            raise publish_failed(fault, said(fault, self.config)) from fault

    def _prepare(self) -> None:
        self.prepared_for = self.batch_size()
        self.prepared = self._make({})

    def _make(self, more: Mapping[str, int]) -> list[Producer]:
        # Delivery reports of careful ones are for this thread alone: no other one polls them.
        producers = [
            make_producer({**self._properties(slot), **more}, polled=not more)
            for slot in range(PRODUCERS)
        ]
        topic = self.topics[Topic.POSITION]
        self._with_each(
            producers, lambda producer: connect(producer, topic, PREPARE_TIMEOUT_SECONDS)
        )
        return producers

    def _open(self, *, careful: bool) -> None:
        self._discard()
        if careful:
            self.producers = self._make(CAREFUL)
        elif self.prepared and self.prepared_for == self.batch_size():
            self.producers, self.prepared = self.prepared, []
        else:
            self.producers, self.prepared = self._make({}), []
        self._with_each(self.producers, lambda each: each.init_transactions(self.timeout))
        self._look_at_topics()

    def _with_each(self, producers: Sequence[Producer], work: Callable[[Producer], None]) -> None:
        """At the same time. All have ended when this returns or raises.

        An `init_transactions` that comes to its end later would fence its successor.
        """
        working = [self.openers.submit(work, producer) for producer in producers]
        wait(working)
        for each in working:
            each.result()

    def properties(self) -> Sequence[Mapping[str, str | int | float | bool]]:
        """The properties of each kind of producer that it makes."""
        return [self._properties(0)]

    def batch_size(self) -> int:
        """How many bytes go to a broker together: the topic that takes least says so."""
        return min(self.batch_bytes, self.takes() or self.batch_bytes)

    def _properties(self, slot: int) -> dict[str, str | int | float | bool]:
        return {
            "queue.buffering.max.messages": 1_000_000,
            "message.max.bytes": self.largest + ROOM,
            "transaction.timeout.ms": 60_000,
            **self.config,
            "batch.size": self.batch_size(),
            "transactional.id": f"{self.namespace}-{self.shard}-{slot}",
            "enable.idempotence": True,
            "acks": "all",
        }

    def _look_at_rights(self) -> None:
        self.unusable |= rights.missing(self.config, self.topics, self.timeout)

    def _look_at_topics(self) -> None:
        """Count partitions, and find out which topics are missing."""
        known = metadata(self.producers[0], seconds=self.timeout).topics
        self.partitions, self.unusable = {}, {}
        for topic, name in self.topics.items():
            count = len(known[name].partitions) if name in known else 0
            if count := count or self._count_new(name):
                self.partitions[topic] = count
            else:
                self.unusable[topic] = MISSING.format(name)

    def _count_new(self, name: str) -> int:
        """Partitions of a topic that was missing: a broker may create it when it is named."""
        deadline = time.monotonic() + CREATED_TIMEOUT_SECONDS
        while True:
            found = metadata(self.producers[0], name, seconds=self.timeout).topics[name]
            if found.partitions or meaning_of(found.error) is not Meaning.PASSING:
                return len(found.partitions)
            if time.monotonic() > deadline:
                return 0
            time.sleep(CREATED_POLL_SECONDS)

    def _place(self, topic: Topic, route: bytes) -> int:
        """The partition of a record."""
        _, first, count = self._places(topic)
        return first if count == 1 else zlib.crc32(route) % count

    def _places(self, topic: Topic) -> tuple[str, int, int]:
        """The name of a topic, the first partition that its records go to, and how many do."""
        name = self.topics[topic]
        if topic is Topic.JOURNAL:
            return name, self.shard, 1  # so that each shard's can be read alone
        return name, 0, 1 if topic in PARTITION_ZERO else self.partitions[topic]

    def _publish(self, records: Iterable[Record], position: Position, due: int) -> None:
        producer = self.producers[self.turn]
        self.turn = (self.turn + 1) % PRODUCERS
        producer.begin_transaction()
        passed(points.PUBLISH_BEGUN)
        places = {topic: self._places(topic) for topic in self.partitions}
        produce = produce_at(producer, self.clock, due, self.early)
        try:
            for topic, key, value, headers, route in records:
                name, first, count = places[topic]
                partition = first if count == 1 else zlib.crc32(route) % count
                produce(name, value, key, partition, headers=headers)
        except KeyError as fault:
            raise RecordRefused(self.unusable[fault.args[0]]) from fault
        self._add_position(producer, position)
        passed(points.PUBLISH_PRODUCED)
        until_due(self.clock, due)
        self._commit(producer)
        passed(points.PUBLISH_COMMITTED)

    def _add_position(self, producer: Producer, position: Position, **more: Any) -> None:  # noqa: ANN401
        producer.produce(
            self.topics[Topic.POSITION],
            dump_position(position),
            POSITION_KEY,
            self.shard,
            headers=[*position_headers(position)],
            **more,
        )

    def _commit(self, producer: Producer) -> None:
        """Commit. A refused record shows within `POLL_SECONDS`, a deleted topic soon after.

        `commit_transaction` alone may wait for its timeout: librdkafka does not look at the
        transaction's error while it waits for records that it will not send any more.
        """
        began = looked = time.monotonic()
        while producer.flush(POLL_SECONDS) and (now := time.monotonic()) < began + self.timeout:
            _check(producer)
            if now > looked + MISSING_POLL_SECONDS:
                looked = now
                self._look_for_missing(producer)
        producer.commit_transaction(max(POLL_SECONDS, began + self.timeout - time.monotonic()))

    def _look_for_missing(self, producer: Producer) -> None:
        """Librdkafka waits for half a minute for a topic to appear again."""
        try:
            known = metadata(producer, seconds=MISSING_POLL_SECONDS).topics
        except KafkaException:
            return  # no broker answers: that is why it takes so long
        for topic in self.partitions:
            if self.topics[topic] not in known:
                raise RecordRefused(MISSING.format(self.topics[topic]))

    def _publish_carefully(
        self, records: Sequence[Record], position: Position, due: int
    ) -> Sequence[Refusal]:
        if Topic.POSITION in self.unusable:
            raise RecordRefused(self.unusable[Topic.POSITION])
        refused = [
            Refusal(number, record.topic, self.unusable[record.topic], of_topic=True)
            for number, record in enumerate(records)
            if record.topic in self.unusable
        ]
        return refused or self._try(records, position, due)

    def _try(self, records: Sequence[Record], position: Position, due: int) -> Sequence[Refusal]:
        """Commit all of them, or say which of them Kafka refuses; then nothing is committed."""
        producer, faults = self.producers[0], dict[int, KafkaError]()

        def watch(number: int) -> Delivered:
            def told(error: KafkaError | None, _message: object) -> None:
                if error:
                    faults.setdefault(number, error)

            return told

        producer.begin_transaction()
        produce = produce_at(producer, self.clock, due, self.early)
        for number, record in enumerate(records):
            if fault := self._refused_at_once(produce, record, watch(number)):
                faults[number] = fault
        until_due(self.clock, due)
        if not faults and self._is_committed(producer, position, faults):
            return ()
        self._renew()
        return _refusals(records, faults)

    def _refused_at_once(
        self, produce: Callable[..., None], record: Record, told: Delivered
    ) -> KafkaError | None:
        """Produce; returns an error if librdkafka itself refuses the record as too large."""
        topic, key, value, headers, route = record
        try:
            produce(
                self.topics[topic],
                value,
                key,
                self._place(topic, route),
                headers=headers,
                on_delivery=told,
            )
        except KafkaException as fault:
            error = error_of(fault)
            if meaning_of(error) is not Meaning.REFUSED:
                raise
            return error
        return None

    def _is_committed(self, producer: Producer, position: Position, faults: Faults) -> bool:
        """False: it was aborted, as the delivery reports in `faults` say of which record."""
        self._add_position(producer, position)
        try:
            self._commit(producer)
        except KafkaException as fault:
            error = error_of(fault)
            producer.poll(0)
            if not error or not error.txn_requires_abort() or not _to_blame(faults):
                raise  # it may be committed, or no record is to blame
            return False
        return True

    def _renew(self) -> None:
        """End a transaction whose commit was never asked for: by its successors.

        After `abort_transaction` librdkafka may skip sequence numbers.
        """
        unusable = self.unusable
        self._open(careful=True)
        self.unusable = unusable | self.unusable

    def _settle(self, more: Sequence[Place]) -> None:
        own = [Place(self.topics[topic], self.shard) for topic in OWN_TOPICS]
        for producer in self.producers:
            producer.begin_transaction()
            for topic, partition in dict.fromkeys((*own, *more)):
                producer.produce(topic, None, SETTLED_KEY, partition)
            self._commit(producer)

    def _discard(self) -> None:
        """A producer after an error is never used again: its state is not to be trusted."""
        for producer in self.producers:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
        self.producers = []
        self.turn = 0


def _check(producer: Producer) -> None:
    """Raises the error of the current transaction, if it has failed.

    librdkafka reports it at the attempt to begin another one.
    """
    try:
        producer.begin_transaction()
    except KafkaException as fault:
        if (error := error_of(fault)) and error.code() == KafkaError._STATE:  # noqa: SLF001
            return
        raise


def _refusals(records: Sequence[Record], faults: Faults) -> Sequence[Refusal]:
    return [
        Refusal(
            number,
            records[number].topic,
            error.str(),
            of_topic=meaning_of(error) is Meaning.TOPIC,
            too_large=error.code() in TOO_LARGE,
        )
        for number, error in sorted(_to_blame(faults).items())
    ]


def _to_blame(faults: Faults) -> dict[int, KafkaError]:
    """The refused records; the others failed because of them."""
    refused = {Meaning.REFUSED, Meaning.TOPIC}
    return {number: error for number, error in faults.items() if meaning_of(error) in refused}
