"""Reads committed records back from Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Literal, Self, TypeVar

from confluent_kafka import OFFSET_END, KafkaError, KafkaException, Message, TopicPartition

from scheduling_srv.adapters.kafka.clients import make_consumer, unavailable
from scheduling_srv.adapters.kafka.connecting import connect, metadata
from scheduling_srv.adapters.kafka.errors import JUST_MADE
from scheduling_srv.adapters.kafka.headers import headers_of
from scheduling_srv.domain.errors import LogUnavailable, Undecided
from scheduling_srv.formats.kafka_records import NOT_OF_A_JOB, SETTLED_KEY, Extent, LogRecord, Topic
from scheduling_srv.formats.position_record import POSITION_KEY, Position, parse_position
from scheduling_srv.formats.positions import InputPosition

PIECE_RECORDS = 2000
"""Records read at once, at most."""
PIECE_BYTES = 4_000_000
"""Bytes read at once, about: as many records as had so much in the piece before."""
READ_AHEAD_BYTES = 16_000_000
"""Bytes that all shards of a replica may have read ahead; twice that during a fetch."""
LEAST_READ_AHEAD_BYTES = 1_000_000
"""Bytes that each shard may have read ahead, even if there are many shards."""
FETCH_BYTES = 4_000_000
"""Bytes that the broker may send at once."""
CLOSE_SECONDS = 0.5
"""How long a thread that waits for the broker takes to notice that its reader is closing."""
PREPARE_SECONDS = 3.0
"""Seconds to wait for the broker when nothing is to be read yet."""
UNDECIDED_TIMEOUT_SECONDS = 3.0
"""Seconds to wait for the end of a transaction: all that may be open are about to be committed."""
TAIL_OFFSETS = 16
"""Offsets looked at first when the last record of a partition is wanted."""
CREATED_POLL_SECONDS = 0.02
"""Seconds between questions about it."""

NO_HEADERS: Mapping[str, bytes] = {}

Result = TypeVar("Result")


def as_record(message: Message, *, with_headers: bool = True) -> LogRecord:
    """A consumed message as a plain record, without librdkafka."""
    _, timestamp = message.timestamp()
    return LogRecord(
        message.partition() or 0,
        message.offset() or 0,
        timestamp,
        message.key(),
        message.value(),
        dict(headers_of(message)) if with_headers else NO_HEADERS,
    )


def of_journal(message: Message) -> LogRecord:
    """A record of the journal. Nothing needs the headers of a job's: they take half the time."""
    return as_record(message, with_headers=NOT_OF_A_JOB in (message.key() or b""))


