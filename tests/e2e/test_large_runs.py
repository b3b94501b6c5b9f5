"""Large jobs that fall due at once: others keep their turn, and the owner keeps its lease."""

import os

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, now_ms
from tests.e2e.test_memory import LARGE, LEASE, leases_taken
from tests.harness.waiting import PATIENCE_SECONDS, eventually
from tests.harness.windows import TooSlow, in_time, with_enough_time

COUNT = int(os.environ.get("LARGE_RUNS", "60"))


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_an_urgent_job_overtakes_large_ones(deploy: Deploy, delivery: str) -> None:
    """What is due and may run goes by priority: only a little is staged ahead of it."""
    product = deploy(delivery=delivery, lease=LEASE)
    product.client.timeout = PATIENCE_SECONDS

    def create_all(window: int) -> tuple[int, str, str]:
        """All before the first is due; answers when that is, and both types."""
        due, large, small = now_ms() + window, fresh("large"), fresh("small")
        try:
            create_large(product, large, COUNT, due)
            product.create_at(due + 1, contract.job(type=small, priority="CRITICAL"))
            in_time(now_ms() < due, "all jobs were there before they were due")
        except TooSlow:
            product.client.command("reset")
            raise
        return due, large, small

    due, large, small = with_enough_time(create_all, 5_000 + 100 * COUNT, tries=5)
    taken = leases_taken(product)
    (run,) = product.runs(small)
    runs = product.runs(large, COUNT)
    assert len({each.occurrence for each in runs}) == COUNT
    behind = [each for each in runs if each.record.offset > run.record.offset]
    lates = [each.record.timestamp - due for each in (run, *runs)]
    print(f"urgent {lates[0]} ms, last large {max(lates)} ms, {len(behind)} behind")  # noqa: T201
    assert len(behind) > COUNT / 4
    assert leases_taken(product) == taken
    eventually(product.service.is_serving, what="SERVING")


def create_large(product: Product, kind: str, count: int, due: int) -> None:
    data = contract.Data(payload=[contract.payload(b"x" * LARGE)])
    for first in range(0, count, 4):
        size = min(4, count - first)
        product.create_at(due, *[contract.job(type=kind, data=data)] * size)
