"""Redis lost everything while the service was stopped: the schedule is back from Kafka."""

from typing import Any

import pytest

from tests.client import contract
from tests.client.contract import Backoff, Data, Job, JobFilter
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, Run, fresh, in_ms, tomorrow
from tests.harness.valkey import ValkeyServer


class Loss:
    """Stops the service, flushes Redis, and starts it again."""

    def __init__(self, product: Product, valkey: ValkeyServer) -> None:
        self.product = product
        self._valkey = valkey

    def __call__(self, end: str = "stop") -> None:
        getattr(self.product.service, end)()
        self._valkey.flush()
        self.product.service.start()


@pytest.fixture
def loss(deploy: Deploy, breakable_valkey: ValkeyServer) -> Loss:
    return Loss(deploy(valkey=breakable_valkey, lease="1s"), breakable_valkey)


def occurrences(product: Product, kind: str) -> list[tuple[int, int]]:
    """(nominal time, attempt) of the runs of this type."""
    return [(run.nominal, run.attempt) for run in product.runs_so_far(kind)]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_schedule_is_back_with_the_same_ids(loss: Loss, end: str) -> None:
    product = loss.product
    job = Job(
        id=fresh(),
        type="t",
        data=Data(creator="me", timezone="Europe/Berlin"),
        priority=Job.HIGH,
        attempts=3,
        backoff=Backoff(delay=1000, type=Backoff.EXPONENTIAL),
        interval="0 5 * * *",
    )
    product.client.create(job)
    product.client.create(*(contract.job(id=fresh(), when=tomorrow()) for _ in range(50)))
    gone = product.client.create(contract.job(when=tomorrow())).items[0].id
    product.client.delete(gone)
    before = list(product.client.read(sort=1).items)
    assert len(before) == 51
    loss(end)
    assert list(product.client.read(sort=1).items) == before
    assert list(product.client.read(sort=1, filter=JobFilter(creator="me")).items) == [job]


def test_nothing_is_emitted_or_announced_again(loss: Loss) -> None:
    product = loss.product
    kind = fresh("type")
    running, done, deleted, waiting = (fresh() for _ in range(4))
    product.client.create(
        contract.job(id=running, type=kind, when="in 50 ms"),
        contract.job(id=done, type=kind, when="in 50 ms"),
        contract.job(id=deleted, type=kind, when="in 50 ms"),
        contract.job(id=waiting, type=kind, when=tomorrow()),
        contract.job(type=kind, now=True),
        contract.job(type=kind, now=True),
    )
    runs = product.runs(kind, 5)
    product.done(next(run for run in runs if run.job_id == done))
    product.deleted(done)
    product.client.delete(deleted)
    before = product.resource_events(running, done, deleted, waiting)
    loss()
    product.settle()
    assert len(product.runs_so_far(kind)) == 5
    assert product.resource_events(running, done, deleted, waiting) == before
    assert product.living(running, done, deleted, waiting) == sorted([running, waiting])


def test_unanswered_runs_can_still_be_answered(loss: Loss) -> None:
    product = loss.product
    kind, job_id = fresh("type"), fresh()
    product.client.create(
        contract.job(id=job_id, type=kind, when="in 50 ms"), contract.job(type=kind, now=True)
    )
    runs = product.runs(kind, 2)
    loss()
    for run in runs:
        product.done(run)
    product.deleted(job_id)
    product.settle()
    assert product.living(job_id) == []
    assert len(product.runs_so_far(kind)) == 2


def test_an_answer_given_while_it_was_down_counts(loss: Loss) -> None:
    product = loss.product
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when="in 50 ms"))
    run = product.run(kind)
    product.service.stop()
    product.done(run)
    product.service.start()
    loss()
    product.deleted(job_id)
    assert product.resource_events(job_id) == [("jobsCreated", job_id), ("jobsDeleted", job_id)]


def test_a_recurring_job_keeps_its_phase(loss: Loss) -> None:
    product = loss.product
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, interval="700 ms"))
    first = product.runs(kind, 2)[0]
    loss()
    count = len(product.runs_so_far(kind))
    product.runs(kind, count + 3)
    product.client.delete(job_id)
    found = occurrences(product, kind)
    assert found == [(first.nominal + 700 * number, 1) for number in range(len(found))]


