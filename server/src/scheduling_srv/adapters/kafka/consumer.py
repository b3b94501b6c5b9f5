"""Consumers of committed records: a member of the consumer group, and a reader of partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_srv.adapters.kafka.clients import Config, make_consumer, unavailable
from scheduling_srv.adapters.kafka.connecting import connect
from scheduling_srv.adapters.kafka.errors import Meaning, meaning_of
from scheduling_srv.adapters.kafka.headers import headers_of
from scheduling_srv.adapters.kafka.sentry import Sentry, Strangers
from scheduling_srv.app.inputs.keys import KEYS, KNOWN
from scheduling_srv.app.log_ports import FindStarts, Polled, Revoked, UnknownEvent
from scheduling_srv.app.records import Consumed, End
from scheduling_srv.domain.errors import StaleSource
from scheduling_srv.formats.positions import Place
from scheduling_srv.runtime.states import Seldom

log = structlog.get_logger(__name__)

SESSION_MS = 6_000
"""The session time-out of the group, unless the operator sets another one."""
GROUP_POLL_SECONDS = 0.2
READER_POLL_SECONDS = 0.1
"""Seconds after which a poll that has found nothing ends."""
BATCH = 500
"""Records of one poll."""
CONNECT_SECONDS = 3.0
"""Seconds that each answer of a broker may take while a reader connects."""
QUEUED_KBYTES = 16_384
"""A consumer reads so much ahead, and one poll may return all of it."""
NOT_THERE = "Kafka has nothing at the position of a partition."
_BY_POSITION: Config = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    # The position decides; a reset would read a topic made anew as if it were the old one.
    "auto.offset.reset": "error",
}

Result = TypeVar("Result")


class KafkaGroupConsumer:
    """Implements `GroupConsumer`."""

    def __init__(
        self,
        config: Config,
        *,
        group: str,
        topics: Sequence[str],
        strangers: Strangers,
        client_id: Callable[[], str] | None = None,
    ) -> None:
        """`client_id` is asked when it joins the group; else it is that of `config`."""
        self.config = {
            # So long a dead replica keeps its partitions; brokers allow no less.
            "session.timeout.ms": SESSION_MS,
            "queued.max.messages.kbytes": QUEUED_KBYTES,
            # After so long added partitions are noticed at the latest.
            "topic.metadata.refresh.interval.ms": 20_000,
            **config,
            "group.id": group,
            **_BY_POSITION,
        }
        self.topics = topics
        self.client_id = client_id
        self.sentry = Sentry(strangers)
        self.polled_at = float("-inf")
        self._seldom = Seldom()
        self._thread: ThreadPoolExecutor
        self._consumer: Consumer | None = None

    async def join(self, find_starts: FindStarts, revoked: Revoked) -> None:
        """Subscribe; the callbacks come within `poll`, in the consumer's thread."""
        loop = asyncio.get_running_loop()
        named = {"client.id": self.client_id()} if self.client_id else {}
        consumer = make_consumer({**self.config, **named}, polled=True)

        def on_assign(client: Consumer, partitions: list[TopicPartition]) -> None:
            places = [Place(each.topic, each.partition) for each in partitions]
            starts = asyncio.run_coroutine_threadsafe(_found(find_starts, places), loop)
            client.assign(_positions(starts.result()))
            log.info("reading partitions", partitions=[place.name for place in places])

        def on_revoke(_client: Consumer, partitions: list[TopicPartition]) -> None:
            revoked([Place(each.topic, each.partition) for each in partitions])

        consumer.subscribe(list(self.topics), on_assign=on_assign, on_revoke=on_revoke)
        self._consumer = consumer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listener")

    async def leave(self) -> None:
        """Close it."""
        consumer = self._client
        self._consumer = None  # a scrape of metrics must not ask it while it closes
        await self._call(consumer.close)
        self._thread.shutdown(wait=False)

    async def assign(self, starts: Mapping[Place, int]) -> None:
        """None at all: it stays a member, and reads nothing."""
        await self._call(lambda: self._client.assign(_positions(starts)))

    async def poll(self) -> Polled:
        """As many records as there are, but no more than `BATCH`."""
        polled, own, errors = _sorted_out(await self._call(self._poll))
        for error in errors:
            self._note(error)
        self.sentry.look(own)
        return polled

    def _poll(self) -> Sequence[Message]:
        self.polled_at = time.monotonic()
        return _poll(self._client, GROUP_POLL_SECONDS)

    def _note(self, error: KafkaError) -> None:
        """After all but one of these librdkafka goes on by itself."""
        if self._seldom.is_due(error.str()):
            meaning = meaning_of(error)
            tell = log.warning if meaning in {Meaning.TOPIC, Meaning.MISCONFIGURED} else log.info
            tell("Kafka tells the consumer of an error", reason=error.str(), meaning=meaning)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - its public name
            raise StaleSource(NOT_THERE)

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """Asynchronously; an error is no more than a line of the log."""
        await self._call(lambda: self._commit(offsets))

    def _commit(self, offsets: Mapping[Place, int]) -> None:
        try:
            self._client.commit(offsets=_positions(offsets), asynchronous=True)
        except KafkaException as fault:
            log.debug("group offset not committed", reason=str(fault))

    def end_of(self, place: Place) -> int | None:
        """As librdkafka has it from the last records."""
        if self._consumer is None:
            return None
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        except (KafkaException, RuntimeError):
            return None  # the consumer is closed
        return high if high >= 0 else None

    @property
    def _client(self) -> Consumer:
        assert self._consumer  # noqa: S101 - `join` has made it
        return self._consumer

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await _in_thread(self._thread, work, self.config)


