"""The only producer: one transaction a batch, with the position record in it (docs/decisions/0001).

Two transactional producers take turns: a transaction begun right after another one's commit on
the *same* producer waits for the broker (CONCURRENT_TRANSACTIONS), on the other one it does not.
Each begins only after the other's commit has returned, so the order of positions holds.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from typing import TypeVar

import structlog
from confluent_kafka import KafkaException, Producer

from scheduling_srv import points
from scheduling_srv.app.records import Position, Record, Topic
from scheduling_srv.connecting import connect
from scheduling_srv.domain.errors import PublishFailed
from scheduling_srv.failpoints import passed

log = structlog.get_logger(__name__)

PRODUCERS = 2
BATCH_BYTES = 1_000_000
"""Of a batch, where every topic takes so much: librdkafka does not split one that is refused."""
PREPARE_TIMEOUT = 3.0
"""Seconds to wait for the broker when nothing is to be done yet."""
ROOM = 100_000
"""Bytes that a record needs beside its job: ids, headers and the frame."""
POSITION_KEY = b"position"
SETTLED_KEY = b"\0settled"
"""Of records that say nothing; no job has such an id."""
PARTITION_ZERO = frozenset({Topic.COMMANDS})
"""Topics whose every record goes to partition 0, where 2018 clients look (docs/contract.md)."""

Result = TypeVar("Result")


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
        *,
        largest: int = 900_000,
        timeout: float = 30.0,
        takes: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`takes` says how many bytes of a batch all topics take, if that is known."""
        self.takes = takes
        self.config = config
        self.namespace = namespace
        self.shard = shard
        self.topics = topics
        self.largest = largest
        self.timeout = timeout
        self.producers: list[Producer] = []
        self.prepared: list[Producer] = []
        """Connected, and not yet used: nobody is fenced by them."""
        self.prepared_for = 0
        """The bytes of their batches."""
        self.partitions: dict[Topic, int] = {}
        self.turn = 0
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"publisher-{shard}")
        self.openers = ThreadPoolExecutor(PRODUCERS, thread_name_prefix=f"opener-{shard}")

    async def prepare(self) -> None:
        """New producers that know their broker: `init_transactions` takes 10 ms then, not 500."""
        if not self.prepared:
            await self._call(self._prepare)

    async def open(self) -> None:
        """New producers under the old transactional ids."""
        await self._call(self._open)

    async def publish(self, records: Iterable[Record], position: Position) -> None:
        """One transaction, committed."""
        await self._call(lambda: self._publish(records, position))

    async def settle(self) -> None:
        """Commit a transaction of each producer in the topics that only we read."""
        await self._call(self._settle)

    async def _call(self, work: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.thread, work)
        except (KafkaException, BufferError) as fault:
            raise PublishFailed(str(fault)) from fault

    def _prepare(self) -> None:
        self.prepared_for = self.batch_bytes()
        producers = [Producer(self._properties(slot)) for slot in range(PRODUCERS)]
        topic = self.topics[Topic.POSITION]
        self._with_each(producers, lambda producer: connect(producer, topic, PREPARE_TIMEOUT))
        self.prepared = producers

    def _open(self) -> None:
        self._discard()
        if not self.prepared or self.prepared_for != self.batch_bytes():
            self._prepare()
        self.producers, self.prepared = self.prepared, []
        self._with_each(self.producers, lambda each: each.init_transactions(self.timeout))
        self.partitions = self._count_partitions()

    def _with_each(self, producers: Sequence[Producer], work: Callable[[Producer], None]) -> None:
        """At the same time. All have ended when this returns or raises.

        An `init_transactions` that comes to its end later would fence its successor.
        """
        working = [self.openers.submit(work, producer) for producer in producers]
        wait(working)
        for each in working:
            each.result()

    def properties(self) -> Sequence[Mapping[str, str | int | float | bool]]:
        """Of each kind of producer that is made."""
        return [self._properties(0)]

    def batch_bytes(self) -> int:
        """How large a batch may be: the topic that takes least says so."""
        return min(BATCH_BYTES, self.takes() or BATCH_BYTES)

    def _properties(self, slot: int) -> dict[str, str | int | float | bool]:
        return {
            "queue.buffering.max.messages": 1_000_000,
            "batch.size": self.batch_bytes(),
            "message.max.bytes": self.largest + ROOM,
            "transaction.timeout.ms": 60_000,
            **self.config,
            "transactional.id": f"{self.namespace}-{self.shard}-{slot}",
            "enable.idempotence": True,
            "acks": "all",
        }

    def _count_partitions(self) -> dict[Topic, int]:
        metadata = self.producers[0].list_topics(timeout=self.timeout).topics
        known = {topic: metadata.get(name) for topic, name in self.topics.items()}
        return {
            topic: max(1, len(found.partitions) if found else 1) for topic, found in known.items()
        }

    def _publish(self, records: Iterable[Record], position: Position) -> None:
        producer = self.producers[self.turn]
        self.turn = (self.turn + 1) % PRODUCERS
        producer.begin_transaction()
        passed(points.PUBLISH_BEGUN)
        topics, partitions = self.topics, self.partitions
        produce = producer.produce
        for topic, key, value, headers, route in records:
            count = partitions[topic]
            if topic is Topic.JOURNAL:
                partition = self.shard  # so that each shard's can be read alone
            else:
                zero = count == 1 or topic in PARTITION_ZERO
                partition = 0 if zero else zlib.crc32(route) % count
            produce(topics[topic], value, key, partition, headers=headers)  # type: ignore[arg-type]
        produce(
            topics[Topic.POSITION],
            json.dumps(asdict(position)).encode(),
            POSITION_KEY,
            self.shard,
        )
        passed(points.PUBLISH_PRODUCED)
        producer.commit_transaction(self.timeout)
        passed(points.PUBLISH_COMMITTED)

    def _settle(self) -> None:
        for producer in self.producers:
            producer.begin_transaction()
            for topic in (Topic.POSITION, Topic.JOURNAL):
                producer.produce(self.topics[topic], None, SETTLED_KEY, self.shard)
            producer.commit_transaction(self.timeout)

    def _discard(self) -> None:
        """A producer after an error is never used again: its state is not to be trusted."""
        for producer in self.producers:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
        self.producers = []
        self.turn = 0
