"""What becomes of a job: triggers, ids, completion and priority (docs/contract.md)."""

from itertools import pairwise
from typing import Any

import pytest

from tests.client import contract
from tests.client.contract import Backoff, Data, Job, payload
from tests.client.grpc_client import Refusal
from tests.e2e.product import Product, Run, fresh, in_ms, instant, now_ms, tomorrow
from tests.harness.waiting import eventually
from tests.harness.windows import with_enough_time

SOON = "in 100 milliseconds"


# --- triggers ---


def test_interval_goes_before_when_and_now(product: Product) -> None:
    """Precedence when several are set: `interval`, else `when`, else `now`."""
    kind, job_id = fresh("type"), fresh()
    before = now_ms()
    product.client.create(
        contract.job(id=job_id, type=kind, interval="700 ms", when=SOON, now=True)
    )
    after = now_ms()
    run = product.run(kind)
    assert run.message.schedule_type == "RECURR"
    assert before + 700 <= run.nominal <= after + 700
    product.client.delete(job_id)


def test_when_goes_before_now(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    due = product.create_in(800, contract.job(id=job_id, type=kind, now=True))
    run = product.run(kind)
    assert run.message.schedule_type == "ONCE"
    run.assert_not_early(due)
    product.done(run)
    product.deleted(job_id)


def test_a_now_job_is_never_a_resource(product: Product) -> None:
    """No job resource is stored: Read never shows it, no jobsCreated, no jobsDeleted."""
    kind, job_id = fresh("type"), fresh()
    before = now_ms()
    product.client.create(contract.job(id=job_id, type=kind, now=True))
    run = product.run(kind)
    assert run.message.schedule_type == "NOW"
    assert before <= run.nominal <= run.record.timestamp
    assert product.living(job_id) == []
    product.done(run)
    product.settle()
    assert product.resource_events(job_id) == []


def test_a_now_job_in_a_list_runs_beside_the_others(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    answer = product.client.create(
        contract.job(type=kind, now=True), contract.job(id=job_id, interval="1 day")
    )
    assert answer.total_count == 2
    product.done(product.run(kind))
    assert product.resource_events(job_id) == [("jobsCreated", job_id)]


def test_when_keeps_its_milliseconds(product: Product) -> None:
    kind = fresh("type")

    def create(window: int) -> int:
        due = (now_ms() + window) // 1000 * 1000 + 789
        product.create_at(due, contract.job(type=kind))
        return due

    due = with_enough_time(create, 1000)
    run = product.run(kind)
    run.assert_not_early(due)
    product.done(run)


@pytest.mark.parametrize("by_event", [False, True])
def test_a_relative_when_is_shown_as_the_instant_that_it_meant(
    product: Product, by_event: bool
) -> None:
    """Before, `new Date(job.when)` was invalid, and an Update with the shown job moved it."""
    kind, job_id, before = fresh("type"), fresh(), now_ms()
    asked = contract.job(id=job_id, type=kind, when="in 2 hours")
    if by_event:
        product.send("createJobs", contract.JobList(items=[asked]))
    else:
        product.client.create(asked)
    announced = product.created(job_id)
    (shown,) = product.client.read(filter=contract.JobFilter(jobs_ids=[job_id])).items
    due = instant(shown.when)
    assert before + 7_200_000 <= due <= now_ms() + 7_200_000
    assert announced.when == shown.when
    assert product.client.update(shown).items[0].when == shown.when
    product.client.delete(job_id)


def test_a_when_that_has_just_passed_runs_at_once(product: Product) -> None:
    """More than one second in the past is refused; less is not."""
    kind = fresh("type")

    def created() -> int | None:
        due, when = in_ms(-300)
        try:
            product.client.create(contract.job(type=kind, when=when))
        except Refusal:  # a busy machine: it came too late
            return None
        return due

    due = eventually(created, what="a job that comes in time")
    run = product.run(kind)
    assert run.nominal == due
    product.done(run)


def test_an_interval_keeps_its_phase(product: Product) -> None:
    """The n-th run is due at created + n * interval, whatever the load."""
    kind, job_id = fresh("type"), fresh()
    before = now_ms()
    product.client.create(contract.job(id=job_id, type=kind, interval="300 ms"))
    after = now_ms()
    load = fresh("type")
    product.client.create(*(contract.job(type=load, now=True) for _ in range(500)))
    runs = product.runs(kind, 6)
    assert before + 300 <= runs[0].nominal <= after + 300
    assert {later.nominal - earlier.nominal for earlier, later in pairwise(runs)} == {300}
    for run in runs:
        run.assert_not_early(run.nominal)
    product.client.delete(job_id)
    product.finish(load, product.runs(load, 500))


def test_a_recurring_job_goes_on_without_answers(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, interval="200 ms"))
    runs = product.runs(kind, 4)
    product.client.delete(job_id)
    assert len({run.instance for run in runs}) == len(runs)
    assert {run.job_id for run in runs} == {job_id}


def test_a_cron_job_with_seconds_runs_at_full_seconds(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, interval="* * * * * *"))
    runs = product.runs(kind, 3)
    product.client.delete(job_id)
    assert [run.nominal % 1000 for run in runs] == [0] * len(runs)
    assert {later.nominal - earlier.nominal for earlier, later in pairwise(runs)} == {1000}
    for run in runs:
        run.assert_not_early(run.nominal)


