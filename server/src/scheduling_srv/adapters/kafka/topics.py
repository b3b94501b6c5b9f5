"""The topics on the brokers: reads their settings, and creates the missing ones.

Nothing here changes a topic that exists: it may be an operator's (docs/decisions/0013).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from scheduling_srv.adapters.kafka import clients as kafka_clients
from scheduling_srv.adapters.kafka.connecting import metadata
from scheduling_srv.app.health.guarantees import (
    COMPACTED,
    NEEDED,
    BrokerFacts,
    KafkaFacts,
    TopicFacts,
    absence,
)
from scheduling_srv.app.recovery.refill import Extent
from scheduling_srv.domain.errors import LogUnavailable, StartError
from scheduling_srv.domain.texts import counted
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.runtime import points
from scheduling_srv.runtime.failpoints import passed

log = structlog.get_logger(__name__)

WAIT_SECONDS = 10.0
"""Seconds to wait for the broker, as when topics are created."""
FIRST_SECONDS = 1.0
"""Seconds to wait for the first answer: an operator who starts the service watches."""
READ_SECONDS = 3.0
"""Seconds to wait for each answer when the brokers are only looked at."""
UNKNOWN_IDS = frozenset({"", "AAAAAAAAAAAAAAAAAAAAAA"})
"""Answers of a broker without topic ids: an empty text, or zeros."""
BROKERS = "brokers"
EVENTS_KEPT_MS = 7 * 24 * 3_600_000
"""How long a new topic of events keeps them."""

Config = Mapping[str, str | int | float | bool]
Result = TypeVar("Result")


class KafkaTopics:
    """Implements `TopicAdmin`. All calls run in one thread of its own."""

    def __init__(
        self, config: Config, topics: Mapping[Topic, str], *, shards: int, creates: bool = True
    ) -> None:
        """`creates`: whether missing topics are created at all (SCHEDULING_CREATE_TOPICS)."""
        self.config = config
        self.topics = topics
        self.shards = shards
        self.creates = creates
        self._admin: AdminClient | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="topics")

    async def ensure(self) -> None:
        """Create missing topics at the start.

        Raises `LogUnavailable`, also for a missing topic that may not be created and is needed;
        `StartError` for topics that belong to another number of shards.
        """
        await self._call(self._ensure)

    async def create(self, topics: Iterable[Topic]) -> None:
        """Create these topics unless they exist. Raises `LogUnavailable`."""
        await self._call(lambda: self._create(topics))

    async def identities(self) -> Mapping[Topic, TopicFacts | None]:
        """Which topics exist, their ids and replicas; nothing of their settings.

        Raises `LogUnavailable`. A topic that may not be described is left out.
        """
        return await self._call(lambda: self._identities()[0])

    async def look(self) -> KafkaFacts:
        """All that the brokers tell. Raises `LogUnavailable`."""
        return await self._call(self._look)

    async def extents(self, shard: int) -> Mapping[Topic, Extent]:
        """The extents of the shard's partitions of the compacted topics.

        A topic that does not exist is left out. Raises `LogUnavailable`.
        """
        return await self._call(lambda: self._extents(shard))

    async def _call(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (KafkaException, TimeoutError) as fault:
            raise kafka_clients.unavailable(fault, self.config) from fault

    def client(self) -> AdminClient:
        """The client that all of this goes through; made when it is needed."""
        if self._admin is None:
            self._admin = kafka_clients.make_admin(self.config)
        return self._admin

    # --- Creating -----------------------------------------------------------------------------

    def _ensure(self) -> None:
        kafka_clients.ask(self.client(), self.config, self.topics[Topic.JOBS], FIRST_SECONDS)
        existing = metadata(self.client(), seconds=WAIT_SECONDS).topics
        for topic in COMPACTED:
            if found := existing.get(self.topics[topic]):
                _check_partitions(self.topics[topic], len(found.partitions), self.shards)
        missing = [topic for topic, name in self.topics.items() if name not in existing]
        if missing and self.creates:
            self._create(missing)
        elif needed := [self.topics[topic] for topic in missing if topic in NEEDED]:
            raise LogUnavailable(absence(min(needed), creates=False))

    def _create(self, topics: Iterable[Topic]) -> None:
        new = [_new_topic(topic, self.topics[topic], self.shards) for topic in topics]
        passed(points.TOPICS_CALL)
        created = self.client().create_topics(new, operation_timeout=WAIT_SECONDS)
        for name, future in created.items():
            _wait(name, future.exception(timeout=WAIT_SECONDS))
        passed(points.TOPICS_CREATED)

    # --- Looking ------------------------------------------------------------------------------

    def _look(self) -> KafkaFacts:
        topics, unknown = self._identities()
        jobs = self.topics[Topic.JOBS]
        brokers = metadata(self.client(), jobs, seconds=READ_SECONDS).brokers
        there = {self.topics[topic]: topic for topic, found in topics.items() if found}
        wanted = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in there]
        if brokers:
            wanted.append(ConfigResource(ConfigResource.Type.BROKER, str(min(brokers))))
        broker = BrokerFacts(len(brokers))
        answers = self.client().describe_configs(wanted, request_timeout=READ_SECONDS)
        refused: dict[str, str] = {}
        for resource, future in answers.items():
            settings, fault = _answer(future)
            if settings is None:
                of_topic = resource.name in there
                refused[resource.name if of_topic else BROKERS] = fault
            elif topic := there.get(resource.name):
                topics[topic] = _topic_facts(topics[topic] or TopicFacts(), settings)
            else:
                broker = _broker_facts(len(brokers), settings)
        unknown += [
            f"The settings of {name} are not known: {fault}" for name, fault in refused.items()
        ]
        return KafkaFacts(broker, topics, tuple(unknown))

    def _identities(self) -> tuple[dict[Topic, TopicFacts | None], list[str]]:
        names = {name: topic for topic, name in self.topics.items()}
        futures = self.client().describe_topics(
            TopicCollection(list(names)), request_timeout=READ_SECONDS
        )
        found: dict[Topic, TopicFacts | None] = {}
        unknown = []
        for name, future in futures.items():
            described, fault = _answer(future, KafkaError.UNKNOWN_TOPIC_OR_PART)
            if described is not None:
                found[names[name]] = _described(described)
            elif not fault:
                found[names[name]] = None
            else:
                unknown.append(f"The topic {name} cannot be described: {fault}")
        return found, unknown

    def _extents(self, shard: int) -> dict[Topic, Extent]:
        found, _ = self._identities()
        there = {topic: facts for topic, facts in found.items() if facts and topic in COMPACTED}
        places = {topic: TopicPartition(self.topics[topic], shard) for topic in there}
        first, last = (
            self.client().list_offsets(
                dict.fromkeys(places.values(), spec), request_timeout=WAIT_SECONDS
            )
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        return {
            topic: Extent(
                there[topic].id,
                first[place].result(WAIT_SECONDS).offset,
                last[place].result(WAIT_SECONDS).offset,
            )
            for topic, place in places.items()
        }


async def ensure_topics(config: Config, topics: Mapping[Topic, str], *, shards: int) -> None:
    """Create missing topics. Raises `LogUnavailable`, `StartError`."""
    await KafkaTopics(config, topics, shards=shards).ensure()


def _answer(future: Future[Any], *nothing: int) -> tuple[Any, str]:
    """The answer, or why there is none; no reason if it is one of the codes in `nothing`.

    Raises `KafkaException` when the broker does not answer at all.
    """
    try:
        return future.result(WAIT_SECONDS), ""
    except KafkaException as fault:
        error = fault.args[0]
        if error.code() in nothing:
            return None, ""
        if error.code() < 0:  # librdkafka's own: no broker has answered
            raise
        return None, error.str()


def _described(description: Any) -> TopicFacts:  # noqa: ANN401 - the client has no types
    identity = str(description.topic_id)
    replicas = [len(partition.replicas) for partition in description.partitions]
    return TopicFacts(
        id="" if identity in UNKNOWN_IDS else identity,
        partitions=len(replicas),
        replicas=min(replicas, default=0),
    )


def _topic_facts(described: TopicFacts, settings: Mapping[str, Any]) -> TopicFacts:
    policy = _text(settings, "cleanup.policy")
    return TopicFacts(
        id=described.id,
        partitions=described.partitions,
        replicas=described.replicas,
        max_message_bytes=_number(settings, "max.message.bytes"),
        cleanup=None if policy is None else frozenset(filter(None, policy.split(","))),
        retention_ms=_number(settings, "retention.ms"),
        retention_bytes=_number(settings, "retention.bytes"),
        min_insync_replicas=_number(settings, "min.insync.replicas"),
        unclean_leader_election=_flag(settings, "unclean.leader.election.enable"),
    )


def _broker_facts(brokers: int, settings: Mapping[str, Any]) -> BrokerFacts:
    return BrokerFacts(
        brokers=brokers,
        unclean_leader_election=_flag(settings, "unclean.leader.election.enable"),
        longest_transaction_ms=_number(settings, "transaction.max.timeout.ms"),
    )


def _text(settings: Mapping[str, Any], name: str) -> str | None:
    found = settings.get(name)
    return None if found is None else found.value


def _number(settings: Mapping[str, Any], name: str) -> int | None:
    text = _text(settings, name)
    return int(text) if text and text.removeprefix("-").isdigit() else None


def _flag(settings: Mapping[str, Any], name: str) -> bool | None:
    text = _text(settings, name)
    return None if text is None else text == "true"


def _check_partitions(name: str, partitions: int, shards: int) -> None:
    """Each shard has a partition of its own. One topic outlives the store, and remembers."""
    if partitions in (0, shards):
        return
    msg = (
        f"The topic {name} has {counted(partitions, 'partition')}, one for each shard since the "
        f"first start; SCHEDULING_SHARDS is {shards}. Set it to {partitions}, or begin another"
        " SCHEDULING_NAMESPACE."
    )
    raise StartError(msg)


def _new_topic(topic: Topic, name: str, shards: int) -> NewTopic:
    """With the brokers' defaults, except for settings that the promises depend on."""
    if topic in COMPACTED:
        return NewTopic(name, num_partitions=shards, config={"cleanup.policy": "compact"})
    if topic is Topic.EVENTS:
        return NewTopic(name, num_partitions=shards, config={"retention.ms": str(EVENTS_KEPT_MS)})
    return NewTopic(name, num_partitions=1)


def _wait(name: str, fault: BaseException | None) -> None:
    if fault is None:
        log.info("topic created", topic=name)
        return
    code = fault.args[0].code() if isinstance(fault, KafkaException) else None
    if code != KafkaError.TOPIC_ALREADY_EXISTS:
        msg = f"The topic {name} cannot be created: {fault}"
        raise LogUnavailable(msg) from fault
