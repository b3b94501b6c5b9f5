"""Kafka as consumers and producers of 2018 use it: bare records, key = event name."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any, Literal, Self

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    OffsetSpec,
)
from confluent_kafka.cimpl import NewTopic

from tests.harness.slow_machine import pause, step
from tests.harness.waiting import PATIENCE_SECONDS, eventually

Isolation = Literal["read_committed", "read_uncommitted"]
METADATA_SECONDS, METADATA_PAUSE_SECONDS = 2.0, 0.1
STATE_SECONDS = 5.0
"""So long `TopicReader.state` waits for an answer."""
END_OF_PARTITION = KafkaError._PARTITION_EOF
LEADER_UNKNOWN = {
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}
"""Errors of a broker that has an old or a new leader of a partition in mind. They pass."""


@dataclass(frozen=True)
class Record:
    """One record, as it was read."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: dict[str, str]
    timestamp: int
    """Milliseconds, as Kafka has it."""
    read_at: float = field(compare=False)
    """When this reader had it, in seconds as of time.time()."""

    def parse(self, message_class: Any) -> Any:
        return message_class.FromString(self.value)


class TopicReader:
    """Reads whole topics from their beginning and remembers every record.

    Topics may be made after the reader; it looks for them until they are there.
    """

    def __init__(
        self, bootstrap: str, *topics: str, isolation: Isolation = "read_committed"
    ) -> None:
        self.records: list[Record] = []
        self._bootstrap = bootstrap
        self._topics = topics
        self._reached: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",  # nothing is committed
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": isolation,
                "fetch.wait.max.ms": 10,
                "fetch.error.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,  # servers go away in tests; errors arrive as messages
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._consumer.close()

    def wait_for(
        self,
        predicate: Callable[[Record], bool],
        timeout: float = PATIENCE_SECONDS,
        *,
        count: int = 1,
    ) -> Record:
        """The `count`-th record that fits, of all that were and will be read."""
        return self.wait_for_all(predicate, count, timeout)[count - 1]

    def wait_for_all(
        self, predicate: Callable[[Record], bool], count: int, timeout: float = PATIENCE_SECONDS
    ) -> list[Record]:
        """The records that fit, once there are at least `count` of them."""
        pause()
        found = [record for record in self.records if predicate(record)]
        deadline = time.monotonic() + timeout
        while len(found) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} in {timeout:g} s; {self.state()}")
            found += [record for record in self.poll(0.1) if predicate(record)]
        pause()
        return found

    def drain(self, timeout: float = PATIENCE_SECONDS) -> list[Record]:
        """Every record up to the topics' ends as they stand now."""
        pause()
        deadline = time.monotonic() + timeout
        ends = self._ends(timeout)
        while any(self._reached.get(place, 0) < end for place, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"reached {self._reached} of {ends}; {self.state()}")
            self.poll(0.1)
        pause()
        return self.records

    def of(self, key: str) -> list[Record]:
        """What was read so far with this key (event name)."""
        return [record for record in self.records if record.key == key]

    def summary(self) -> str:
        counts: dict[str, int] = {}
        for record in self.records:
            name = f"{record.topic}/{record.key}"
            counts[name] = counts.get(name, 0) + 1
        return f"read so far: {counts or 'nothing'}"

    def state(self) -> str:
        """How far it has read, beside the ends as another client sees them."""
        places = self._consumer.assignment()
        try:
            with AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0}) as admin:
                ends = _ends_of(admin, places, STATE_SECONDS)
        except (KafkaException, TimeoutError) as fault:
            return f"{self.summary()}; reached {self._reached}; the ends are not known: {fault}"
        return f"{self.summary()}; reached {self._reached} of {ends}"

    def _ends(self, timeout: float) -> dict[tuple[str, int], int]:
        """Where the topics end, records of open transactions included.

        A transaction's end reaches its partitions a little after commit_transaction() has
        returned; drain() waits for it, rather than miss what was committed.
        """
        deadline = time.monotonic() + timeout
        while not self._assigned():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no such topics: {self._topics}")
            self.poll(0.1)
        places = self._consumer.assignment()
        with AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0}) as admin:
            return eventually(
                lambda: _ends_of(admin, places, timeout), what="the ends", timeout=timeout
            )

    def poll(self, timeout: float) -> list[Record]:
        """What arrives within `timeout`, or at once if something is there."""
        self._assigned()
        before = len(self.records)
        # consume() would wait until it has so many, or the time is up.
        first = self._consumer.poll(timeout)
        for message in [] if first is None else [first, *self._consumer.consume(500, 0)]:
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                self.records.append(_record(message))
                self._reached[place] = (message.offset() or 0) + 1
            elif error.code() == END_OF_PARTITION:
                self._reached[place] = message.offset() or 0
            elif error.fatal():  # others pass: a server that is away comes back
                raise KafkaException(error)
        return self.records[before:]

    def _assigned(self) -> bool:
        """Takes up the partitions of topics that have appeared; True when all topics have."""
        missing = {*self._topics} - {each.topic for each in self._consumer.assignment()}
        for topic in missing:
            partitions = list(self._partitions(topic))
            if partitions:
                self._consumer.incremental_assign(partitions)
                missing = missing - {topic}
        return not missing

    def _partitions(self, topic: str) -> Iterator[TopicPartition]:
        try:
            # A longer call may wait to its end: see `metadata` in `adapters/kafka/connecting.py`.
            metadata = self._consumer.list_topics(topic, timeout=METADATA_SECONDS).topics[topic]
        except KafkaException:
            time.sleep(METADATA_PAUSE_SECONDS)
            return  # the server is away
        if metadata.error is None:
            for partition in metadata.partitions:
                yield TopicPartition(topic, partition, 0)


