"""The worker kit on a real Kafka, with the real service."""

import asyncio
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.request import urlopen

import pytest

from scheduling_client import Client, Discard, Retry, RetryPolicy, Run, Worker
from scheduling_client import now as at_once
from scheduling_client.api.errors import NotFound, Unsupported
from scheduling_client.worker import schedules
from scheduling_client.worker.settings import group_of
from tests.client import contract
from tests.client.topics import Record
from tests.client.worker_kit import AtWork, worker_of
from tests.e2e.product import Product, fresh, instant
from tests.harness.ports import free_port
from tests.harness.waiting import eventually
from tests.harness.windows import TooSlow, in_time, with_enough_time


@dataclass
class Mail:
    to: str
    copies: int = 1


def create(product: Product, kind: str, payload: object = None, count: int = 1, **job: Any) -> None:
    """Jobs that run at once."""
    data = contract.Data(creator="tester", payload=[contract.payload(json.dumps(payload))])
    product.client.create(
        *(contract.job(type=kind, now=True, data=data, **job) for _ in range(count))
    )


def answers(product: Product, kind: str, count: int) -> list[Record]:
    """The answers to the runs of this type, in order, once there are so many."""

    def fits(record: Record) -> bool:
        if record.key not in ("jobDone", "jobFailed"):
            return False
        return record.parse(contract.JobDone).id in {run.instance for run in product.runs(kind, 0)}

    product.runs(kind)
    return product.reader.wait_for_all(fits, count)


def failures(product: Product, kind: str, count: int) -> list[Any]:
    found = answers(product, kind, count)
    assert {record.key for record in found} == {"jobFailed"}
    return [record.parse(contract.JobFailed) for record in found]


def compute_alone(payload: int, run: Run) -> None:
    """For a child process."""
    if payload < 0:
        time.sleep(60)
    if multiprocessing.parent_process() is None or run.attempt != 1:
        raise AssertionError("not in a child")


def test_functions_do_the_runs(product: Product) -> None:
    """Asynchronous and plain ones; the payload and the run come as they are asked for."""
    mail, plain = fresh("mail"), fresh("plain")
    worker = worker_of(product, fresh("worker"))
    seen: list[Any] = []

    @worker.job(mail)
    async def send(payload: Mail, run: Run) -> None:
        await asyncio.sleep(0)
        seen.append((payload, run.type, run.attempt, run.job_id != ""))

    @worker.job(plain)
    def compute() -> None:
        seen.append(threading.current_thread().name)

    with AtWork(worker):
        create(product, mail, {"to": "ann"})
        assert answers(product, mail, 1)[0].key == "jobDone"
        create(product, plain)
        assert answers(product, plain, 1)[0].key == "jobDone"
    assert seen == [(Mail("ann"), mail, 1, True), f"run-{plain}-1"]


def test_an_answer_names_its_run(product: Product) -> None:
    kind = fresh()
    worker = worker_of(product, fresh("worker"))
    worker.job(kind)(lambda: None)
    with AtWork(worker):
        create(product, kind)
        (answer,) = answers(product, kind, 1)
    assert answer.headers["occurrence-id"] == product.run(kind).occurrence


def test_failures_have_a_short_reason(product: Product) -> None:
    kind = fresh()
    worker = worker_of(product, fresh("worker"))
    raised = iter([ValueError("no\nsecond line"), Retry("later", after="1ms"), Discard("never")])

    @worker.job(kind)
    async def fail() -> None:
        raise next(raised)

    with AtWork(worker):
        create(product, kind, attempts=3)
        found = failures(product, kind, 3)
    assert [each.error for each in found] == ["ValueError: no", "later", "never"]


def test_a_payload_that_does_not_fit_is_told_without_its_values(product: Product) -> None:
    kind = fresh()
    worker = worker_of(product, fresh("worker"))

    @worker.job(kind)
    async def send(_: Mail) -> None: ...

    with AtWork(worker):
        create(product, kind, {"to": "ann", "copies": "secret"})
        (failure,) = failures(product, kind, 1)
    assert failure.error == "payload.copies is not a whole number."


def test_a_run_that_takes_too_long_has_failed(product: Product) -> None:
    """In the event loop, in a thread, and in a child process, which is killed."""

    def attempt(window: int) -> None:
        coroutine, thread, child = fresh(), fresh(), fresh()
        worker = worker_of(product, fresh("worker"))
        woken = threading.Event()
        short, longer = f"{window}ms", f"{15 * window}ms"

        @worker.job(coroutine, timeout=short)
        async def wait() -> None:
            await asyncio.sleep(60)

        @worker.job(thread, timeout=short, concurrency=1)
        def sleep() -> None:
            woken.wait(60)

        worker.job(child, timeout=longer, processes=True)(compute_alone)
        with AtWork(worker):
            for kind in (coroutine, thread, child):
                create(product, kind, -1)
            for kind in (coroutine, thread, child):
                assert "took longer than" in failures(product, kind, 1)[0].error
            create(product, thread)  # it waits for the thread
            woken.set()
            assert_done_in_time(product, thread)
            create(product, child, 1)
            assert_done_in_time(product, child)

    with_enough_time(attempt, 200)


