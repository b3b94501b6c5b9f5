"""Reads the jobs topic beside the consumer group, up to where it ends now (docs/decisions/0012).

The group needs its session time-out to give a dead member's partitions to somebody else. The owner
does not wait for that: what it applies goes through the same calls, which move a position only from
where it is. Whoever is second begins again behind the first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_srv.app.ports import Clock
from scheduling_srv.app.positions import Logs, Place
from scheduling_srv.app.starts import Starts
from scheduling_srv.domain.errors import SchedulingError, StaleSource
from scheduling_srv.entrances.intake import KEYS, Consumed, End
from scheduling_srv.entrances.listener import Application, Identity, as_consumed, time_stamp
from scheduling_srv.entrances.sentry import Sentry, Strangers
from scheduling_srv.kafka.clients import make_consumer, unavailable
from scheduling_srv.kafka.connecting import connect

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
BATCH = 500
"""Records of one round."""
CONNECT_SECONDS = 3.0
FAR = 10_000
"""Offsets behind which the position is stored although there was nothing to apply."""

Result = TypeVar("Result")


class InputReader:
    """Implements `Inputs` for all shards of a replica. One pass at a time."""

    def __init__(
        self,
        *,
        config: Mapping[str, str | int | float | bool],
        group: str,
        topic: str,
        intake: Application,
        starts: Starts,
        logs: Logs,
        clock: Clock,
        strangers: Strangers,
    ) -> None:
        """`intake` is this reader's own: it remembers positions."""
        self.config = {
            "queued.max.messages.kbytes": 16_384,
            "fetch.wait.max.ms": 10,  # so long the broker waits before it says that this is the end
            **config,
            "group.id": f"{group}-owner",  # nothing is committed under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
        }
        self.sentry = Sentry(strangers)
        self.topic = topic
        self.intake = intake
        self.starts = starts
        self.logs = logs
        self.clock = clock
        self.identity = Identity(self.starts.topic_ids)
        self._consumer: Consumer | None = None
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="input-reader")

    async def prepare(self) -> None:
        """A consumer that knows its broker. Raises `LogUnavailable`."""
        async with self._turn:
            await self._call(self._connect)

    async def read(self) -> int:
        """Apply all that the topic holds now; returns the instant of the question in epoch ms.

        Raises `Unavailable`, and `StaleSource` when the group has applied some of it meanwhile:
        then it is to be called again. Raises `SharedTopic` while another service uses the topic.
        """
        async with self._turn:
            self.sentry.check()
            asked_at = self.clock.now()
            ends = await self._ends()
            # What the consumer group is about to apply need not be read twice.
            behind = await self._begin(ends)
            if behind:
                try:
                    await self._read_to(behind)
                finally:
                    await self._call(self._rest)
        await self.intake.settle()
        return asked_at

    async def _ends(self) -> Mapping[Place, int]:
        """Where each partition ends, with what open transactions have written."""
        found = await self.logs.topics([self.topic])
        partitions = found[self.topic].partitions if self.topic in found else 0
        return await self.logs.high_watermarks([Place(self.topic, n) for n in range(partitions)])

    async def _begin(self, ends: Mapping[Place, int]) -> dict[Place, int]:
        """Find the positions; returns the ends of partitions that are not applied up to them."""
        asked_at = time.monotonic()
        found = await self.starts.find(sorted(ends))
        self.intake.begin(found.shards)
        self.identity.begin(found.topic_ids, asked_at)
        there = found.shards[0].positions
        return {
            place: end
            for place, end in ends.items()
            if place in there and self.intake.applied(place) < end
        }

    async def _read_to(self, behind: dict[Place, int]) -> None:
        starts = {place: self.intake.applied(place) for place in behind}
        await self._call(lambda: self._assign(starts))
        last: dict[Place, End] = {}
        while behind:
            messages, ended = await self._call(self._poll)
            await self._apply(messages)
            for message in messages:
                place = Place(message.topic() or "", message.partition() or 0)
                last[place] = End((message.offset() or 0) + 1, time_stamp(message))
            for place, end in [*behind.items()]:
                if max(ended.get(place, 0), last.get(place, End(0, 0)).offset) >= end:
                    del behind[place]
        # A short way is read again next time: the group's consumer need not go back for it.
        await self.intake.skip(
            {place: end for place, end in last.items() if end.offset - starts[place] > FAR}
        )

    async def _apply(self, messages: Sequence[Message]) -> None:
        batches: dict[Place, list[Consumed]] = {}
        announced = []
        for message in messages:
            if message.key() in KEYS:
                record = as_consumed(message)
                batches.setdefault(record.place, []).append(record)
            else:
                announced.append(message)
        self.sentry.look(announced)
        if not batches:
            return
        position = min(self.intake.applied(place) for place in batches)
        if self.identity.age() > self.identity.trusted(position):
            await self.identity.verify({self.topic})
        try:
            await self.intake.apply([*batches.values()])
        except SchedulingError:
            raise
        except Exception:
            log.exception("a batch broke", topic=self.topic)
            await self._apply_alone([*batches.values()])

    async def _apply_alone(self, batches: Sequence[Sequence[Consumed]]) -> None:
        """One bad record must not stop the others: find it, and put it aside."""
        await self._begin({batch[0].place: batch[-1].offset + 1 for batch in batches})
        for record in chain.from_iterable(batches):
            if record.offset >= self.intake.applied(record.place):
                await self.intake.apply_alone(record)

    # --- In the thread --------------------------------------------------------------------------

    def _connect(self) -> Consumer:
        if self._consumer is None:
            consumer = make_consumer(self.config, polled=False)
            connect(consumer, self.topic, CONNECT_SECONDS)
            self._consumer = consumer
        return self._consumer

    def _assign(self, starts: Mapping[Place, int]) -> None:
        self._connect().assign([TopicPartition(*place, at) for place, at in starts.items()])

    def _rest(self) -> None:
        if self._consumer:
            self._consumer.unassign()

    def _poll(self) -> tuple[list[Message], dict[Place, int]]:
        """Records, and for partitions that were read to their end where that is.

        Transaction markers take offsets: only Kafka's word says that nothing follows.
        """
        consumer = self._connect()
        if (first := consumer.poll(POLL_SECONDS)) is None:
            return [], {}
        records, ended = [], dict[Place, int]()
        for message in (first, *consumer.consume(BATCH - 1, timeout=0)):
            if error := message.error():
                self._note(error)
                if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    place = Place(message.topic() or "", message.partition() or 0)
                    ended[place] = message.offset() or 0
            else:
                records.append(message)
        return records, ended

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - its public name
            raise StaleSource("Kafka has nothing at the position of a partition.")
        if not error.retriable() and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            raise KafkaException(error)

    async def _call(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except KafkaException as fault:
            raise unavailable(fault, self.config) from fault
