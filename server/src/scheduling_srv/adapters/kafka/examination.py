"""Examines Kafka for a diagnosis: which rights it gives, and what tells its clock.

Rights to topics and to the cluster are asked for, as the brokers tell them. Those to the group and
to transactions are tried: the group's offsets are read, and a transactional id is opened that no
replica has. Neither is felt by a service that runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from scheduling_srv.adapters.kafka import clients as kafka_clients
from scheduling_srv.adapters.kafka.connecting import metadata
from scheduling_srv.adapters.kafka.needed_rights import RIGHTS, Right, named
from scheduling_srv.formats.kafka_records import Topic

ANSWER_SECONDS = 3.0
"""Seconds to wait for each answer."""
OPEN_SECONDS = 5.0
"""Seconds to wait for a transactional id."""
PROBE = "doctor"
"""End of the transactional id that is tried."""
REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
ALL = "ALL"

Result = TypeVar("Result")


class KafkaExamination:
    """Implements `KafkaAbout`. All calls run in one thread of its own."""

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        topics: Mapping[Topic, str],
        *,
        namespace: str,
        group: str,
    ) -> None:
        self.config = config
        self.topics = topics
        self.names = {topic.value: name for topic, name in topics.items()}
        self.names |= {"namespace": namespace, "group": group}
        self.group = group
        self._admin: AdminClient | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-examination")

    async def lacks(self) -> Sequence[str]:
        """A sentence for each right that is refused. Raises `LogUnavailable`."""
        return await self._call(lambda: [*self._of_topics(), *self._of_cluster(), *self._tried()])

    async def newest(self) -> int | None:
        """The newest time stamp of a record, in epoch ms. Raises `LogUnavailable`.

        A marker of a transaction has that of the broker's clock.
        """
        return await self._call(self._newest)

    async def _call(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (KafkaException, TimeoutError) as fault:
            raise kafka_clients.unavailable(fault, self.config) from fault

    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = kafka_clients.make_admin(self.config)
        return self._admin

    # --- Rights -------------------------------------------------------------------------------

    def _of_topics(self) -> Iterator[str]:
        found = self._client().describe_topics(
            TopicCollection(list(self.topics.values())),
            include_authorized_operations=True,
            request_timeout=ANSWER_SECONDS,
        )
        for right, name in self._needed("topic"):
            try:
                allowed = _operations(found[name])
            except KafkaException as fault:
                if fault.args[0].code() in REFUSED:
                    yield f"The topic {name} may not be described."
                elif fault.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
            else:
                yield from _lacking(right, f"the topic {name}", allowed)

    def _of_cluster(self) -> Iterator[str]:
        answer: Future[Any] = self._client().describe_cluster(
            include_authorized_operations=True, request_timeout=ANSWER_SECONDS
        )
        allowed = _operations(answer)
        for right, _name in self._needed("cluster"):
            yield from _lacking(right, "the cluster", allowed)

    def _needed(self, resource: str) -> Iterator[tuple[Right, str]]:
        for right, name, _is_prefix in named(RIGHTS, self.names):
            if right.resource == resource:
                yield right, name

    def _tried(self) -> Iterator[str]:
        yield from _trying(self._read_offsets, f"The group {self.group} may not be read.")
        yield from _trying(
            self._open_transactions,
            f"Transactional ids that begin with {self.names['namespace']}- may not be used.",
        )

    def _read_offsets(self) -> None:
        """A consumer that joins nothing asks: an admin client's call may end the process.

        Librdkafka aborts if a coordinator answers such a call late (its issue 4605).
        """
        config = {**self.config, "group.id": self.group, "enable.auto.commit": False}
        consumer = kafka_clients.make_consumer(config, polled=True)
        try:
            consumer.committed([TopicPartition(self.topics[Topic.JOBS], 0)], ANSWER_SECONDS)
        except KafkaException:
            told = consumer.poll(0)  # it waits for a coordinator that it may not see, and says why
            if told is not None and (error := told.error()):
                raise KafkaException(error) from None
            raise
        finally:
            consumer.close()

    def _open_transactions(self) -> None:
        probe = f"{self.names['namespace']}-{PROBE}"
        producer = kafka_clients.make_producer({**self.config, "transactional.id": probe})
        producer.init_transactions(OPEN_SECONDS)

    # --- Clock --------------------------------------------------------------------------------

    def _newest(self) -> int | None:
        client, names = self._client(), (self.topics[Topic.JOBS], self.topics[Topic.POSITION])
        known = metadata(client, seconds=ANSWER_SECONDS).topics
        newest: OffsetSpec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
        places = {
            TopicPartition(name, number): newest
            for name in names
            if name in known
            for number in known[name].partitions
        }
        if not places:
            return None
        answers = client.list_offsets(places, request_timeout=ANSWER_SECONDS)
        stamps = [each.result(ANSWER_SECONDS).timestamp for each in answers.values()]
        return max((stamp for stamp in stamps if stamp >= 0), default=None)


def _operations(answer: Future[Any]) -> frozenset[str]:
    """Names of the operations that are granted; empty: the broker has no authorizer."""
    found = answer.result(ANSWER_SECONDS).authorized_operations
    return frozenset(each.name.replace("_", "") for each in found or ())


def _lacking(right: Right, resource: str, allowed: frozenset[str]) -> Iterator[str]:
    if not allowed or ALL in allowed:
        return
    for operation in right.operations.split():
        if operation.upper() not in allowed:
            yield f"Kafka refuses {operation} on {resource}, which is needed: {right.why}."


def _trying(attempt: Callable[[], None], sentence: str) -> Iterator[str]:
    try:
        attempt()
    except KafkaException as fault:
        code = fault.args[0].code()
        if code in kafka_clients.NO_ANSWER:
            yield f"{sentence} At least, Kafka has not answered in time."
        elif code in REFUSED:
            yield sentence
        else:
            raise
