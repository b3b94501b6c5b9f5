"""Runs, their history, what is upcoming, and the overview: scheduling.v1 on the real service."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from scheduling_client.api.client import Client
from scheduling_client.api.errors import InvalidRequest
from scheduling_client.api.jobs import (
    Filter,
    HeldBy,
    Origin,
    Outcome,
    RetryPolicy,
    Run,
    RunFilter,
    RunState,
)
from scheduling_client.api.overview import Overview
from scheduling_client.api.triggers import Schedule, at, cron, every, now
from tests.e2e.product import Product, fresh
from tests.e2e.recurring import hourly
from tests.harness.waiting import eventually

HOUR = timedelta(hours=1)
OFTEN = every(timedelta(milliseconds=200))


@pytest.fixture
def client(product: Product) -> Iterator[Client]:
    with Client(product.service.address) as client:
        yield client


def soon() -> Schedule:
    """Not before the service has the job, however long the call takes."""
    return at("in 500 milliseconds")


def ended(client: Client, job_id: str, number: int) -> Sequence[Run]:
    """The ended runs of a job, once there are so many."""
    where = RunFilter(job_id=job_id, states=[RunState.ENDED])

    def found() -> list[Run]:
        return [*client.runs(where)]

    eventually(lambda: len(found()) >= number, what="ended runs")
    return found()


def test_the_runs_of_a_job(client: Client, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    client.create(kind, OFTEN, id=job)
    first, second = product.runs(kind, 2)[:2]
    product.done(first)
    product.failed(second)
    (failed,) = [run for run in ended(client, job, 2) if run.outcome is Outcome.FAILED]
    assert failed.job_id == job
    assert (failed.origin, failed.attempts, failed.type) == (Origin.SCHEDULE, 1, kind)
    assert failed.start_time
    assert failed.end_time
    assert failed.nominal_time
    assert failed.nominal_time <= failed.start_time <= failed.end_time
    running = [*client.runs(RunFilter(job_id=job, states=[RunState.RUNNING]), page_size=1)]
    assert all(run.deadline and run.instance_id for run in running)
    shown = client.get(job)
    assert shown.counters
    assert (shown.counters.done, shown.counters.failed) == (1, 1)
    assert shown.counters.emitted >= 2 + min(1, len(running))
    assert shown.last_run
    client.delete(job)
    product.finish(kind)


def test_a_run_that_waits_for_its_place(client: Client, product: Product) -> None:
    kind = fresh("type")
    ids = [client.create(kind, soon(), parallel=1).id for _ in range(2)]
    (run,) = product.runs(kind, 1)
    where = RunFilter(type=kind, states=[RunState.HELD])
    eventually(lambda: [*client.runs(where)] or None, what="a held run")
    (held,) = client.runs(where)
    assert held.held_by is HeldBy.PARALLEL
    assert {held.job_id, run.job_id} == {*ids}
    product.finish(kind, product.runs(kind, 1))
    product.finish(kind, product.runs(kind, 2)[1:])


def test_a_failed_run_is_tried_again(client: Client, product: Product) -> None:
    job = kind = hourly(client)
    product.failed(product.run(kind))
    (failed,) = ended(client, job, 1)
    assert client.retry_runs(failed.run_id, dry_run=True).changed == 1
    retried = client.retry_runs(failed.run_id, "unknown/1/2")
    assert (retried.matched, retried.changed, retried.refusals) == (1, 1, [])
    again = product.runs(kind, 2)[1]
    assert (again.job_id, again.nominal) == (job, product.runs(kind, 2)[0].nominal)
    assert client.retry_runs(failed.run_id).matched == 0
    product.done(again)
    eventually(lambda: ended(client, job, 1)[0].outcome is Outcome.DONE, what="its end")
    (refusal,) = client.retry_runs(failed.run_id).refusals
    assert refusal.reason == "RUN_NOT_FAILED"
    client.delete(job)


def test_a_job_that_is_gone_is_created_anew(client: Client, product: Product) -> None:
    """By a filter: with the payload that it had, and announced as any other one."""
    kind = fresh("type")
    once = client.create(kind, soon(), id=fresh(), labels={"a": "b"}).id
    at_once = client.create(kind, now()).id
    for run in product.runs(kind, 2):
        product.failed(run)
    ends = RunFilter(type=kind, states=[RunState.ENDED])
    eventually(lambda: len([*client.runs(ends)]) == 2, what="both ends")
    (group,) = client.failures(kind)
    assert (group.error, group.number) == ("boom", 2)
    retried = client.retry_runs(where=RunFilter(type=kind))
    assert (retried.matched, retried.changed) == (2, 2)
    runs = product.runs(kind, 4)[2:]
    assert {run.job_id for run in runs} == {once, at_once}
    assert [*client.runs(ends)] == []
    product.finish(kind, runs)
    assert client.retry_runs(where=RunFilter(type=kind)).matched == 0


def test_an_id_that_lives_again_is_not_overwritten(client: Client, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    client.create(kind, soon(), id=job)
    product.failed(product.run(kind))
    (failed,) = ended(client, job, 1)
    client.create(kind, every(HOUR), id=job)
    (refusal,) = client.retry_runs(failed.run_id).refusals
    assert (refusal.run_id, refusal.reason) == (failed.run_id, "JOB_EXISTS")
    client.delete(job)


def test_a_key_that_another_job_has_is_not_taken(client: Client, product: Product) -> None:
    """It was created anew, and the type had two jobs with one key. A dry run tells it before."""
    kind, key = fresh("type"), fresh("key")
    client.create(kind, soon(), id=fresh(), unique_key=key)
    run = product.run(kind)
    product.failed(run)
    (failed,) = ended(client, run.job_id, 1)
    assert client.retry_runs(failed.run_id, dry_run=True).changed == 1
    other = client.create(kind, every(HOUR), unique_key=key).id
    for dry_run in (True, False):
        told = client.retry_runs(failed.run_id, dry_run=dry_run)
        assert (told.matched, told.changed) == (1, 0)
        assert [refusal.reason for refusal in told.refusals] == ["UNIQUE_KEY_TAKEN"]
    client.delete(other)


def test_a_retry_that_waits(client: Client, product: Product) -> None:
    job, kind = fresh(), fresh("type")
    retry = RetryPolicy(attempts=2, delay=HOUR)
    client.create(kind, soon(), id=job, retry=retry)
    product.failed(product.run(kind))
    where = RunFilter(job_id=job, states=[RunState.RETRYING])
    eventually(lambda: [*client.runs(where)] or None, what="a retry")
    (waiting,) = client.get(job).open_runs
    assert (waiting.attempts, waiting.max_attempts) == (1, 2)
    assert waiting.retry_time
    upcoming = client.upcoming(waiting.retry_time + HOUR)
    assert job in {run.job_id for run in upcoming.runs}
    client.delete(job)


def fifths(since: datetime, until: datetime) -> int:
    """How many minutes between these instants are dividable by five."""
    return int(until.timestamp() // 300 - since.timestamp() // 300)


def test_what_is_upcoming(client: Client) -> None:
    begin, kind = datetime.now(UTC), fresh("type")
    often, once, by_cron = fresh(), fresh(), fresh()
    client.create(kind, every(timedelta(minutes=10)), id=often)
    client.create(kind, at(begin + timedelta(minutes=30)), id=once)
    client.create(kind, cron("*/5 * * * *"), id=by_cron)
    until = begin + HOUR + timedelta(seconds=30)
    asked = datetime.now(UTC)
    found = client.upcoming(until, Filter(type=kind))
    answered = datetime.now(UTC)
    numbers = {run.job_id: run.number for run in found.runs}
    assert (numbers[often], numbers[once]) == (6, 1)
    assert fifths(answered, until) <= numbers[by_cron] <= fifths(asked, until)
    assert not found.more
    times = [run.time for run in found.runs if run.time]
    assert times == sorted(times)
    assert {run.words for run in found.runs if run.job_id == often} == {"every 10 minutes"}
    first = client.upcoming(begin + HOUR, Filter(type=kind), limit=1)
    assert (len(first.runs), first.more) == (1, True)
    client.delete(often, once, by_cron)


def serving(client: Client) -> Overview | None:
    """The overview of a replica that serves; None: it does not for a moment."""
    found = client.overview()
    return found if found.serving else None


def test_the_overview(client: Client, product: Product) -> None:
    kind, due = fresh("type"), datetime.now(UTC) + timedelta(minutes=30)
    client.create(kind, at(due), id=kind)

    def done() -> int:
        return sum(each.done for each in client.overview().minutes)

    before = done()
    client.create(kind, now())
    product.finish(kind, product.runs(kind, 1))
    eventually(lambda: done() > before, what="an ended run")
    found = eventually(lambda: serving(client), what="serving")
    assert found.serving == (found.reasons == [])
    assert found.counts.jobs >= 1
    assert (len(found.minutes), len(found.due)) == (60, 60)
    assert sum(found.due[28:32]) >= 1
    assert all(shard.owner for shard in found.shards)
    eventually(lambda: client.overview().lag == 0, what="the end of the topics")
    client.delete(kind)


def test_faults_are_named(client: Client) -> None:
    with pytest.raises(InvalidRequest) as raised:
        [*client.runs(page_size=1_001)]
    assert [each.field for each in raised.value.violations] == ["page_size"]
    with pytest.raises(InvalidRequest):
        client.failures(limit=101)
