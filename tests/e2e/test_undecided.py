"""Transactions whose end is not there: nothing is read past them (docs/guarantees.md)."""

import asyncio
from contextlib import suppress

import pytest
from confluent_kafka import Producer

from scheduling_srv.adapters.clock import SystemClock
from scheduling_srv.adapters.kafka.history import KafkaHistory
from scheduling_srv.adapters.kafka.producer import TransactionalPublisher
from scheduling_srv.adapters.kafka.topics import ensure_topics
from scheduling_srv.domain.errors import Undecided
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.position_record import Position
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.waiting import PATIENCE_SECONDS


@pytest.fixture
def config(kafka: Kafka) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": kafka.bootstrap, "log_level": 0}


@pytest.fixture
async def topics(config: dict[str, str | int | float | bool], names: Names) -> dict[Topic, str]:
    made = {topic: f"{names.namespace}.{topic}" for topic in Topic}
    await ensure_topics(config, made, shards=1)
    return made


@pytest.fixture
def somebody(
    config: dict[str, str | int | float | bool], names: Names, topics: dict[Topic, str]
) -> Producer:
    """A transaction of somebody else, open on the positions and the journal."""
    producer = Producer({**config, "transactional.id": f"{names.namespace}-somebody"})
    producer.init_transactions(PATIENCE_SECONDS)
    producer.begin_transaction()
    for topic in (Topic.POSITION, Topic.JOURNAL):
        producer.produce(topics[topic], b"{}", b"position", 0)
    producer.flush(PATIENCE_SECONDS)
    return producer


async def decided(history: KafkaHistory) -> Position | None:
    """The last position. The end of a transaction comes to its partitions after the call."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(Undecided):
                return await history.last_position()


async def test_nothing_is_read_past_an_open_transaction(
    config: dict[str, str | int | float | bool],
    names: Names,
    topics: dict[Topic, str],
    somebody: Producer,
) -> None:
    """A position behind it is the last one all the same: an older one would send runs again."""
    publisher = TransactionalPublisher(config, names.namespace, 0, topics, SystemClock())
    await publisher.open()
    await publisher.publish([], Position(5, "i"), 0)
    history = KafkaHistory(config, names.namespace, 0, topics)
    with pytest.raises(Undecided):
        await history.last_position()
    with pytest.raises(Undecided):
        [piece async for piece in history.journal()]
    await asyncio.to_thread(somebody.abort_transaction, PATIENCE_SECONDS)
    assert await decided(history) == Position(5, "i")


async def test_what_settles_says_nothing(
    config: dict[str, str | int | float | bool], names: Names, topics: dict[Topic, str]
) -> None:
    """It is no position, and no job either."""
    publisher = TransactionalPublisher(config, names.namespace, 0, topics, SystemClock())
    history = KafkaHistory(config, names.namespace, 0, topics)
    await publisher.open()
    await publisher.settle()
    assert await decided(history) is None
    await publisher.publish([], Position(5, "i"), 0)
    await publisher.settle()
    assert await decided(history) == Position(5, "i")
    assert [piece async for piece in history.journal() if piece] == []
