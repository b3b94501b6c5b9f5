"""Asks Kafka for the ids and ends of topics, and for the first record after an instant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from scheduling_srv.adapters.kafka import clients as kafka_clients
from scheduling_srv.adapters.kafka.connecting import connect, metadata
from scheduling_srv.adapters.kafka.topics import UNKNOWN_IDS
from scheduling_srv.app.positions import Topic
from scheduling_srv.domain.errors import LogUnavailable
from scheduling_srv.formats.positions import Place

TIMEOUT_SECONDS = 10.0
"""Seconds to wait for each answer."""
MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART})
MOCK = "mockCluster"
"""Beginning of the cluster's name in librdkafka's mock, which has no controller to ask for ids."""
PASSING = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError._NOENT,  # noqa: SLF001 - its public name: no partition has a leader
    }
)
"""Errors about a partition that was just created, is being moved, or has no leader."""

EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Key = TypeVar("Key")
Result = TypeVar("Result")


class KafkaLogs:
    """Implements `Logs`. A client that has asked nothing costs nothing."""

    def __init__(self, config: Mapping[str, str | int | float | bool]) -> None:
        self.config = config
        self._admin: AdminClient | None = None
        self._has_ids = True

    async def topics(self, topics: Sequence[str]) -> Mapping[str, Topic]:
        """The topics that exist. Raises `LogUnavailable`."""
        if not topics:
            return {}
        admin = await self._connected(topics[0])
        if not self._has_ids:
            return await self._call(lambda: _listed(admin, topics))
        wanted = TopicCollection(list(topics))
        found = await self._answers(
            lambda: admin.describe_topics(wanted, request_timeout=TIMEOUT_SECONDS), MISSING
        )
        return {name: _topic_of(said) for name, said in found.items()}

    async def ends(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, int]]:
        """The begin and the end of each. Raises `LogUnavailable`."""
        lows = await self._offsets(dict.fromkeys(places, EARLIEST))
        highs = await self._offsets(dict.fromkeys(places, LATEST))
        return {place: (low, highs[place]) for place, low in lows.items() if place in highs}

    async def first_after(self, stamps: Mapping[Place, int]) -> Mapping[Place, int | None]:
        """The first record that is newer. Raises `LogUnavailable`."""
        found = await self._offsets(
            {place: OffsetSpec.for_timestamp(stamp + 1) for place, stamp in stamps.items()}
        )
        if found.keys() != stamps.keys():
            raise LogUnavailable("Kafka does not say which records are newer.")
        return {place: None if offset < 0 else offset for place, offset in found.items()}

    async def last_stable_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The end of each, before the first open transaction. Raises `LogUnavailable`."""
        return await self._offsets(dict.fromkeys(places, LATEST))

    async def high_watermarks(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The end of each, including open transactions. Raises `LogUnavailable`."""
        return await self._offsets(dict.fromkeys(places, LATEST), committed=False)

    async def _offsets(
        self, wanted: Mapping[Place, OffsetSpec], *, committed: bool = True
    ) -> dict[Place, int]:
        if not wanted:
            return {}
        admin = await self._connected(next(iter(wanted)).topic)
        specs = {TopicPartition(*place): spec for place, spec in wanted.items()}
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        found = await self._answers(
            lambda: admin.list_offsets(
                specs, isolation_level=level, request_timeout=TIMEOUT_SECONDS
            ),
            PASSING,
        )
        return {Place(at.topic, at.partition): said.offset for at, said in found.items()}

    async def _connected(self, topic: str) -> AdminClient:
        if self._admin is None:
            admin = kafka_clients.make_admin(self.config)
            await self._call(lambda: connect(admin, topic, TIMEOUT_SECONDS))
            about: Any = await self._call(lambda: metadata(admin, topic, seconds=TIMEOUT_SECONDS))
            self._has_ids = not (about.cluster_id or "").startswith(MOCK)
            self._admin = admin
        return self._admin

    async def _call(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.to_thread(work)
        except KafkaException as fault:
            raise kafka_clients.unavailable(fault, self.config) from fault

    async def _answers(
        self, ask: Callable[[], Mapping[Key, Future[Any]]], passing: frozenset[int]
    ) -> dict[Key, Any]:
        """Those without an error among the `passing` ones.

        The thread that asks waits for them: the event loop wakes up once, not for each answer.
        """
        return await self._call(lambda: _without(passing, ask()))


def _without(passing: frozenset[int], answers: Mapping[Key, Future[Any]]) -> dict[Key, Any]:
    found = {}
    for key, answer in answers.items():
        try:
            found[key] = answer.result()
        except KafkaException as fault:
            if fault.args[0].code() not in passing:
                raise
    return found


def _topic_of(said: Any) -> Topic:  # noqa: ANN401 - confluent_kafka has no types for it
    topic_id = str(said.topic_id)
    return Topic("" if topic_id in UNKNOWN_IDS else topic_id, len(said.partitions))


def _listed(admin: AdminClient, topics: Sequence[str]) -> Mapping[str, Topic]:
    there = metadata(admin, seconds=TIMEOUT_SECONDS).topics
    return {name: Topic("", len(there[name].partitions)) for name in topics if name in there}