def test_the_run_carries_type_data_and_payloads_untouched(product: Product) -> None:
    """Payload bytes and type_url are opaque: they pass through, whatever they hold."""
    kind = fresh("type")
    data = Data(
        timezone="America/New_York",
        creator="ünïcödé 🚀",
        payload=[payload(bytes(range(256)), "x/\u00e9"), payload(b""), payload(b"\x08\x96", "")],
    )
    product.client.create(Job(type=kind, data=data, now=True))
    run = product.run(kind)
    assert run.message.data == data
    product.done(run)


# --- ids ---


def test_every_emission_has_an_instance_id_of_its_own(product: Product) -> None:
    kind = fresh("type")
    product.client.create(*(contract.job(type=kind, now=True) for _ in range(300)))
    runs = product.runs(kind, 300)
    assert len({run.instance for run in runs}) == 300
    assert len({run.occurrence for run in runs}) == 300
    assert 0 not in {run.instance for run in runs}
    product.finish(kind, runs)


# --- completion ---


def test_done_ends_a_one_time_job(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when=SOON))
    product.done(product.run(kind))
    product.deleted(job_id)
    assert product.living(job_id) == []


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_job_with_one_attempt_fails_at_once(product: Product, attempts: int) -> None:
    """0 means 1."""
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when=SOON, attempts=attempts))
    product.failed(product.run(kind))
    product.deleted(job_id)
    product.settle()
    assert len(product.runs_so_far(kind)) == 1


def retried(product: Product, **job: Any) -> list[Run]:
    """The runs of a job that fails every time."""
    kind, attempts = fresh("type"), job["attempts"]
    failed_at: list[int] = []
    product.client.create(contract.job(type=kind, **job))
    for number in range(1, attempts + 1):
        run = product.run(kind, number)
        failed_at.append(now_ms())
        product.failed(run)
    product.settle()
    runs = product.runs_so_far(kind)
    backoff = job.get("backoff", Backoff())
    for number, at in enumerate(failed_at[:-1]):
        factor = 2**number if backoff.type == Backoff.EXPONENTIAL else 1
        assert runs[number + 1].record.timestamp >= at + backoff.delay * factor
    return runs


@pytest.mark.parametrize("trigger", [{"now": True}, {"when": SOON}])
@pytest.mark.parametrize("kind", [Backoff.FIXED, Backoff.EXPONENTIAL])
def test_a_failed_run_comes_again_after_its_backoff(
    product: Product, trigger: dict[str, Any], kind: int
) -> None:
    """FIXED: `delay`; EXPONENTIAL: `delay * 2^(n-1)` after the n-th failure."""
    runs = retried(product, attempts=4, backoff=Backoff(delay=150, type=kind), **trigger)
    assert [run.attempt for run in runs] == [1, 2, 3, 4]
    assert len({run.instance for run in runs}) == 4
    assert len({run.occurrence for run in runs}) == 4
    assert len({run.job_id for run in runs}) == 1


def test_a_retry_without_backoff_comes_at_once(product: Product) -> None:
    assert [run.attempt for run in retried(product, attempts=3, when=SOON)] == [1, 2, 3]


def test_a_retry_that_succeeds_is_the_last(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when=SOON, attempts=5))
    product.failed(product.run(kind))
    product.done(product.run(kind, 2))
    product.deleted(job_id)
    product.settle()
    assert len(product.runs_so_far(kind)) == 2


