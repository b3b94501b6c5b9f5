"""A run that comes late has its whole completion timeout from then on (docs/decisions/0027)."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, Run, fresh, in_ms, now_ms, until
from tests.harness.kafka import KafkaServer
from tests.harness.windows import in_time, with_enough_time

pytestmark = pytest.mark.slow

FIRST_TIMEOUT_MS = 2_500
"""The completion timeout of the first try."""
LONGER_MS = 1_000
"""Kafka is away for so long after the first run would have timed out."""
PRECISION_MS = 1_500
"""So much less than its timeout may a worker see: a second, and the way through Kafka."""
COUNT = 10

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "one shard": {},
    "three shards": {"shards": "3"},
    "at least once": {"delivery": "at_least_once"},
    "at least once, three shards": {"delivery": "at_least_once", "shards": "3"},
}


def due_one_by_one(product: Product, kinds: Sequence[str], attempts: int, lead: int) -> None:
    """The first one in `lead` ms, the others 50 ms apart."""
    instants = [in_ms(lead + 50 * number)[1] for number in range(len(kinds))]
    jobs = [
        contract.job(id=kind, type=kind, when=when, attempts=attempts)
        for kind, when in zip(kinds, instants, strict=True)
    ]
    product.client.create(*jobs)


def attempt(product: Product, kind: str, wanted: int) -> Run:
    """Its first record: with `at_least_once` there may be more."""
    runs = (product.run(kind, number) for number in count(1))
    return next(run for run in runs if run.attempt == wanted)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_worker_has_the_whole_timeout_when_kafka_is_back(
    deploy: Deploy, breakable_kafka: KafkaServer, settings: Mapping[str, Any]
) -> None:
    """A second attempt came together with the first one, which no worker could have seen.

    Kafka is away for longer than the timeout, but no publication gives up: a run that is sent at
    once waits for as long as the lease.
    """

    def try_with(timeout: int) -> None:
        lease = f"{2 * timeout + 5_000}ms"
        product = deploy(
            kafka=breakable_kafka, completion_timeout=f"{timeout}ms", lease=lease, **settings
        )
        try:
            check(product, timeout)
        finally:
            product.service.stop()  # the next one has another timeout

    def check(product: Product, timeout: int) -> None:
        silent, slow = [[fresh("kind") for _ in range(COUNT)] for _ in range(2)]
        lead = timeout // 2
        due = now_ms() + lead
        due_one_by_one(product, silent, 2, lead)
        due_one_by_one(product, slow, 1, lead)
        breakable_kafka.pause()
        paused = now_ms()
        until(paused + lead + timeout + LONGER_MS)
        breakable_kafka.resume()
        back = now_ms()
        in_time(paused < due, "Kafka is away before the first run is due")
        for kind in slow:
            product.done(product.run(kind))
        in_time(now_ms() - back < timeout - PRECISION_MS, "workers answer within their timeout")
        for kind in silent:
            first, second = attempt(product, kind, 1), attempt(product, kind, 2)
            passed = 1000 * (second.record.read_at - first.record.read_at)
            # The test may have read the first one late. Where both come together it never passes.
            in_time(passed > timeout - PRECISION_MS, "a timeout passes between two attempts")
            product.done(second)
        outcomes = [product.deleted(kind).headers["outcome"] for kind in (*slow, *silent)]
        assert outcomes == ["done"] * 2 * COUNT

    with_enough_time(try_with, FIRST_TIMEOUT_MS, tries=3)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_crash_before_the_confirmation_takes_no_time_from_the_worker(
    deploy: Deploy, delivery: str
) -> None:
    """Kafka has the run, and the next owner learns it long after it was staged."""
    product = deploy(lease="500ms", delivery=delivery)
    service = product.service

    def try_with(timeout: int) -> None:
        kind, due = fresh("crash"), now_ms() + timeout
        product.create_at(due, contract.job(id=kind, type=kind, attempts=1))
        product.end_before(due, kind)
        until(due)
        service.settings["SCHEDULING_FAILPOINTS"] = "publish.committed=kill"
        service.launch()
        service.process.wait()
        del service.settings["SCHEDULING_FAILPOINTS"]
        until(now_ms() + timeout)
        service.settings["SCHEDULING_COMPLETION_TIMEOUT"] = f"{timeout}ms"
        began = now_ms()
        service.start()
        product.done(product.run(kind))
        in_time(now_ms() - began < timeout - PRECISION_MS, "the worker answers within its timeout")
        assert product.deleted(kind).headers["outcome"] == "done"

    with_enough_time(try_with, 2 * FIRST_TIMEOUT_MS, tries=4)