def assert_done_in_time(product: Product, kind: str) -> None:
    """The second run of this type is done. The time of the job may be too short on this machine."""
    _, second = answers(product, kind, 2)
    in_time(b"took longer than" not in second.value, "the run was done in the time of its job")
    assert second.key == "jobDone"


def test_no_more_runs_are_at_work_than_allowed(product: Product) -> None:
    kind, other = fresh(), fresh()
    worker = worker_of(product, fresh("worker"))
    now, most, free = 0, 0, threading.Event()

    @worker.job(kind, concurrency=3)
    async def count() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        while not free.is_set():  # noqa: ASYNC110 - the test sets it in another thread
            await asyncio.sleep(0.01)
        now -= 1

    worker.job(other)(lambda: None)
    with AtWork(worker):
        create(product, kind, count=20)
        create(product, other)
        answers(product, other, 1)  # another type passes the runs that wait
        assert most == 3
        free.set()
        answers(product, kind, 20)
    assert most == 3


def test_runs_of_before_the_first_start_are_done_unless_they_are_answered(
    product: Product,
) -> None:
    kind = fresh()
    create(product, kind, 1)
    product.done(product.run(kind))
    create(product, kind, 2)
    product.run(kind, 2)
    worker = worker_of(product, fresh("worker"))
    seen: list[int] = []

    @worker.job(kind)
    async def see(payload: int) -> None:
        seen.append(payload)

    with AtWork(worker):
        answers(product, kind, 2)
        create(product, kind, 3)
        answers(product, kind, 3)
    assert seen == [2, 3]


def test_a_restart_does_no_run_again(product: Product) -> None:
    """Neither those that were committed, nor those whose answer is on the topic only."""
    kind, name = fresh(), fresh("worker")
    seen: Counter[int] = Counter()
    for number in range(3):
        worker = worker_of(product, name)

        @worker.job(kind)
        async def see(payload: int) -> None:
            seen[payload] += 1

        with AtWork(worker):
            create(product, kind, number)
            answers(product, kind, number + 1)
    assert seen == {0: 1, 1: 1, 2: 1}


def test_a_stop_lets_runs_end(product: Product) -> None:
    kind = fresh()
    worker = worker_of(product, fresh("worker"))
    began, free = threading.Event(), threading.Event()

    @worker.job(kind, concurrency=1)
    def wait() -> None:
        began.set()
        free.wait(60)

    with AtWork(worker) as at_work:
        create(product, kind, count=2)
        began.wait(60)
        worker.stop()
        free.set()
    assert at_work.left == 0
    assert len(answers(product, kind, 1)) == 1
    product.finish(kind)


def test_runs_that_a_stop_cuts_short_come_again(product: Product) -> None:
    kind, name = fresh(), fresh("worker")
    began = threading.Event()

    def made(body: Callable[[], Any]) -> AtWork:
        worker = worker_of(product, name, stop_within="100ms")
        worker.job(kind)(body)
        return AtWork(worker)

    async def hang() -> None:
        began.set()
        await asyncio.sleep(600)

    with made(hang) as at_work:
        create(product, kind)
        began.wait(60)
    assert at_work.left == 1
    with made(lambda: None):
        assert answers(product, kind, 1)[0].key == "jobDone"


def test_workers_of_other_types_have_other_groups() -> None:
    assert group_of("w", ["a", "b"]) == group_of("w", ["b", "a"]) != group_of("w", ["a"])


def test_long_runs_send_heartbeats(product: Product) -> None:
    kind = fresh()
    worker = worker_of(product, fresh("worker"), completion_timeout="600ms")
    free = threading.Event()

    @worker.job(kind)
    def wait(run: Run) -> None:
        run.extend()
        free.wait(60)

    with AtWork(worker):
        create(product, kind)
        run = product.run(kind)
        beats = product.reader.wait_for_all(lambda record: record.key == "jobHeartbeat", 3)
        free.set()
        answers(product, kind, 1)
    assert {record.parse(contract.JobDone).id for record in beats} == {run.instance}
    assert {record.partition for record in beats} == {run.record.partition}


def test_a_worker_says_when_to_try_again(product: Product) -> None:
    """The backoff of the job would take an hour."""
    kind = fresh()
    worker = worker_of(product, fresh("worker"))

    @worker.job(kind)
    def once_later(run: Run) -> None:
        if run.attempt == 1:
            raise Retry("not yet", after="50ms")

    with AtWork(worker):
        create(product, kind, attempts=2, backoff=contract.Backoff(delay=3_600_000))
        assert [each.key for each in answers(product, kind, 2)] == ["jobFailed", "jobDone"]


