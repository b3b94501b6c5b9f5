"""A run that comes late has its whole completion timeout from then on (docs/decisions/0027)."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, Run, fresh, in_ms, now_ms
from tests.harness.kafka import KafkaServer
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

TIMEOUT_MS, ABSENCE_MS = 2_500, 4_500
"""A completion timeout, and an absence of Kafka that is longer, but short enough for a publication
to wait for its end."""
PRECISION_MS = 1_500
"""So much less than its timeout may a worker see: a second, and the way through Kafka."""
COUNT = 10

PATIENCE = "10s"
"""So long does a run that is sent at once wait for Kafka: as long as the lease."""

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "one shard": {},
    "three shards": {"shards": "3"},
    "at least once": {"delivery": "at_least_once", "lease": PATIENCE},
    "at least once, three shards": {"delivery": "at_least_once", "lease": PATIENCE, "shards": "3"},
}


def until(instant: int) -> None:
    eventually(lambda: now_ms() > instant, what="an instant")


def due_one_by_one(product: Product, kinds: Sequence[str], attempts: int) -> None:
    """The first one soon, the others 50 ms apart."""
    instants = [in_ms(1_000 + 50 * number)[1] for number in range(len(kinds))]
    jobs = [
        contract.job(id=kind, type=kind, when=when, attempts=attempts)
        for kind, when in zip(kinds, instants, strict=True)
    ]
    product.client.create(*jobs)


def be_away(kafka: KafkaServer) -> None:
    kafka.pause()
    until(now_ms() + ABSENCE_MS)
    kafka.resume()


def attempt(product: Product, kind: str, wanted: int) -> Run:
    """Its first record: with `at_least_once` there may be more."""
    runs = (product.run(kind, number) for number in count(1))
    return next(run for run in runs if run.attempt == wanted)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_worker_has_the_whole_timeout_when_kafka_is_back(
    deploy: Deploy, breakable_kafka: KafkaServer, settings: Mapping[str, Any]
) -> None:
    """A second attempt came together with the first one, which no worker could have seen."""
    product = deploy(kafka=breakable_kafka, completion_timeout=f"{TIMEOUT_MS}ms", **settings)
    silent, slow = [fresh("silent") for _ in range(COUNT)], [fresh("slow") for _ in range(COUNT)]
    due_one_by_one(product, silent, attempts=2)
    due_one_by_one(product, slow, attempts=1)
    be_away(breakable_kafka)
    for kind in slow:
        product.done(product.run(kind))
    for kind in silent:
        first, second = attempt(product, kind, 1), attempt(product, kind, 2)
        passed = 1000 * (second.record.read_at - first.record.read_at)
        assert passed > TIMEOUT_MS - PRECISION_MS
        product.done(second)
    outcomes = [product.deleted(kind).headers["outcome"] for kind in (*slow, *silent)]
    assert outcomes == ["done"] * 2 * COUNT


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_crash_before_the_confirmation_takes_no_time_from_the_worker(
    deploy: Deploy, delivery: str
) -> None:
    """Kafka has the run, and the next owner learns it long after it was staged."""
    product = deploy(completion_timeout=f"{TIMEOUT_MS}ms", lease="500ms", delivery=delivery)
    kind = fresh("crash")
    due, when = in_ms(4_000)  # it has to be dead by then
    product.client.create(contract.job(id=kind, type=kind, when=when, attempts=1))
    product.service.kill()
    until(due)
    product.service.settings["SCHEDULING_FAILPOINTS"] = "publish.committed=kill"
    product.service.launch()
    product.service.process.wait()
    del product.service.settings["SCHEDULING_FAILPOINTS"]
    until(due + TIMEOUT_MS)
    product.service.start()
    product.settle()
    product.done(product.run(kind))
    assert product.deleted(kind).headers["outcome"] == "done"
