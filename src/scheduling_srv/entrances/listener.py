"""The consumer group on the jobs and the commands topic (docs/contract.md).

Positions live in the store, beside what was applied; the group only shares out the partitions.
What it commits to Kafka is for those who watch its lag.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Protocol, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_srv.app.inputs.records import KEYS, Consumed, End
from scheduling_srv.app.positions import Place
from scheduling_srv.app.starts import Begun, Found, Starts
from scheduling_srv.domain.errors import (
    SchedulingError,
    SharedTopic,
    StaleSource,
    StoreFault,
    Unavailable,
)
from scheduling_srv.entrances.sentry import Sentry, Strangers
from scheduling_srv.entrances.unknown_events import KNOWN, UnknownEvents
from scheduling_srv.kafka.clients import make_consumer, said
from scheduling_srv.kafka.errors import Meaning, meaning_of
from scheduling_srv.kafka.headers import headers_of
from scheduling_srv.runtime import metrics, points
from scheduling_srv.runtime.failpoints import passed, reached
from scheduling_srv.runtime.states import Seldom, State

log = structlog.get_logger(__name__)

SESSION_MS = 6_000
"""The session time-out of the group, unless the operator sets another one."""
POLL = 0.2
"""Seconds after which a poll that has found nothing looks whether it is to end."""
BATCH = 500
"""Records of one round."""
PAUSE = 0.5
"""Seconds to wait after a server did not answer."""
MISSING_PAUSE = 1.0
"""Seconds between looks for partitions that were not there."""
VERIFY_SECONDS = 60.0
"""After so long a topic's identity is asked for again."""
TRUST_SECONDS = 0.05
"""So long nothing is asked again: deleting and creating a topic takes longer."""
TRUST_FACTOR = 20
"""The same in durations of the last answer, which is slow where there are many partitions."""
FASTEST_RECORDS = 1_000_000
"""Records a second that a partition may get at most."""

Result = TypeVar("Result")


class Application(Protocol):
    """Receives consumed records; see `Intake`."""

    def begin(self, shards: Sequence[Begun]) -> None:
        """Go on from where the store is."""

    def applied(self, place: Place) -> int:
        """The partition's position in the store."""

    async def apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        """Apply the records of partitions, each in order."""

    async def apply_alone(self, record: Consumed) -> None:
        """Apply one record; if that breaks, put it aside."""

    async def skip(self, ends: Mapping[Place, End]) -> None:
        """Store positions behind records that are nothing to us."""

    async def settle(self) -> None:
        """Return when what was applied has reached all shards that it concerns."""


class Shown(Protocol):
    """Where operators look for positions."""

    async def show_offsets(self, offsets: Mapping[Place, int]) -> None:
        """See `InputStore.show_offsets`."""