class KafkaPartitionConsumer:
    """Implements `PartitionConsumer`."""

    def __init__(self, config: Config, group: str, topic: str, strangers: Strangers) -> None:
        """`topic` is asked for when it connects."""
        self.config = {
            "queued.max.messages.kbytes": QUEUED_KBYTES,
            "fetch.wait.max.ms": 10,  # so long the broker waits before it says that this is the end
            **config,
            "group.id": f"{group}-owner",  # nothing is committed under it
            "enable.partition.eof": True,
            **_BY_POSITION,
        }
        self.topic = topic
        self.sentry = Sentry(strangers)
        self._consumer: Consumer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="input-reader")

    async def connect(self) -> None:
        """A consumer that knows its broker."""
        await self._call(self._connect)

    async def assign(self, starts: Mapping[Place, int]) -> None:
        """None at all: it rests."""
        await self._call(lambda: self._assign(starts))

    async def poll(self) -> Polled:
        """As many records as there are, but no more than `BATCH`."""
        messages = await self._call(lambda: _poll(self._connect(), READER_POLL_SECONDS))
        polled, own, errors = _sorted_out(messages)
        for error in errors:
            self._note(error)
        self.sentry.look(own)
        return polled

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - its public name
            raise StaleSource(NOT_THERE)
        if not error.retriable():
            raise unavailable(KafkaException(error), self.config)

    def _connect(self) -> Consumer:
        if self._consumer is None:
            consumer = make_consumer(self.config, polled=False)
            connect(consumer, self.topic, CONNECT_SECONDS)
            self._consumer = consumer
        return self._consumer

    def _assign(self, starts: Mapping[Place, int]) -> None:
        if starts:
            self._connect().assign(_positions(starts))
        elif self._consumer:
            self._consumer.unassign()

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await _in_thread(self._thread, work, self.config)


async def _found(find_starts: FindStarts, places: Sequence[Place]) -> Mapping[Place, int]:
    return await find_starts(places)


async def _in_thread(
    thread: ThreadPoolExecutor, work: Callable[[], Result], config: Config
) -> Result:
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    except KafkaException as fault:
        raise unavailable(fault, config) from fault


def _positions(offsets: Mapping[Place, int]) -> list[TopicPartition]:
    return [TopicPartition(*place, offset) for place, offset in offsets.items()]


def _poll(client: Consumer, seconds: float) -> Sequence[Message]:
    if (first := client.poll(seconds)) is None:
        return ()
    return [first, *client.consume(BATCH - 1, timeout=0)]


def _sorted_out(
    messages: Sequence[Message],
) -> tuple[Polled, Sequence[Message], Sequence[KafkaError]]:
    """Also returns the records that the service itself may have written, and the errors."""
    events, last = dict[Place, list[Consumed]](), dict[Place, Message]()
    unknown, own, errors, count = [], [], [], 0
    exhausted = dict[Place, int]()
    for message in messages:
        place = Place(message.topic() or "", message.partition() or 0)
        if error := message.error():
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                exhausted[place] = message.offset() or 0
            else:
                errors.append(error)
            continue
        count += 1
        last[place] = message
        key = message.key()
        if key in KEYS:  # most records are our own queuedJob, and need no more than this
            events.setdefault(place, []).append(_consumed(place, message))
        elif key in KNOWN:
            own.append(message)
        else:
            unknown.append(UnknownEvent(place.topic, key, place.partition, message.offset() or 0))
    ends = {place: End((each.offset() or 0) + 1, _time_stamp(each)) for place, each in last.items()}
    return Polled(count, events, ends, unknown, exhausted, bool(errors)), own, errors


def _consumed(place: Place, message: Message) -> Consumed:
    """A copy that holds on to nothing of librdkafka."""
    return Consumed(
        *place,
        message.offset() or 0,
        message.key(),
        message.value(),
        headers_of(message),
        _time_stamp(message),
    )


def _time_stamp(message: Message) -> int:
    """In epoch ms; 0: it has none."""
    return max(0, message.timestamp()[1])
