"""What docs/clients-of-2018.md says of the log's end, and of calls that are repeated."""

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.client import contract
from tests.client.grpc_client import Refusal
from tests.e2e.product import Product, fresh, tomorrow
from tests.harness.given import Kafka
from tests.harness.waiting import PATIENCE_SECONDS, eventually


def log_end(kafka: Kafka, topic: str) -> int:
    config = {"bootstrap.servers": kafka.bootstrap, "group.id": "reader"}
    with Consumer(config) as consumer:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_SECONDS)[1]


def test_the_last_offset_of_the_log_is_a_marker_that_consumers_never_see(
    product: Product, kafka: Kafka
) -> None:
    kind = fresh("kind")
    product.client.create(contract.job(type=kind, when="in 300 ms"))
    run = product.run(kind)
    topic = product.names.jobs
    eventually(lambda: log_end(kafka, topic) > run.record.offset + 1, what="the marker")
    assert product.end_of(topic) == run.record.offset + 1
    product.done(run)


def test_a_create_that_is_repeated_with_its_id_creates_once(product: Product) -> None:
    job = contract.job(id=fresh("job"), type=fresh("kind"), when=tomorrow())
    product.client.create(job)
    with pytest.raises(Refusal, match="ALREADY_EXISTS"):
        product.client.create(job)
    assert product.living(job.id) == [job.id]
