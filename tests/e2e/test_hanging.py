"""Kafka may lose the end of a committed transaction: readers go on (docs/decisions/0036)."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from scheduling_srv.adapters.kafka.logs import KafkaLogs
from scheduling_srv.app.recovery.hanging import (
    MOST_ASKED,
    PATIENCE_SECONDS,
    SUSPECTS,
    HangingTransactions,
)
from scheduling_srv.formats.positions import Place
from tests.client import contract
from tests.client.forging import do_not_verify, forge, last_batch
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh
from tests.harness import waiting
from tests.harness.kafka import KafkaServer
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

TIMEOUT = f"{2 * PATIENCE_SECONDS:g}s"
"""Of a run without an answer; nothing is published before."""
SAYS = "a transaction has not ended in some partitions"


def _said(product: Product) -> dict[str, Any] | None:
    return next((line for line in product.service.lines() if line["event"].startswith(SAYS)), None)


@pytest.mark.parametrize(
    ("delivery", "topic"),
    [("exactly_once", "jobs"), ("exactly_once", "resources"), ("at_least_once", "resources")],
)
def test_a_hanging_transaction_gets_another_end(
    deploy: Deploy, breakable_kafka: KafkaServer, delivery: str, topic: str
) -> None:
    """Workers waited behind it for the next run, and the owner for ever."""
    do_not_verify(breakable_kafka.bootstrap)
    product = deploy(kafka=breakable_kafka, completion_timeout=TIMEOUT, delivery=delivery)
    silent = fresh("silent")
    product.client.create(contract.job(id=silent, type=silent, when="in 2 seconds", attempts=1))
    product.created(silent)
    name = getattr(product.names, topic)
    if topic == "jobs":
        product.run(silent)
    last = last_batch(breakable_kafka.directory / "data" / f"{name}-0")
    forge(breakable_kafka.bootstrap, name, last, f"{product.names.namespace}-0-0")
    said = eventually(lambda: _said(product), what="another end")
    assert name in str(said["partitions"])
    # It times out: the owner has read the jobs topic to its end, and all readers go on behind it.
    assert product.deleted(silent).headers["outcome"] == "timed-out"
    kinds = [fresh("after") for _ in range(4)]
    for kind in kinds:
        product.client.create(contract.job(id=kind, type=kind, now=True))
        product.done(product.run(kind))
    assert [len(product.runs_so_far(kind)) for kind in kinds] == [1] * 4


# --- Thousands of partitions ----------------------------------------------------------------------

MANY = 3_000


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[KafkaServer]:
    """A Kafka of its own with a topic of thousands of partitions."""
    server = KafkaServer(tmp_path / "kafka")
    server.start()
    try:
        with AdminClient({"bootstrap.servers": server.bootstrap}) as admin:
            admin.create_topics([NewTopic("wide", MANY, 1)])["wide"].result(60)
        yield server
    finally:
        server.kill()


class Committing:
    """A producer with a transaction that is open in one partition until it settles."""

    def __init__(self, bootstrap: str, place: Place) -> None:
        self.settled: list[Place] = []
        self.producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "open"})
        self.producer.init_transactions(waiting.PATIENCE_SECONDS)
        self.producer.begin_transaction()
        self.producer.produce(place.topic, b"", partition=place.partition)
        self.producer.flush(waiting.PATIENCE_SECONDS)

    def places(self) -> Sequence[Place]:
        return [Place("wide", number) for number in range(MANY)]

    async def settle(self, places: Sequence[Place] = ()) -> None:
        self.settled += places
        await asyncio.to_thread(self.producer.commit_transaction, waiting.PATIENCE_SECONDS)


async def test_one_of_thousands_of_partitions_gets_another_end(wide: KafkaServer) -> None:
    """No look asks for all of them, and a recovery does."""
    hanging = Place("wide", MANY - 1)
    publisher = Committing(wide.bootstrap, hanging)
    seconds = iter(range(10_000))
    watch = HangingTransactions(
        ends=KafkaLogs({"bootstrap.servers": wide.bootstrap}),
        publisher=publisher,
        shard=0,
        monotonic=lambda: float(next(seconds)),
    )
    assert await watch.find() == {hanging: 0}
    in_turn = MOST_ASKED - SUSPECTS
    for _ in range(MANY // in_turn + int(PATIENCE_SECONDS) + 1):
        await watch.look()
    assert publisher.settled == [hanging]
    async with asyncio.timeout(waiting.PATIENCE_SECONDS):
        while await watch.find():  # noqa: ASYNC110 - the end comes after the commit, untold
            await asyncio.sleep(0.05)
