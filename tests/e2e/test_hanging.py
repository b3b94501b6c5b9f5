"""Kafka may lose the end of a committed transaction: readers go on (docs/decisions/0036)."""

from typing import Any

import pytest

from scheduling_srv.app.recovery.hanging import PATIENCE_SECONDS
from tests.client import contract
from tests.client.forging import do_not_verify, forge, last_batch
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh
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