def failed_once(product: Product, kind: str, **job: Any) -> Run:
    """The first run of a new job, failed."""
    product.client.create(contract.job(type=kind, **job))
    run = product.run(kind)
    product.failed(run)
    product.settle()
    return run


@pytest.mark.parametrize("trigger", [{"now": True}, {"when": "in 50 ms"}])
def test_a_waiting_retry_keeps_its_attempt(loss: Loss, trigger: dict[str, Any]) -> None:
    product = loss.product
    kind = fresh("type")
    failed_once(product, kind, attempts=3, backoff=Backoff(delay=6000), **trigger)
    loss()
    second = product.run(kind, 2)
    product.failed(second)
    third = product.run(kind, 3)
    product.failed(third)
    product.settle()
    runs = product.runs_so_far(kind)
    assert [run.attempt for run in runs] == [1, 2, 3]
    assert len({run.instance for run in runs}) == 3
    assert product.client.read().total_count == 0


def test_a_running_retry_keeps_its_attempt(loss: Loss) -> None:
    product = loss.product
    kind = fresh("type")
    failed_once(product, kind, attempts=2, when="in 50 ms")
    second = product.run(kind, 2)
    loss()
    product.failed(second)
    product.deleted(second.job_id)
    product.settle()
    assert [run.attempt for run in product.runs_so_far(kind)] == [1, 2]


def test_parallel_counts_the_runs_of_before(loss: Loss) -> None:
    product = loss.product
    kind = fresh("type")
    jobs = [contract.job(type=kind, now=True, parallel=1) for _ in range(3)]
    product.client.create(*jobs)
    first = product.run(kind)
    loss()
    product.settle()
    assert len(product.runs_so_far(kind)) == 1
    product.done(first)
    product.done(product.run(kind, 2))
    product.done(product.run(kind, 3))
    product.settle()
    assert len(product.runs_so_far(kind)) == 3


def test_what_fell_due_meanwhile_runs_once(loss: Loss) -> None:
    product = loss.product
    kind = fresh("type")
    due, when = in_ms(1500)
    product.client.create(contract.job(type=kind, when=when))
    product.service.stop()
    loss_without_stop(loss)
    run = product.run(kind)
    run.assert_not_early(due)
    product.done(run)
    product.deleted(run.job_id)
    product.settle()
    assert len(product.runs_so_far(kind)) == 1


def loss_without_stop(loss: Loss) -> None:
    loss._valkey.flush()
    loss.product.service.start()


def test_a_reset_is_not_undone(loss: Loss) -> None:
    product = loss.product
    kind = fresh("type")
    product.client.create(
        contract.job(id="before", when=tomorrow()), contract.job(type=kind, interval="300 ms")
    )
    product.run(kind)
    product.client.command("reset")
    product.client.create(contract.job(id="after", when=tomorrow()))
    count = len(product.runs_so_far(kind))
    loss()
    product.settle()
    assert product.ids() == ["after"]
    assert len(product.runs_so_far(kind)) == count


def test_an_updated_job_comes_back_as_it_was_updated(loss: Loss) -> None:
    product = loss.product
    old, new = fresh("type"), fresh("type")
    product.client.create(contract.job(id="a", type=old, when=tomorrow()))
    product.client.update(contract.job(id="a", type=new, interval="500 ms"))
    loss()
    product.run(new)
    assert [job.type for job in product.client.read().items] == [new]


def test_instance_ids_are_not_used_again(loss: Loss) -> None:
    product = loss.product
    kind = fresh("type")
    product.client.create(*(contract.job(type=kind, now=True) for _ in range(20)))
    product.runs(kind, 20)
    loss()
    product.client.create(*(contract.job(type=kind, now=True) for _ in range(20)))
    runs = product.runs(kind, 40)
    assert len({run.instance for run in runs}) == 40


def test_it_can_be_lost_again_and_again(loss: Loss) -> None:
    product = loss.product
    kind = fresh("type")
    product.client.create(contract.job(id="a", type=kind, interval="500 ms"))
    first = product.run(kind)
    for end in ("stop", "kill", "stop"):
        loss(end)
        count = len(product.runs_so_far(kind))
        product.run(kind, count + 1)
    product.client.delete("a")
    found = occurrences(product, kind)
    assert found == [(first.nominal + 500 * number, 1) for number in range(len(found))]
