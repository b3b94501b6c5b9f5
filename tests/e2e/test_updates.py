"""What an Update or Upsert keeps: the phase, and the runs that are due (docs/contract.md)."""

from tests.client import contract
from tests.e2e.product import PATIENCE, Product, fresh, now_ms

PERIOD = 1500


def test_a_job_that_is_upserted_all_the_time_runs(product: Product) -> None:
    """An application that is deployed again and again must not put off its jobs for ever."""
    kind, job_id = fresh("type"), fresh()
    job = contract.job(id=job_id, type=kind, interval=f"{PERIOD} ms")
    begun = now_ms()
    product.client.upsert(job)
    upserts = 1
    while len(product.runs_so_far(kind)) < 3:
        assert now_ms() < begun + 1000 * PATIENCE, f"no third run after {upserts} upserts"
        product.client.upsert(job)
        upserts += 1
    first, second, third = product.runs(kind)[:3]
    assert third.nominal - second.nominal == second.nominal - first.nominal == PERIOD
    assert product.resource_events(job_id) == [("jobsCreated", job_id)]
    product.client.delete(job_id)
    product.finish(kind)
