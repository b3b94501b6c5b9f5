"""The thread that owns the consumer: it polls whatever the event loop does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from scheduling_client.worker.backlog import ASK_SECONDS, Scan, bounds, first_offsets
from scheduling_client.worker.ledger import Ledger
from scheduling_client.worker.settings import BATCH, RELEASE_SECONDS, Settings
from scheduling_client.worker.topic_identity import TopicIdentity

log = logging.getLogger("scheduling_client.worker")
POLL_SECONDS = 0.1
BATCHES = 5
"""Batches on their way to the event loop."""
PATIENCE_SECONDS = 1.0
"""Seconds without a poll before partitions are paused, as a pause drops records read ahead."""
RETRY_SECONDS = 1.0
LEAVE_SECONDS = 3.0
"""Seconds in which the last offsets are committed and the group is left."""
Offsets = Mapping[int, int]


class Receiver(Protocol):
    """The event loop's side. All calls are made there."""

    def assigned(self, ledgers: Sequence[Ledger]) -> None:
        """These partitions are read from now on."""

    def receive(self, batch: Sequence[Message], *, credit: bool) -> None:
        """Records in their order. With a `credit`, `Reader.free` is owed once."""

    async def released(self, partitions: Sequence[int], within_seconds: float) -> Offsets:
        """These partitions are read no more. Returns offsets to commit, once runs have ended."""

    def committed(self, offsets: Offsets) -> None:
        """Kafka has these offsets."""

    def failed(self, fault: BaseException) -> None:
        """The reader has ended."""


