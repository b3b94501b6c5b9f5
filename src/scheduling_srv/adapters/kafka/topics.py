"""Creates the topics that are missing (docs/contract.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from scheduling_srv import points
from scheduling_srv.app.records import Topic
from scheduling_srv.domain.errors import LogUnavailable, StartError
from scheduling_srv.failpoints import passed

log = structlog.get_logger(__name__)

TIMEOUT = 10.0
"""Seconds to wait for the broker."""

COMPACTED = frozenset({Topic.JOURNAL, Topic.POSITION})
"""Our own topics: the last record of each key is what counts."""


async def ensure_topics(
    config: Mapping[str, str | int | float | bool],
    topics: Mapping[Topic, str],
    *,
    shards: int,
) -> None:
    """Create what is missing. Raises `LogUnavailable`."""
    await asyncio.to_thread(_ensure, config, topics, shards)


def _ensure(
    config: Mapping[str, str | int | float | bool],
    topics: Mapping[Topic, str],
    shards: int,
) -> None:
    admin = AdminClient(dict(config))
    try:
        existing = admin.list_topics(timeout=TIMEOUT).topics
        for topic in COMPACTED:
            if found := existing.get(topics[topic]):
                _check_partitions(topics[topic], len(found.partitions), shards)
        missing = [
            _new_topic(topic, name, shards)
            for topic, name in topics.items()
            if name not in existing
        ]
        if missing:
            passed(points.TOPICS_CALL)
            futures = admin.create_topics(missing, operation_timeout=TIMEOUT)
            for name, future in futures.items():
                _wait(name, future.exception(timeout=TIMEOUT))
            passed(points.TOPICS_CREATED)
    except KafkaException as fault:
        msg = f"Kafka does not answer: {fault}"
        raise LogUnavailable(msg) from fault


def _check_partitions(name: str, partitions: int, shards: int) -> None:
    """Each shard has a partition of its own. One topic outlives the store, and remembers."""
    if partitions in (0, shards):
        return
    msg = (
        f"The topic {name} has {partitions} partitions, one for each shard since the "
        f"first start; SCHEDULING_SHARDS is {shards}."
    )
    raise StartError(msg)


def _new_topic(topic: Topic, name: str, shards: int) -> NewTopic:
    if topic in COMPACTED:
        return NewTopic(name, num_partitions=shards, config={"cleanup.policy": "compact"})
    return NewTopic(name, num_partitions=1)


def _wait(name: str, fault: BaseException | None) -> None:
    if fault is None:
        log.info("topic created", topic=name)
        return
    code = fault.args[0].code() if isinstance(fault, KafkaException) else None
    if code != KafkaError.TOPIC_ALREADY_EXISTS:
        msg = f"The topic {name} cannot be created: {fault}"
        raise LogUnavailable(msg) from fault
