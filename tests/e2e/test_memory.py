"""The largest legal input: the service stays within its memory, and the owner keeps its lease."""

import pytest

from tests.client import contract
from tests.client.topics import Sender, make_topic
from tests.e2e.conftest import Deploy
from tests.e2e.load import MIB, memory_grows_by_less_than
from tests.e2e.product import Product, tomorrow
from tests.harness.given import Kafka
from tests.harness.kafka import KafkaServer
from tests.harness.names import Names
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS, eventually

LARGE = 850_000
LEASE = "10s"
"""Large jobs hold up no owner for so long, and a busy machine does so for less."""


def create_large(product: Product, count: int) -> None:
    """`count` jobs of 850 kB."""
    data = contract.Data(creator="large", payload=[contract.payload(b"x" * LARGE)])
    product.client.timeout = PATIENCE_SECONDS
    for first in range(0, count, 4):
        ids = range(first, min(first + 4, count))
        product.client.create(
            *(contract.job(id=f"large-{each}", when=tomorrow(), data=data) for each in ids)
        )


@pytest.fixture
def large_events(kafka: Kafka, names: Names) -> int:
    """Writes jobsCreated events of 850 kB to jobs.resource; returns their number."""
    make_topic(kafka.bootstrap, names.resources)
    data = contract.Data(creator="large", payload=[contract.payload(b"x" * LARGE)])
    count, when = 300, tomorrow()
    with Sender(kafka.bootstrap) as sender:
        for number in range(count):
            job = contract.job(id=f"large-{number}", when=when, data=data)
            sender.send(names.resources, "jobsCreated", job)
    return count


def leases_taken(product: Product) -> int:
    return product.service.log.read_text().count("lease taken")


def test_a_rebuild_of_large_jobs(
    deploy: Deploy, breakable_kafka: KafkaServer, breakable_valkey: ValkeyServer
) -> None:
    """It holds a window of them, not all, and each call to Redis is short."""
    product = deploy(kafka=breakable_kafka, valkey=breakable_valkey, lease=LEASE)
    create_large(product, 160)
    before = leases_taken(product)
    with memory_grows_by_less_than(130 * MIB, product):
        breakable_valkey.flush()
        eventually(lambda: leases_taken(product) > before, what="the loss is noticed")
        log = product.service.log
        eventually(lambda: "the schedule is rebuilt" in log.read_text(), what="the rebuild")
        product.service.wait_until_serving()
        assert product.client.read(limit=1).total_count == 160
    assert leases_taken(product) == before + 1


def test_a_restore_of_large_jobs_stays_within_memory(deploy: Deploy, large_events: int) -> None:
    """A restore keeps the locations of events, and puts jobs back in pieces."""
    product = deploy(lease=LEASE)
    with memory_grows_by_less_than(130 * MIB, product):
        product.client.command("restore", {"jobs": {"offset": 0}})
        product.reader.wait_for(lambda record: record.key == "restoreResponse")
        assert product.client.read(limit=1).total_count == large_events
    assert leases_taken(product) == 1
    product.client.command("reset")
    eventually(lambda: product.client.read(limit=1).total_count == 0, what="reset")