class KafkaHistory:
    """Implements `RunHistory` for one shard. `timeout` in seconds bounds waits for the broker."""

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        group: str,
        shard: int,
        topics: Mapping[Topic, str],
        *,
        start: Literal["latest", "earliest"] = "latest",
        timeout: float = 30.0,
        shards: int = 1,
    ) -> None:
        """`shards` is how many of them share the memory."""
        self.start = start
        read_ahead = max(LEAST_READ_AHEAD_BYTES, READ_AHEAD_BYTES // shards)
        self.config = {
            **config,
            "group.id": f"{group}-history",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": read_ahead // 1000,
            "fetch.message.max.bytes": min(FETCH_BYTES, read_ahead),
            "fetch.wait.max.ms": 10,  # so long the broker waits before it says that this is the end
        }
        self.shard = shard
        self.topics = topics
        self.timeout = timeout
        self.prepared: _Reader | None = None

    async def prepare(self) -> None:
        """A consumer that is connected to the broker which has the position."""
        if self.prepared is None:
            reader = _Reader(self.config, self.timeout)
            topic = self.topics[Topic.POSITION]
            await reader.call(lambda: reader.connect(topic, self.shard))
            self.prepared = reader

    async def last_position(self) -> Position | None:
        """The last committed position: looks at the tail, and further back only if it has to."""
        prepared, self.prepared = self.prepared, None
        with prepared or _Reader(self.config, self.timeout) as reader:
            return await reader.call(lambda: _last_position(reader, self.topics, self.shard))

    async def committed_position(self) -> Position | None:
        """The same, but a transaction that has not ended is not waited for."""
        with _Reader(self.config, self.timeout) as reader:
            reader.waits = False
            return await reader.call(lambda: _last_position(reader, self.topics, self.shard))

    async def deployment(self) -> str:
        """Which service has written the last position of any shard; empty: none is known.

        A transaction that has not ended is not waited for. Raises `LogUnavailable`.
        """
        with _Reader(self.config, self.timeout) as reader:
            reader.waits = False
            return await reader.call(lambda: self._deployment(reader))

    def _deployment(self, reader: _Reader) -> str:
        for shard in reader.partitions(self.topics[Topic.POSITION]):
            position = _last_position(reader, self.topics, shard)
            if position and position.deployment:
                return position.deployment
        return ""

    async def input_starts(self) -> Mapping[str, InputPosition]:
        """The ends of the jobs and the commands topic, or their beginnings if `earliest`.

        Without a commands topic jobs run all the same.
        """
        side, stamp = (0, 0) if self.start == "earliest" else (1, time.time_ns() // 1_000_000)
        commands = self.topics[Topic.COMMANDS]
        names = [self.topics[Topic.JOBS], commands]
        with _Reader(self.config, self.timeout) as reader:
            return await reader.call(
                lambda: {
                    f"{name}:{number}": InputPosition(reader.watermarks(name, number)[side], stamp)
                    for name in names
                    for number in reader.partitions(name, needed=name != commands)
                }
            )

    async def journal(self) -> AsyncGenerator[Sequence[LogRecord]]:
        """The shard's partition of the journal, from the start."""
        reading = self._read(Topic.JOURNAL, self.shard, 0, made=of_journal)
        async with aclosing(reading) as pieces:
            async for piece in pieces:
                yield piece

    async def journals(self) -> AsyncGenerator[Sequence[LogRecord]]:
        """The journals of all shards, each from the start."""
        extents = await self._extents(Topic.JOURNAL)
        async with aclosing(self._read_extents(Topic.JOURNAL, extents)) as pieces:
            async for piece in pieces:
                yield piece

    async def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """The jobs topic from `instant` on."""
        name = self.topics[Topic.JOBS]
        with _Reader(self.config, self.timeout) as reader:
            starts = await reader.call(lambda: reader.starts_at(name, instant))
        for start in starts:
            if start.offset != OFFSET_END:
                reading = self._read(Topic.JOBS, start.partition, start.offset)
                async with aclosing(reading) as pieces:
                    async for piece in pieces:
                        yield piece

    async def jobs_after(
        self, ends: Mapping[int, int], instant: int
    ) -> AsyncGenerator[Sequence[LogRecord]]:
        """See `RunHistory`."""
        name = self.topics[Topic.JOBS]
        with _Reader(self.config, self.timeout) as reader:
            starts = await reader.call(lambda: reader.starts_after(name, ends, instant))
        for partition, offset in starts.items():
            reading = self._read(Topic.JOBS, partition, offset, waits=False)
            async with aclosing(reading) as pieces:
                async for piece in pieces:
                    yield piece

    async def resource_extents(self) -> Sequence[Extent]:
        """The extent of each partition: from the first record that still exists to the end."""
        return await self._extents(Topic.RESOURCES)

    async def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        """jobs.resource, extent by extent, without records that Kafka has deleted since."""
        async with aclosing(self._read_extents(Topic.RESOURCES, extents)) as pieces:
            async for piece in pieces:
                yield piece

    async def letter_extents(self) -> Sequence[Extent]:
        """The extents of the dead-letter topic; none if there is no such topic."""
        return await self._extents(Topic.DEAD_LETTER, needed=False)

    async def letters(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        """The dead letters, extent by extent."""
        async with aclosing(self._read_extents(Topic.DEAD_LETTER, extents)) as pieces:
            async for piece in pieces:
                yield piece

    async def _extents(self, topic: Topic, *, needed: bool = True) -> Sequence[Extent]:
        name = self.topics[topic]
        with _Reader(self.config, self.timeout) as reader:
            return await reader.call(
                lambda: [
                    Extent(number, *reader.watermarks(name, number))
                    for number in reader.partitions(name, needed=needed)
                ]
            )

    async def _read_extents(
        self, topic: Topic, extents: Sequence[Extent]
    ) -> AsyncGenerator[Sequence[LogRecord]]:
        for partition, first, end in extents:
            async with aclosing(self._read(topic, partition, first, end)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _read(
        self,
        topic: Topic,
        partition: int,
        offset: int,
        before: int | None = None,
        made: Callable[[Message], LogRecord] = as_record,
        *,
        waits: bool = True,
    ) -> AsyncGenerator[Sequence[LogRecord]]:
        """From `offset` to the end as it stands now, and no record at `before` or after it.

        `waits`: see `_Reader`.
        """
        name = self.topics[topic]
        with _Reader(self.config, self.timeout, made) as reader:
            reader.waits = waits
            end = await reader.call(lambda: reader.assign(name, partition, offset, before))
            reading = reader.begin(end)
            try:
                while piece := await reading:
                    reading = reader.begin(end)  # while the caller looks at this one
                    yield piece
            finally:
                reading.cancel()
                if reading.done() and not reading.cancelled():
                    reading.exception()  # otherwise asyncio logs it as never retrieved
                del reading  # its exception refers to this frame: the cycle would keep both


class _Reader:
    """One partition, read in a thread of its own up to where it ended at the start."""

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        timeout: float,
        made: Callable[[Message], LogRecord] = as_record,
    ) -> None:
        self.made = made
        """Makes a record of a message."""
        self.config = config
        self.consumer = make_consumer(config, polled=False)
        # For a read_committed consumer a log ends before the first open transaction.
        self.looker = make_consumer({**config, "isolation.level": "read_uncommitted"}, polled=False)
        self.timeout = timeout
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="history")
        self.met = False
        self.closing = False
        self.waits = True
        """Whether it waits for the end of a transaction; else the log ends before it."""
        self.ended = False
        self.piece = 1
        """Records that are wanted at once: by their size in the piece before."""
        self.undecided = ""
        """The topic, if the next records belong to a transaction that has not ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        # Closing waits for the broker. The caller need not wait.
        self.closing = True
        self.thread.submit(self.consumer.close)
        self.thread.submit(self.looker.close)
        self.thread.shutdown(wait=False)

    async def call(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.thread, work)
        except KafkaException as fault:
            raise unavailable(fault, self.config) from fault

    def begin(self, end: int) -> asyncio.Task[list[LogRecord]]:
        """Read until there is something, or nothing more."""
        return asyncio.create_task(self.call(lambda: self._read_some(end)))

    def _read_some(self, end: int) -> list[LogRecord]:
        piece: list[LogRecord] = []
        while not piece and not self.ended:
            piece = self.read(end)
        return piece

    def assign(self, topic: str, partition: int, offset: int, before: int | None = None) -> int:
        """Read from `offset`, or the first one that is left; returns the end.

        That is `before`, unless the partition ends earlier.
        """
        low, high = self.watermarks(topic, partition)
        if before is not None:
            high = min(high, before)
        self.ended = high <= max(low, offset)
        self.consumer.assign([TopicPartition(topic, partition, max(low, offset))])
        return high

    def read(self, end: int) -> list[LogRecord]:
        """The next records below `end`; sets `ended` when there are no more."""
        first = self._wait(UNDECIDED_TIMEOUT_SECONDS if self.undecided else self.timeout)
        if first is None:
            if self.closing:
                self.ended = True
                return []
            if self.undecided:
                msg = f"A transaction on {self.undecided} has not ended."
                raise Undecided(msg)
            msg = f"Kafka does not answer: nothing came for {self.timeout} s."
            raise LogUnavailable(msg)
        self.undecided = ""
        messages = [first, *self.consumer.consume(self.piece, timeout=0.01)]
        records, size = [], 0
        for message in messages:
            if error := message.error():
                self._note(message, error, end)
            elif message.key() != SETTLED_KEY:
                records.append(self.made(message))
                size += len(message)
        self.piece = max(1, min(PIECE_RECORDS, PIECE_BYTES * len(messages) // max(1, size)))
        if records and records[-1].offset >= end - 1:
            self.ended = True
            records = [record for record in records if record.offset < end]
        return records

    def _wait(self, seconds: float) -> Message | None:
        """The next message or error; None after `seconds`, or if the reader is closing."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self.closing:
            message = self.consumer.poll(min(left, CLOSE_SECONDS))
            if message is not None:  # one without a value is false
                return message
        return None

    def _note(self, message: Message, error: KafkaError, end: int) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            if (message.offset() or 0) < end and self.waits:
                self.undecided = message.topic() or "?"
            else:
                self.ended = True
        elif not error.retriable():
            raise KafkaException(error)

    def connect(self, topic: str, partition: int) -> None:
        """Have both consumers know the broker that has the partition."""
        self.meet(topic, PREPARE_SECONDS)
        for client in (self.looker, self.consumer):
            client.get_watermark_offsets(TopicPartition(topic, partition), timeout=PREPARE_SECONDS)

    def meet(self, topic: str, seconds: float) -> None:
        """Have both consumers know their brokers."""
        if not self.met:
            for client in (self.looker, self.consumer):
                connect(client, topic, seconds)
            self.met = True

    def watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that is left, and the offset after the last one."""
        self.meet(topic, self.timeout)
        place, deadline = TopicPartition(topic, partition), time.monotonic() + self.timeout
        while True:
            try:
                low, high = self.looker.get_watermark_offsets(place, timeout=self.timeout)
            except KafkaException as fault:
                if fault.args[0].code() not in JUST_MADE or time.monotonic() > deadline:
                    raise
                time.sleep(CREATED_POLL_SECONDS)
            else:
                return low, high

    def partitions(self, topic: str, *, needed: bool = True) -> list[int]:
        """Numbers of the topic's partitions.

        Raises `LogUnavailable` if there is no such topic and it is `needed`.
        """
        self.meet(topic, self.timeout)
        found = metadata(self.consumer, topic, seconds=self.timeout).topics[topic].partitions
        if needed and not found:
            raise LogUnavailable(f"There is no topic {topic}.")
        return sorted(found)

    def starts_at(
        self, topic: str, instant: int, partitions: Sequence[int] | None = None
    ) -> list[TopicPartition]:
        """For each partition the first offset at or after `instant`, or `OFFSET_END`."""
        numbers = self.partitions(topic) if partitions is None else partitions
        places = [TopicPartition(topic, number, instant) for number in numbers]
        starts: list[TopicPartition] = self.consumer.offsets_for_times(places, timeout=self.timeout)
        return starts

    def starts_after(self, topic: str, ends: Mapping[int, int], instant: int) -> dict[int, int]:
        """For each partition that has more, its offset in `ends`, or the first one at `instant`."""
        numbers = self.partitions(topic)
        known = {number: ends[number] for number in numbers if number in ends}
        more = {
            number: end for number, end in known.items() if self.watermarks(topic, number)[1] > end
        }
        others = [number for number in numbers if number not in ends]
        found = self.starts_at(topic, instant, others) if others else []
        return more | {
            start.partition: start.offset for start in found if start.offset != OFFSET_END
        }


def _last_position(reader: _Reader, topics: Mapping[Topic, str], shard: int) -> Position | None:
    name = topics[Topic.POSITION]
    low, high = reader.watermarks(name, shard)
    reach = TAIL_OFFSETS
    while low < high:
        start = max(low, high - reach)
        reader.ended = False
        reader.consumer.assign([TopicPartition(name, shard, start)])
        found: list[LogRecord] = []
        while not reader.ended:
            found += reader.read(high)
        found = [record for record in found if record.key == POSITION_KEY]
        if found:
            return parse_position(found[-1].value or b"{}", found[-1].headers)
        if start == low:
            return None
        reach *= 16
    return None