class Listener:
    """Consumes, applies, and shows how far it is. `offset_interval` is in milliseconds."""

    def __init__(
        self,
        *,
        config: Mapping[str, str | int | float | bool],
        group: str,
        topics: Sequence[str],
        intake: Application,
        starts: Starts,
        shown: Shown,
        offset_interval: int,
        strangers: Strangers,
        client_id: Callable[[], str] | None = None,
    ) -> None:
        """`client_id` is asked when it joins the group; else it is that of `config`."""
        self.sentry = Sentry(strangers)
        self.client_id = client_id
        self.config = {
            # So long a dead replica keeps its partitions; brokers allow no less.
            "session.timeout.ms": SESSION_MS,
            # What is read ahead, and so what one round may have to hold.
            "queued.max.messages.kbytes": 16_384,
            # After so long added partitions are noticed at the latest.
            "topic.metadata.refresh.interval.ms": 20_000,
            **config,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            # The position decides; a reset would read a topic made anew as if it were the old one.
            "auto.offset.reset": "error",
        }
        self.topics = topics
        self.intake = intake
        self.starts = starts
        self.store = shown
        self.offset_interval = offset_interval
        self.next: dict[Place, End] = {}
        """Behind the last record that was applied or skipped."""
        self.missing: set[Place] = set()
        """Partitions that are assigned, but were not there."""
        self.held: set[Place] = set()
        """Partitions that are assigned, but not read: another service uses the topic."""
        self.shown: dict[Place, int] = {}
        self.last_shown = float("-inf")
        self.polled_at = float("-inf")
        """When it last asked for records, by `time.monotonic`."""
        self.identity = Identity(self._ask)
        self.unknown = UnknownEvents()
        self._looked = 0.0
        self._lost = False
        """Kafka has nothing at the position of a partition."""
        self._stopping = False
        self._reads = State("events are not read", "events are read again")
        self._finds = State("partitions are not there", "partitions are there again")
        self._seldom = Seldom()
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
        self.missing.clear()
        self.held.clear()
        consumer = self._consumer = make_consumer(self._properties(), polled=True)
        consumer.subscribe(list(self.topics), on_assign=self._on_assign, on_revoke=self._on_revoke)
        try:
            while not self._stopping:
                await self._round()
            await self._show_last()
        finally:
            self._consumer = None  # a scrape of metrics must not ask it while it closes
            await self._in_thread(consumer.close)
            self._thread.shutdown(wait=False)

    def _properties(self) -> dict[str, str | int | float | bool]:
        named = {"client.id": self.client_id()} if self.client_id else {}
        return {**self.config, **named}

    def _fails(self, fault: Exception) -> None:
        foreign = isinstance(fault, KafkaException)
        self._reads.fails(said(fault, self.config) if foreign else str(fault))

    async def _show_last(self) -> None:
        try:
            await self._show_offsets()
        except (StaleSource, Unavailable) as fault:
            log.info("positions not shown", reason=str(fault))

    async def _round(self) -> None:
        try:
            await self.run_once()
        except SharedTopic as fault:
            log.debug("reading nothing", reason=str(fault))
        except StaleSource as fault:
            if self._seldom.is_due(str(fault)):
                log.info("reading again from the stored positions", reason=str(fault))
            await self._go_back()
        except (Unavailable, KafkaException) as fault:
            self._fails(fault)
            await asyncio.sleep(PAUSE)
            await self._go_back()
        else:
            self._reads.works()

    async def run_once(self) -> int:
        """Consume and apply one batch; returns how many records it had.

        Raises `SharedTopic`: then nothing of it was applied.
        """
        if self.sentry.strangers.blocked:
            await self._hold()
            await self._in_thread(self._poll_once)  # else the group would drop this member
            return 0
        if self.held:
            await self._go_back()
        if self.missing and time.monotonic() - self._looked > MISSING_PAUSE:
            await self._look_for_missing()
        messages = await self._in_thread(self._poll)
        if self._lost:
            self._lost = False
            raise StaleSource("Kafka has nothing at the position of a partition.")
        if messages:
            await reached(points.LISTEN_POLLED)
            await self._handle(messages)
            await reached(points.LISTEN_APPLIED)
        if (time.monotonic() - self.last_shown) * 1000 >= self.offset_interval:
            await self._show_offsets()
        if self.next and self.identity.is_due():
            await self.identity.verify({place.topic for place in self.next})
        return len(messages)

    async def _handle(self, messages: Sequence[Message]) -> None:
        batches, last = dict[Place, list[Consumed]](), dict[Place, Message]()
        announced = []
        for message in messages:
            place = Place(message.topic() or "", message.partition() or 0)
            last[place] = message
            key = message.key()
            if key in KEYS:  # most records are our own queuedJob, and need no more than this
                batches.setdefault(place, []).append(as_consumed(message))
            elif key not in KNOWN:
                self.unknown.note(place.topic, key, place.partition, message.offset() or 0)
            else:
                announced.append(message)
        self.sentry.look(announced)
        await self._apply([batch for place, batch in batches.items() if place in self.next])
        for place, message in last.items():
            if place in self.next:
                self.next[place] = End((message.offset() or 0) + 1, time_stamp(message))

    async def _apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        if not batches:
            return
        await self._verify([batch[0].place for batch in batches])
        try:
            await self.intake.apply(batches)
        except Exception as fault:
            if isinstance(fault, SchedulingError) and not isinstance(fault, StoreFault):
                raise
            # One bad record must not stop the others: find it, and put it aside.
            log.exception(
                "a batch broke", first={each[0].place.name: each[0].offset for each in batches}
            )
            await self._go_back()
            for record in chain.from_iterable(batches):
                if record.place in self.next:
                    await self.intake.apply_alone(record)

    async def _verify(self, places: Sequence[Place]) -> None:
        """Records count only if they came from the topic that the positions belong to."""
        position = min(self.intake.applied(place) for place in places)
        if self.identity.age() > self.identity.trusted(position):
            await self.identity.verify({place.topic for place in self.next})

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
                self._note(error)
            else:
                good.append(message)
        return good

    def _poll_once(self) -> Message | None:
        self.polled_at = time.monotonic()
        return self._client.poll(POLL)

    def _note(self, error: KafkaError) -> None:
        """After all but one of these librdkafka goes on by itself."""
        if self._seldom.is_due(error.str()):
            meaning = meaning_of(error)
            tell = log.warning if meaning in {Meaning.TOPIC, Meaning.MISCONFIGURED} else log.info
            tell("Kafka tells the consumer of an error", reason=error.str(), meaning=meaning)
        self.identity.doubt()
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - its public name
            self._lost = True

    async def _ask(self, topics: Sequence[str]) -> Mapping[str, str]:
        return await self.starts.topic_ids(topics)

    # --- Partitions ---------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Called within `poll`, in the consumer's thread."""
        assert self._loop  # noqa: S101 - `run` has set it
        places = [Place(each.topic, each.partition) for each in partitions]
        future = asyncio.run_coroutine_threadsafe(self._find_starts(places), self._loop)
        consumer.assign(future.result())
        log.info("reading partitions", partitions=[place.name for place in places])

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        passed(points.LISTEN_REVOKED)
        for partition in partitions:
            place = Place(partition.topic, partition.partition)
            self.next.pop(place, None)
            self.missing.discard(place)
            self.held.discard(place)
            _forget_lag(place)

    async def _find_starts(self, places: Sequence[Place]) -> list[TopicPartition]:
        """Where to begin; waits for the servers as long as it takes."""
        while True:
            began = time.monotonic()
            try:
                found = await self.starts.find(places)
                await reached(points.LISTEN_ASSIGNED)
            except (SchedulingError, KafkaException) as fault:
                self._fails(fault)
                if self._stopping:
                    return []
                await asyncio.sleep(PAUSE)
            else:
                self.identity.begin(found.topic_ids, began)
                return self._begin(places, found)

    def _begin(self, places: Sequence[Place], found: Found) -> list[TopicPartition]:
        self.intake.begin(found.shards)
        there = found.shards[0].positions
        self.shown.clear()  # a store that was lost has lost what it showed
        self.next = {place: End(self.intake.applied(place), 0) for place in there}
        self.held.clear()
        missing, self._looked = {*places} - {*there}, time.monotonic()
        if missing:
            self._finds.fails(", ".join(sorted(each.name for each in missing)))
        else:
            self._finds.works()
        self.missing = missing
        for place in missing:
            _forget_lag(place)
        return [TopicPartition(*place, end.offset) for place, end in self.next.items()]

    async def _look_for_missing(self) -> None:
        """The others are read on as long as none of them is there."""
        self._looked = time.monotonic()
        try:
            found = await self.starts.find_any(sorted(self.missing))
        except Unavailable as fault:
            log.debug("cannot look for partitions", reason=str(fault))
        else:
            if found:
                await self._go_back()

    async def _go_back(self) -> None:
        """Read again from where the store says that it is."""
        places = sorted({*self.next, *self.missing, *self.held})
        if places:
            starts = await self._find_starts(places)
            await self._in_thread(partial(self._client.assign, starts))

    async def _hold(self) -> None:
        """Read nothing, and stay in the group: its member list shows who uses the topic."""
        if reading := {*self.next, *self.missing}:
            self.held |= reading
            self.next.clear()
            self.missing.clear()
            await self._in_thread(partial(self._client.assign, []))

    # --- Positions ----------------------------------------------------------------------------

    async def _show_offsets(self) -> None:
        """Store the positions, also behind records that were skipped."""
        self.last_shown = time.monotonic()
        moved = {
            place: end for place, end in self.next.items() if self.shown.get(place) != end.offset
        }
        if not moved:
            return
        await self._verify([*moved])
        await self.intake.skip(moved)
        await reached(points.LISTEN_SHOW)
        offsets = {place: end.offset for place, end in moved.items()}
        await self.store.show_offsets(offsets)
        self.shown |= offsets
        await reached(points.LISTEN_SHOWN)
        await self._in_thread(partial(self._commit, offsets))
        await reached(points.LISTEN_COMMITTED)

    def note_lag(self) -> None:
        """Show how far each partition is behind, as far as its end is known.

        Call it on the loop of `run`, which closes the consumer.
        """
        if self._consumer is None:
            return
        for place, end in [*self.next.items()]:
            try:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            except (KafkaException, RuntimeError):
                return  # the consumer is closed
            if high >= 0 and place in self.next:  # it may have been revoked meanwhile
                lag = metrics.CONSUMER_LAG.labels(topic=place.topic, partition=str(place.partition))
                lag.set(max(0, high - end.offset))

    def _commit(self, offsets: Mapping[Place, int]) -> None:
        try:
            self._client.commit(
                offsets=[TopicPartition(*place, offset) for place, offset in offsets.items()],
                asynchronous=True,
            )
        except KafkaException as fault:
            log.debug("group offset not committed", reason=str(fault))

    @property
    def _client(self) -> Consumer:
        assert self._consumer  # noqa: S101 - `run` has made it
        return self._consumer

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class Identity:
    """Whether topics are those that the positions belong to (docs/decisions/0008).

    librdkafka reads a topic that was made anew at its old offset, without a word, as soon as the
    new one is that long. `ask` returns the ids of topics that there are.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ask = ask
        self.monotonic = monotonic
        self.ids: Mapping[str, str] = {}
        self.asked = float("-inf")
        """When it was last known to hold, in monotonic seconds."""
        self.tried = float("-inf")
        self.took = 0.0
        """Seconds that the last answer took."""

    def begin(self, ids: Mapping[str, str], asked: float) -> None:
        """Positions belong to these topics, as of then."""
        self.ids, self.asked, self.tried = ids, asked, asked

    def doubt(self) -> None:
        """A broker may have been away: ask before anything else is applied."""
        self.asked = float("-inf")

    def is_due(self) -> bool:
        """Whether it is to be asked for although nothing was read."""
        return self.monotonic() - self.tried > VERIFY_SECONDS

    def age(self) -> float:
        """Seconds since it was last known to hold."""
        return self.monotonic() - self.asked

    def trusted(self, position: int) -> float:
        """Seconds within which no topic can be made anew and become as long as `position`."""
        least = max(TRUST_SECONDS, TRUST_FACTOR * self.took)
        return min(VERIFY_SECONDS, least + position / FASTEST_RECORDS)

    async def verify(self, topics: Collection[str]) -> None:
        """Raises `StaleSource` when a topic is another one than before, or none at all."""
        began = self.tried = self.monotonic()
        found = await self.ask(sorted(topics))
        self.took = self.monotonic() - began
        for topic in topics:
            if found.get(topic) != self.ids.get(topic):
                raise StaleSource(f"The topic {topic} is not the one that was read.")
        self.asked = began


def _forget_lag(place: Place) -> None:
    with suppress(KeyError):
        metrics.CONSUMER_LAG.remove(place.topic, str(place.partition))


def as_consumed(message: Message) -> Consumed:
    """Without what only librdkafka knows."""
    return Consumed(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        headers_of(message),
        time_stamp(message),
    )


def time_stamp(message: Message) -> int:
    """In epoch ms; 0: it has none."""
    return max(0, message.timestamp()[1])
