"""What lay on the jobs topic while the service was down goes before what is overdue."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import fresh, now_ms, until
from tests.harness.windows import with_enough_time

COUNT = 20
TIMEOUT_MS = 1_000
PATIENT = "2m"
"""How long overdue runs wait for the events on the topic, however slow the machine is."""

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "one shard": {},
    "three shards": {"shards": "3"},
    "at least once": {"delivery": "at_least_once"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_answers_in_time_win_against_the_time_out(
    deploy: Deploy, settings: Mapping[str, Any]
) -> None:
    """20 of 20 runs were emitted again: the group takes seconds to give partitions away.

    They time out only for the second start: how long all before it takes does not matter.
    """
    product = deploy(input_timeout=PATIENT, **settings)
    kinds = [fresh("type") for _ in range(COUNT)]
    product.client.create(*[contract.job(type=kind, now=True, attempts=3) for kind in kinds])
    runs = [product.run(kind) for kind in kinds]
    product.service.kill()
    for run in runs:
        product.done(run)
    until(now_ms() + TIMEOUT_MS)
    product.service.settings["SCHEDULING_COMPLETION_TIMEOUT"] = f"{TIMEOUT_MS}ms"
    product.service.start()
    product.settle()
    assert [len(product.runs_so_far(kind)) for kind in kinds] == [1] * COUNT


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_jobs_that_were_deleted_meanwhile_do_not_run(
    deploy: Deploy, settings: Mapping[str, Any]
) -> None:
    """10 of 10 jobs ran: they were overdue before their deletion was read."""
    product = deploy(input_timeout=PATIENT, **settings)

    def attempt(window: int) -> None:
        due, ids, kind = now_ms() + window, [fresh("id") for _ in range(10)], fresh("type")
        product.create_at(due, *(contract.job(id=each, type=kind) for each in ids))
        product.end_before(due, *ids)
        product.send("deleteJobs", contract.DeleteRequest(ids=ids[:5]))
        product.send("deleteJobs", contract.DeleteRequest(ids=ids[5:]))
        until(due)
        product.service.start()
        product.settle()
        assert product.runs_so_far(kind) == []
        assert product.ids() == []

    with_enough_time(attempt, 2_000)


def test_without_answers_runs_time_out_as_before(deploy: Deploy) -> None:
    product = deploy(completion_timeout="500ms")
    kind = fresh("type")
    product.client.create(contract.job(type=kind, now=True, attempts=3))
    assert [run.attempt for run in product.runs(kind, 3)] == [1, 2, 3]
