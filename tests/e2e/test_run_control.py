"""Single runs are changed by callers, also when Redis then loses everything."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from scheduling_client import Client, JobSpec, RetryPolicy, every
from scheduling_client import now as at_once
from scheduling_client.api.jobs import RunFilter, RunState
from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, Run, fresh, now_ms, until
from tests.harness.valkey import ValkeyServer
from tests.harness.windows import in_time, with_enough_time

OPEN = [RunState.HELD, RunState.RUNNING, RunState.RETRYING]


@pytest.fixture
def product(deploy: Deploy, own: ValkeyServer) -> Product:
    return deploy(valkey=own)


@pytest.fixture
def client(product: Product) -> Iterator[Client]:
    with Client(product.service.address) as client:
        yield client


def lose_everything(product: Product, own: ValkeyServer) -> None:
    product.service.stop()
    own.flush()
    product.service.start()


def name_of(run: Run) -> str:
    return run.occurrence.rpartition("/")[0]


def cancel_before_retry(product: Product, client: Client, window: int) -> tuple[Run, int]:
    """A run that was cancelled while it waited for its retry; answers when that was due as well."""
    kind = fresh("retrying")
    retry = RetryPolicy(attempts=5, delay=timedelta(milliseconds=window))
    client.create(kind, at_once(), retry=retry, completion_timeout=timedelta(hours=1))
    run = product.run(kind)
    failed = now_ms()
    product.failed(run)
    product.settle()
    cancelled = client.cancel(name_of(run))
    in_time(now_ms() < failed + window, "the run was cancelled before its retry")
    assert cancelled == (1, 1)
    return run, now_ms() + window


def test_cancelled_runs_stay_cancelled(product: Product, client: Client, own: ValkeyServer) -> None:
    """A running one, one that waits for its retry, and a held one: none has another attempt."""
    kind, recurring = fresh("once"), fresh("recurring")
    retry = RetryPolicy(attempts=5, delay=timedelta(milliseconds=10))
    product.client.create(contract.job(id=kind, type=kind, when="in 50 ms", attempts=5))
    client.create(recurring, every("1 hour"), id=recurring, retry=retry)
    failing, due = with_enough_time(partial(cancel_before_retry, product, client), 2_000)
    running, retrying = product.run(kind), failing.message.type
    assert client.cancel(name_of(running), name_of(failing), f"{kind}/1/1") == (1, 1)
    assert product.deleted(kind).headers["outcome"] == "cancelled"
    lose_everything(product, own)
    assert client.cancel(name_of(running), name_of(failing)) == (0, 0)
    product.failed(running)
    product.failed(failing)
    until(due)
    product.settle()
    assert len(product.runs_so_far(kind)) == len(product.runs_so_far(retrying)) == 1
    assert [job.id for job in client.get_many([kind, recurring])] == [recurring]
    client.delete(recurring)


def test_runs_are_cancelled_by_a_filter(product: Product, client: Client) -> None:
    """In whatever state they are, over several steps; the others stay, and so do the jobs."""
    kind, other, size = fresh("type"), fresh("other"), 300
    retry = RetryPolicy(attempts=2, delay=timedelta(hours=1))
    client.create(kind, every("1 hour"), id=kind, retry=retry)
    client.run_now(kind)
    product.failed(product.run(kind))
    product.settle()
    specs = [JobSpec(type=kind, schedule=at_once(), parallel=size - 1) for _ in range(size)]
    list(client.create_many([*specs, JobSpec(type=other, schedule=at_once())]))
    product.runs(kind, size)
    where = RunFilter(type=kind)
    counted = client.cancel(where=where, dry_run=True)
    assert counted == (size + 1, size + 1)
    ended = RunFilter(type=kind, states=[RunState.ENDED])
    assert client.cancel(where=ended) == (0, 0)
    assert client.cancel(where=where) == counted
    product.settle()
    assert [*client.runs(RunFilter(type=kind, states=OPEN))] == []
    assert client.cancel(where=where) == (0, 0)
    assert client.get(kind).id == kind
    client.delete(kind)
    product.finish(other)


def test_runs_by_hand(product: Product, client: Client, own: ValkeyServer) -> None:
    """They ignore a pause; a repeated request finds them; one that is held survives a rebuild."""
    kind = fresh("type")
    client.create(kind, every("1 hour"), id=kind, parallel=1, labels={"a": "b"})
    client.pause(kind)
    started = client.run_now(kind, fresh(), request_id="r")
    assert (started.matched, started.changed) == (1, 1)
    (first,) = started.runs
    run = product.run(kind)
    assert (name_of(run), run.record.headers["origin"]) == (first.run_id, "manual")
    assert client.run_now(kind, request_id="r").runs != started.runs  # it names other jobs
    (held,) = client.run_now(kind, request_id="held").runs
    assert client.run_now(kind, request_id="held").runs == [held]
    lose_everything(product, own)
    product.done(run)
    second, third = product.run(kind, 2), None
    product.done(second)
    third = product.run(kind, 3)
    product.done(third)
    product.settle()
    names = [name_of(each) for each in product.runs_so_far(kind)]
    assert len({*names}) == len(names) == 3
    assert held.run_id in names[1:]
    assert client.get(kind).pause
    client.delete(kind)


def test_a_backfill_goes_on_after_a_loss(
    product: Product, client: Client, own: ValkeyServer
) -> None:
    kind = fresh("type")
    client.create(kind, every("1 hour"), id=kind)
    until = datetime.now(UTC)
    since = until - timedelta(hours=4)
    wanted = client.backfill(kind, since, until, dry_run=True)
    assert client.backfill(kind, since, until, request_id="r") == wanted
    assert client.backfill(kind, since, until, request_id="r") == wanted
    assert wanted.runs == 4
    first = product.run(kind)
    assert name_of(first) == wanted.first_run_id
    product.done(first)
    product.run(kind, 2)
    lose_everything(product, own)
    for number in range(2, 5):
        product.done(product.run(kind, number))
    product.settle()
    names = [name_of(run) for run in product.runs_so_far(kind)]
    assert len(names) == len({*names}) == 4
    assert names[-1] == wanted.last_run_id
    client.delete(kind)