def test_no_attempt_follows_what_a_worker_discards(product: Product) -> None:
    kind = fresh()
    worker = worker_of(product, fresh("worker"))

    @worker.job(kind)
    def never() -> None:
        raise Discard("no use")

    with AtWork(worker):
        job = contract.job(id=kind, type=kind, when="in 50 ms", attempts=5)
        product.client.create(job)
        ended = product.deleted(kind)
    assert (ended.headers["outcome"], ended.headers["error"]) == ("failed", "no use")
    assert len(product.runs_so_far(kind)) == 1


def test_heartbeats_keep_a_run_alive(product: Product) -> None:
    """Longer than the completion timeout of its job."""
    kind = fresh()
    worker = worker_of(product, fresh("worker"))
    with Client(product.service.address) as client, AtWork(worker_with(worker, kind)):
        client.create(kind, at_once(), completion_timeout=timedelta(milliseconds=900))
        (answer,) = answers(product, kind, 1)
        product.settle()
    assert answer.key == "jobDone"
    run = product.run(kind)
    assert answer.timestamp > run.record.timestamp + 900
    assert instant(run.record.headers["deadline"]) <= run.record.timestamp + 900
    assert len(product.runs_so_far(kind)) == 1


def worker_with(worker: Worker, kind: str) -> Worker:
    """A function that takes 2 s, and says every 100 ms that it is alive."""

    @worker.job(kind)
    def work(run: Run) -> None:
        for _ in range(20):
            run.extend()
            time.sleep(0.1)

    return worker


def test_a_run_without_heartbeats_is_tried_again(product: Product) -> None:
    """By the completion timeout of its job; an extension moves the deadline."""

    def attempt(window: int) -> None:
        kind, hour = fresh(), timedelta(hours=1)
        retry, timeout = RetryPolicy(attempts=2), timedelta(milliseconds=window)
        client.create(kind, at_once(), completion_timeout=timeout, retry=retry)
        first = product.run(kind)
        second = product.run(kind, 2)
        assert second.record.timestamp >= first.record.timestamp + window
        try:
            until = client.extend(second.instance, hour, occurrence_id=second.occurrence)
        except NotFound as late:
            raise TooSlow("the run was extended before it timed out") from late
        assert until.timestamp() * 1000 > second.record.timestamp + 3_000_000
        with pytest.raises(NotFound):
            client.extend(first.instance)
        product.done(second)

    with Client(product.service.address) as client:
        with_enough_time(attempt, 400)
    product.settle()


def test_schedules_beside_the_code_are_there_once(product: Product) -> None:
    name = fresh("worker")
    ticks = threading.Semaphore(0)

    def made(interval: str) -> AtWork:
        worker = worker_of(product, name)

        @worker.every(interval)
        def tick() -> None:
            ticks.release()

        @worker.cron("0 5 * * *", timezone="Europe/Berlin")
        def report() -> None: ...

        return AtWork(worker)

    ids = [f"{name}.tick", f"{name}.report"]
    with made("1 second"), made("1 second"):
        assert ticks.acquire(timeout=60)
        eventually(lambda: product.living(*ids) == sorted(ids), what="both jobs")
    with made("1 hour"):
        filter_ = contract.JobFilter(jobs_ids=ids[:1])
        eventually(
            lambda: product.client.read(filter=filter_).items[0].interval == "1 hour",
            what="the new interval",
        )
    assert [key for key, _ in product.resource_events(ids[1])] == ["jobsCreated"]
    with Client(product.service.address) as client:
        client.update(ids[1], labels={**client.get(ids[1]).spec.labels, "team": "search"})
        with made("1 hour") as again:
            eventually(lambda: again.worker.is_declared, what="up to date schedules")
        labels = {"managed-by": f"worker.{name}", "team": "search"}
        assert client.get(ids[1]).spec.labels == labels
    product.client.delete(*ids)
    product.finish(ids[0])


def test_an_older_service_gets_its_schedules_by_the_contract_of_2018(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise Unsupported("The stored data has format 1.")

    monkeypatch.setattr(schedules, "_declare_in_v1", refused)
    worker = worker_of(product, fresh("worker"))
    worker.every("1 hour", attempts=3)(lambda: None)
    job = f"{worker.name}.<lambda>"
    with AtWork(worker):
        eventually(lambda: worker.is_declared, what="up to date schedules")
    assert product.living(job) == [job]
    product.client.delete(job)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_pages_tell_its_state(product: Product, path: str) -> None:
    kind, port = fresh(), free_port()
    worker = worker_of(product, fresh("worker"), http=f"127.0.0.1:{port}")
    worker.job(kind)(lambda: None)
    with AtWork(worker):
        eventually(lambda: worker.is_ready, what="a ready worker")
        create(product, kind)
        answers(product, kind, 1)
        expected = {
            "/livez": "ok\n",
            "/readyz": "ready\n",
            "/metrics": f'scheduling_worker_runs_total{{type="{kind}",outcome="done"}} 1\n',
        }[path]
        eventually(lambda: expected in fetched(port, path), what=expected)


def fetched(port: int, path: str) -> str:
    """The page; empty while it cannot be had, or says that it is not ready."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return str(answer.read().decode())
    except OSError:
        return ""