def test_read_shows_a_job_that_waits_for_its_retry(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(
        contract.job(id=job_id, type=kind, when=SOON, attempts=2, backoff=Backoff(delay=600_000))
    )
    product.failed(product.run(kind))
    product.settle()
    assert product.living(job_id) == [job_id]
    product.client.delete(job_id)
    product.settle()
    assert len(product.runs_so_far(kind)) == 1


def test_jobs_deleted_says_how_a_job_ended(product: Product) -> None:
    """A job that had failed for good looked like one that was done."""
    jobs = {fresh(): fresh("type") for _ in range(3)}
    done, failed, deleted = jobs
    product.client.create(
        *(contract.job(id=each, type=kind, when=SOON, attempts=2) for each, kind in jobs.items())
    )
    product.done(product.run(jobs[done]))
    for attempt in (1, 2):
        product.failed(product.run(jobs[failed], attempt), "no disk \u00e9")
    product.client.delete(deleted)
    told = {each: product.deleted(each).headers for each in jobs}
    assert (told[done]["outcome"], told[done]["attempts"]) == ("done", "1")
    assert (told[failed]["outcome"], told[failed]["attempts"]) == ("failed", "2")
    assert told[failed]["error"] == "no disk \u00e9"
    assert "error" not in told[done]
    assert told[deleted]["outcome"] == "deleted"


def test_jobs_deleted_says_that_a_job_was_replaced(product: Product) -> None:
    job_id, kind = fresh(), fresh("type")
    product.client.create(contract.job(id=job_id, type=kind, when=tomorrow()))
    product.client.update(contract.job(id=job_id, type=fresh("type"), when=tomorrow()))
    assert product.deleted(job_id).headers["outcome"] == "replaced"
    product.client.delete(job_id)
    assert product.deleted(job_id, 2).headers["outcome"] == "deleted"


def test_a_recurring_job_stays_when_a_run_has_failed(product: Product) -> None:
    """Recurring jobs stay and go on."""
    kind, job_id = fresh("type"), fresh()
    product.client.create(
        contract.job(id=job_id, type=kind, interval="500 ms", attempts=2, backoff=Backoff(delay=10))
    )
    first = product.run(kind)
    product.failed(first)
    product.failed(product.attempt(kind, first.nominal, 2))
    product.runs(kind, 4)
    assert product.living(job_id) == [job_id]
    product.client.delete(job_id)
    nominals = {run.nominal for run in product.runs_so_far(kind) if run.attempt == 1}
    assert {(nominal - first.nominal) % 500 for nominal in nominals} == {0}


def test_an_answer_to_an_unknown_instance_changes_nothing(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when=SOON))
    run = product.run(kind)
    for unknown in (0, run.instance + 1_000_000, 2**32 - 1):
        product.send("jobDone", contract.JobDone(id=unknown, schedule_type="ONCE"))
        product.send("jobFailed", contract.JobFailed(id=unknown, error="?", schedule_type="ONCE"))
    product.settle()
    assert product.living(job_id) == [job_id]
    product.done(run)
    product.deleted(job_id)


def test_only_the_first_answer_counts(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when=SOON, attempts=3))
    first = product.run(kind)
    product.failed(first)
    product.failed(first)
    product.done(first)
    second = product.run(kind, 2)
    product.settle()
    assert product.living(job_id) == [job_id]
    assert [run.attempt for run in product.runs_so_far(kind)] == [1, 2]
    product.done(second)
    product.failed(second)
    product.deleted(job_id)
    product.settle()
    assert len(product.runs_so_far(kind)) == 2
    assert product.resource_events(job_id) == [("jobsCreated", job_id), ("jobsDeleted", job_id)]


@pytest.mark.parametrize("spelling", ["NOW", "RECURR", "RECCUR", "", "nonsense"])
def test_no_inbound_schedule_type_is_believed(product: Product, spelling: str) -> None:
    """Any spelling is accepted inbound: what a job is, the store knows."""
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, when=SOON))
    run = product.run(kind)
    product.send("jobDone", contract.JobDone(id=run.instance, schedule_type=spelling))
    product.deleted(job_id)


def test_answering_a_recurring_run_as_once_keeps_the_job(product: Product) -> None:
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, interval="300 ms"))
    run = product.run(kind)
    product.send("jobDone", contract.JobDone(id=run.instance, schedule_type="ONCE"))
    product.run(kind, 3)
    assert product.living(job_id) == [job_id]
    product.client.delete(job_id)


# --- priority ---


def test_of_one_instant_the_lower_priority_number_runs_first(product: Product) -> None:
    """CRITICAL ... LOW, then creation order."""
    kind = fresh("type")
    order = [Job.LOW, Job.CRITICAL, Job.NORMAL, Job.MEDIUM, Job.HIGH] * 3
    jobs = [contract.job(id=fresh(), type=kind, priority=priority) for priority in order]
    with_enough_time(lambda window: product.create_at(now_ms() + window, *jobs), 500)
    runs = product.runs(kind, len(jobs))
    expected = [job.id for job in sorted(jobs, key=lambda job: int(job.priority))]
    assert [run.job_id for run in runs] == expected
    product.finish(kind, runs)


def test_what_waits_for_parallel_runs_by_priority_then_due_time(product: Product) -> None:
    kind = fresh("type")
    waiting = {
        "low": contract.job(id=fresh(), priority=Job.LOW, when="in 100 ms"),
        "later": contract.job(id=fresh(), priority=Job.HIGH, when="in 150 ms"),
        "earlier": contract.job(id=fresh(), priority=Job.HIGH, when="in 110 ms"),
        "critical": contract.job(id=fresh(), priority=Job.CRITICAL, when="in 160 ms"),
    }
    product.client.create(contract.job(type=kind, now=True, parallel=1))
    held = product.run(kind)
    for job in waiting.values():
        job.type, job.parallel = kind, 1
    product.client.create(*waiting.values())
    # All are due once a job that is due after them has run.
    signal = fresh("type")
    product.client.create(contract.job(type=signal, when="in 200 ms"))
    product.done(product.run(signal))
    assert len(product.runs_so_far(kind)) == 1
    product.done(held)
    order = []
    for number in range(2, 6):
        run = product.run(kind, number)
        order.append(run.job_id)
        product.done(run)
    names = ("critical", "earlier", "later", "low")
    assert order == [waiting[name].id for name in names]
