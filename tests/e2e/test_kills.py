"""SIGKILL at random moments under load, on real servers: every promise is kept.

Nothing lost, nothing twice (read_committed), nothing early, nothing after Delete has answered.
SCHEDULING_KILLS is how many kills there are in all, SCHEDULING_KILL_SEED repeats a run.
"""

import os
import random
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.client.topics import TopicReader
from tests.e2e.checker import Checker, Outcome
from tests.e2e.conftest import Deploy
from tests.e2e.load import Load, Place, observe, until_quiet
from tests.e2e.product import Product
from tests.harness.service import Service
from tests.harness.waiting import eventually

KILLS = int(os.environ.get("SCHEDULING_KILLS", "50"))
KAFKA_OPTIONS = '{"session.timeout.ms": 6000}'
"""The shortest that brokers allow: so long the group waits for a member that was killed."""
BACK = 40.0
"""How long a replica may take until it serves again, in seconds."""


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("SCHEDULING_KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"SCHEDULING_KILL_SEED={chosen}")  # noqa: T201 - to repeat it
    return chosen


@pytest.mark.timeout(120 + 10 * KILLS)
def test_the_only_replica_is_killed(deploy: Deploy, seed: int) -> None:
    product = deploy(lease="500ms", kafka_options=KAFKA_OPTIONS)
    with under_load(product, seed) as moments:
        for number in range((KILLS + 1) // 2):
            time.sleep(moments.uniform(0, 0.6))
            product.service.kill()
            product.service.launch()
            if number % 4:  # else it is killed while it starts, or recovers
                product.service.wait_until_serving(BACK)
        product.service.wait_until_serving(BACK)


@pytest.mark.timeout(120 + 10 * KILLS)
def test_the_emitting_one_of_two_replicas_is_killed(deploy: Deploy, seed: int) -> None:
    product = deploy(2, lease="500ms", kafka_options=KAFKA_OPTIONS)
    with under_load(product, seed) as moments:
        for _ in range(KILLS // 2):
            emitting = eventually(
                lambda: owner_of(product), timeout=BACK, what="a replica that emits"
            )
            time.sleep(moments.uniform(0, 0.6))
            emitting.kill()
            emitting.launch()
        for replica in product.replicas:
            replica.wait_until_serving(BACK)


@contextmanager
def under_load(product: Product, seed: int) -> Iterator[random.Random]:
    """Clients work while it is entered; then all must come to its end, and be as promised."""
    addresses = tuple(replica.address for replica in product.replicas)
    load = Load(Place(product.bootstrap, product.names, addresses), seed=seed)
    with (
        TopicReader(product.bootstrap, product.names.jobs, product.names.resources) as reader,
        load.worker,
    ):
        with load.running():
            yield random.Random(seed)
        caught_up = load.until_caught_up(reader, timeout=30)
        load.end_all()
        # The consumer group has to miss those who were killed before it goes on.
        product.settle(timeout=60)
        until_quiet(load.worker, reader, timeout=60)
        observed = observe(reader, product.names, product.ids(), caught_up)
    acknowledged = [step for step in load.history if step.outcome is Outcome.ACKNOWLEDGED]
    print(  # noqa: T201 - what the test was worth
        f"{len(load.history)} steps, {len(acknowledged)} of them acknowledged; "
        f"{len(observed.runs)} runs, {len(observed.answers)} answers"
    )
    assert len(acknowledged) > 10 * KILLS
    assert Checker(load.history, observed).violations() == []


def owner_of(product: Product) -> Service | None:
    """The replica whose metrics say that it emits."""
    return next((replica for replica in product.replicas if is_emitting(replica)), None)


def is_emitting(replica: Service) -> bool:
    try:
        url = f"{replica.admin_url}/metrics"
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own
            return re.search(rb"^scheduling_owner 1", answer.read(), re.MULTILINE) is not None
    except OSError:
        return False