def _ends_of(
    admin: AdminClient, places: list[TopicPartition], timeout: float
) -> dict[tuple[str, int], int] | None:
    """None while a broker does not know yet that it leads a partition."""
    latest = {each: OffsetSpec.latest() for each in places}
    isolation = IsolationLevel.READ_UNCOMMITTED
    asked = admin.list_offsets(latest, isolation_level=isolation, request_timeout=timeout)
    try:
        return {
            (each.topic, each.partition): end.result(timeout).offset for each, end in asked.items()
        }
    except KafkaException as fault:
        if fault.args[0].code() in LEADER_UNKNOWN:
            return None
        raise


class Sender:
    """Sends bare records; returns when Kafka has them."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 0,
                "enable.idempotence": True,
                "log_level": 0,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._producer.flush(PATIENCE_SECONDS)

    def send(
        self,
        topic: str,
        key: str | None,
        value: Any,
        *,
        partition: int = 0,
        headers: dict[str, str] | None = None,
        timeout: float = PATIENCE_SECONDS,
    ) -> int:
        """`value`: bytes or a message; answers the record's offset."""
        offsets: list[int] = []
        with step():
            self.post(topic, key, value, partition=partition, headers=headers, offsets=offsets)
            left = self._producer.flush(timeout)
        if left or len(offsets) != 1:
            raise TimeoutError(f"Kafka did not take {key} on {topic} within {timeout:g} s")
        return offsets[0]

    def post(
        self,
        topic: str,
        key: str | None,
        value: Any,
        *,
        partition: int = 0,
        headers: dict[str, str] | None = None,
        offsets: list[int] | None = None,
    ) -> None:
        """Like send(), without waiting."""

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise KafkaException(error)
            if offsets is not None:
                offsets.append(message.offset() or 0)

        self._producer.produce(
            topic,
            value if isinstance(value, bytes) else value.SerializeToString(),
            key,
            partition=partition,
            headers=list((headers or {}).items()),
            on_delivery=delivered,
        )


def make_topic(bootstrap: str, name: str, *, partitions: int = 1, **config: Any) -> None:
    """A topic that the test needs before the product has made it."""
    with AdminClient({"bootstrap.servers": bootstrap}) as admin:
        admin.create_topics([NewTopic(name, partitions, config=config)])[name].result(
            PATIENCE_SECONDS
        )


def alter_topic(bootstrap: str, name: str, **config: Any) -> None:
    """Change a topic's limits while it is in use."""
    entries = [
        ConfigEntry(key.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
        for key, value in config.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
    with AdminClient({"bootstrap.servers": bootstrap}) as admin:
        admin.incremental_alter_configs([resource])[resource].result(PATIENCE_SECONDS)


def delete_topic(bootstrap: str, name: str) -> None:
    """As an operator's mistake."""
    with AdminClient({"bootstrap.servers": bootstrap}) as admin:
        admin.delete_topics([name])[name].result(PATIENCE_SECONDS)


def unmake_topic(bootstrap: str, name: str) -> None:
    """Delete a topic; returns when it is gone, or another one in its place."""
    before = topic_id(bootstrap, name)
    delete_topic(bootstrap, name)
    eventually(lambda: topic_id(bootstrap, name) != before, what=f"an end of {name}")


def topic_id(bootstrap: str, name: str) -> str:
    """Its id; empty: there is no such topic."""
    with AdminClient({"bootstrap.servers": bootstrap}) as admin:
        asked = admin.describe_topics(TopicCollection([name]), request_timeout=PATIENCE_SECONDS)[
            name
        ]
        try:
            return str(asked.result(PATIENCE_SECONDS).topic_id)
        except KafkaException as fault:
            if fault.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return ""
            raise


def group_members(bootstrap: str) -> dict[str, list[str]]:
    """The client ids of the members of each consumer group.

    The calls that are not deprecated abort the process if a broker answers too late.
    """
    with AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}) as admin:
        (groups,) = eventually(lambda: _groups(admin), what="the consumer groups")
    return {group.id: [str(each.client_id) for each in group.members] for group in groups}


def _groups(admin: AdminClient) -> tuple[list[Any]] | None:
    """In a tuple, as there may be none. None while Kafka loads them, as after a restart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return (list(admin.list_groups(timeout=PATIENCE_SECONDS)),)
        except KafkaException:
            return None


def delete_records(bootstrap: str, name: str, *, before: int) -> None:
    """As retention does."""
    end = TopicPartition(name, 0, before)
    with AdminClient({"bootstrap.servers": bootstrap}) as admin:
        admin.delete_records([end])[end].result(PATIENCE_SECONDS)


def _record(message: Message) -> Record:
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=(message.key() or b"").decode(errors="backslashreplace"),
        value=message.value() or b"",
        headers=_headers(message),
        timestamp=message.timestamp()[1],
        read_at=time.time(),
    )


def _headers(message: Message) -> dict[str, str]:
    try:
        # message.headers() would not see the error, and crash, where a name is no UTF-8.
        headers: Any = methodcaller("headers")(message) or ()  # pairs, whatever its type allows
    except SystemError:
        return {}
    return {name: _text(value) for name, value in headers}


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value or ""