class Reader:
    """Reads the topic in a thread of its own, from `start` to `close`."""

    def __init__(self, settings: Settings, types: Sequence[str], receiver: Receiver) -> None:
        self._settings, self._types, self._receiver = settings, types, receiver
        self._loop = asyncio.get_running_loop()
        self._credits = threading.Semaphore(BATCHES)
        self._leaving = threading.Event()
        self._resting = False
        self._paused = False
        self._trouble = ""
        self._to_commit: dict[int, int] = {}
        self._committing = threading.Lock()
        self._held: set[int] = set()
        self._changed: set[int] = set()
        """Partitions that came or went since the last poll: a record of before is stale."""
        self._cut: deque[int] = deque()
        self._identities: dict[int, str] = {}
        """Partition -> the identity of the topic when its offsets were found."""
        self.is_ready = False
        """Partitions have been assigned, or the group has given none to this worker."""
        self._thread = threading.Thread(target=self._run, name="scheduling-reader", daemon=True)
        self._consumer = Consumer(
            {
                **settings.consumer(),
                "error_cb": self._complain,
                "on_commit": self._committed,
            }
        )
        self._identity = TopicIdentity(settings)

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def free(self) -> None:
        """The event loop can take another batch."""
        self._credits.release()

    def rest(self) -> None:
        """Read no more, but stay in the group."""
        self._resting = True

    def commit(self, offsets: Offsets) -> None:
        """Commit soon. The thread does it: a consumer serves one call at a time."""
        with self._committing:
            self._to_commit.update(offsets)

    def begin_anew(self, partition: int) -> None:
        """The partition was cut: find its first run without an answer again, soon."""
        self._cut.append(partition)

    def close(self) -> None:
        """Leave the group. Blocks until then; the event loop has to run."""
        self._leaving.set()
        self._thread.join()

    # --- The thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                [self._settings.topic],
                on_assign=self._assign,
                on_revoke=self._revoke,
                on_lost=self._lose,
            )
            while not self._leaving.is_set():
                self._turn()
            self._leave()
        except BaseException as fault:  # noqa: BLE001 - the event loop ends the worker with it
            self._call(self._receiver.failed, fault)
        finally:
            self._consumer.close()

    def _leave(self) -> None:
        """Leave the group for good: others have the partitions at once.

        A consumer with a fixed name does not tell its group that it is closed. But it does when it
        unsubscribes.
        """
        self._consumer.unsubscribe()
        deadline = time.monotonic() + LEAVE_SECONDS
        while self._consumer.assignment() and time.monotonic() < deadline:
            self._consumer.poll(POLL_SECONDS)

    def _turn(self) -> None:
        credit = not self._resting and self._credits.acquire(timeout=PATIENCE_SECONDS)
        self._pause(paused=not credit)
        self._commit_due()
        self._look_for_another_topic()
        while self._cut and not self._paused:
            self._begin_anew(self._cut.popleft())
        batch = self._poll()
        if batch:
            self._recovered()
            self._call(self._deliver, batch, credit)
        elif credit:
            self._credits.release()

    def _look_for_another_topic(self) -> None:
        if identity := self._identity.news():
            self._cut.extend(
                each
                for each in sorted(self._held)
                if is_other(self._identities.get(each, ""), identity) and each not in self._cut
            )

    def _commit_due(self) -> None:
        with self._committing:
            offsets, self._to_commit = self._to_commit, {}
        if offsets:
            try:
                self._consumer.commit(offsets=self._named(offsets), asynchronous=True)
            except KafkaException as fault:  # the next commit says it again
                log.debug("offsets were not committed", extra={"reason": fault.args[0].str()})

    def _committed(self, _: KafkaError | None, places: list[TopicPartition]) -> None:
        """Within a poll: Kafka has them, except for those with an error."""
        offsets = {each.partition: each.offset for each in places if each.error is None}
        self._call(self._receiver.committed, offsets)

    def _poll(self) -> list[Message]:
        first = self._consumer.poll(POLL_SECONDS)
        if first is None:
            return []
        self._changed.clear()
        found = [] if self._paused else self._consumer.consume(BATCH - 1, 0)
        if first.partition() not in self._changed:
            found = [first, *found]
        good = []
        for message in found:
            error = message.error()
            if error is None:
                good.append(message)
            else:
                self._tell_error(error)
        return good

    def _tell_error(self, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaException(error)
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._tell(f"the topic {self._settings.topic} is not there; does the service run?")
        else:
            self._tell(error.str())

    def _pause(self, *, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            change = self._consumer.pause if paused else self._consumer.resume
            change(self._consumer.assignment())

    # --- Partitions come and go -------------------------------------------------------------------

    def _assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self.is_ready = True
        if not places:
            return
        ledgers = self._begun(places)
        if not ledgers:
            return
        partitions = {each.partition for each in places}
        self._held |= partitions
        self._changed |= partitions
        consumer.incremental_assign(self._places({e.partition: e.position for e in ledgers}))
        if self._paused:
            consumer.pause(places)
        log.info(
            "partitions assigned",
            extra={"partitions": sorted(each.partition for each in places)},
        )

    def _begin_anew(self, partition: int) -> None:
        if partition not in self._held:
            return
        log.warning("the topic was cut, or made anew", extra={"partition": partition})
        place = TopicPartition(self._settings.topic, partition)
        self._release([place], 0)
        self._held.add(partition)
        for ledger in self._begun([place], cut={partition}):
            self._consumer.seek(TopicPartition(place.topic, partition, ledger.position))

    def _begun(self, places: list[TopicPartition], cut: Collection[int] = ()) -> list[Ledger]:
        """The ledgers, which the event loop has too; none if the worker leaves before."""
        while True:
            try:
                ledgers = self._ledgers(self._consumer, places, cut)
                break
            except KafkaException as fault:
                self._tell(f"Kafka does not say where to begin: {fault.args[0].str()}")
                if self._leaving.wait(RETRY_SECONDS):
                    return []
        self._recovered()
        self._call(self._receiver.assigned, ledgers)
        return ledgers

    def _ledgers(
        self, consumer: Consumer, places: list[TopicPartition], cut: Collection[int] = ()
    ) -> list[Ledger]:
        """Where each partition begins, and which runs there are without an answer.

        The committed offset of a partition that was `cut` says nothing; nor does one beyond its
        end, or one of another topic of this name.
        """
        topic, properties = self._settings.topic, self._settings.consumer()
        # Asked first: if the topic is made anew meanwhile, the next look finds another identity.
        identity = self._identity.ask()
        self._identities |= dict.fromkeys((each.partition for each in places), identity)
        since_ms = round((time.time() - self._settings.completion_timeout_seconds) * 1000)
        bare = [TopicPartition(topic, each.partition) for each in places]
        committed = consumer.committed(bare, timeout=ASK_SECONDS)
        for each in committed:
            if each.error is not None:
                raise KafkaException(each.error)
        starts = {
            each.partition: each.offset
            for each in committed
            if each.offset >= 0
            and each.partition not in cut
            and not is_other(each.metadata or "", identity)
            and each.offset <= bounds(consumer, each)[1]
        }
        new = [each.partition for each in committed if each.partition not in starts]
        scanned = Scan(self._types, 0).run(properties, topic, starts, self._leaving.is_set)
        if new:
            fresh = first_offsets(consumer, topic, new, since_ms)
            scan = Scan(self._types, since_ms)
            scanned |= scan.run(properties, topic, fresh, self._leaving.is_set)
            starts |= fresh
        return [Ledger(each, start, *scanned[each]) for each, start in starts.items()]

    def _revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Runs at work may end first. Then the next worker begins after them."""
        offsets = self._release(places, RELEASE_SECONDS)
        if offsets:
            try:
                consumer.commit(offsets=self._named(offsets), asynchronous=False)
            except KafkaException as fault:
                log.warning("offsets were not committed", extra={"reason": fault.args[0].str()})

    def _lose(self, _: Consumer, places: list[TopicPartition]) -> None:
        """Others have the partitions already."""
        self._release(places, 0)

    def _release(self, places: list[TopicPartition], within: float) -> Offsets:
        partitions = [each.partition for each in places]
        self._held.difference_update(partitions)
        self._changed.update(partitions)
        released = self._receiver.released(partitions, within)
        offsets = asyncio.run_coroutine_threadsafe(released, self._loop).result()
        with self._committing:  # another worker may commit more by then
            for each in partitions:
                self._to_commit.pop(each, None)
        log.info("partitions released", extra={"partitions": sorted(partitions)})
        return offsets

    # --- Small parts ------------------------------------------------------------------------------

    def _deliver(self, batch: Sequence[Message], credit: bool) -> None:  # noqa: FBT001 - of a call later
        self._receiver.receive(batch, credit=credit)

    def _call(self, function: Any, *arguments: Any) -> None:  # noqa: ANN401
        self._loop.call_soon_threadsafe(function, *arguments)

    def _named(self, offsets: Offsets) -> list[TopicPartition]:
        """To commit: with the identity of the topic, by which the next worker knows it."""
        topic, identity = self._settings.topic, self._identities.get
        return [
            TopicPartition(topic, each, offset, identity(each, ""))
            for each, offset in offsets.items()
        ]

    def _places(self, offsets: Offsets) -> list[TopicPartition]:
        return [TopicPartition(self._settings.topic, *each) for each in offsets.items()]

    def _complain(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            self._tell(
                f"no Kafka at {self._settings.kafka}; set SCHEDULING_KAFKA_BOOTSTRAP_SERVERS"
            )
        elif error.fatal():
            self._tell(error.str())

    def _tell(self, trouble: str) -> None:
        """Each trouble once, until it is over."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(trouble)

    def _recovered(self) -> None:
        if self._trouble:
            log.info("Kafka is there again", extra={"was": self._trouble})
            self._trouble = ""


def is_other(before: str, now: str) -> bool:
    """Whether both identities are known and differ."""
    return bool(before and now) and before != now
