"""Plain functions in the worker kit: threads that calls keep, and calls that never begin."""

import asyncio
import threading

import pytest

from scheduling_client.worker import Run, Worker
from scheduling_client.worker.processes import Children, ProcessEnded
from scheduling_client.worker.threads import Threads
from tests.harness.waiting import PATIENCE_SECONDS, becomes
from tests.unit.test_worker_faults import AtWork, Record


async def test_a_call_that_was_cancelled_in_the_queue_is_never_made() -> None:
    made: list[int] = []
    free, freed = threading.Event(), list[bool]()
    threads = Threads(1, "t", lambda: freed.append(True))

    def call(number: int) -> None:
        made.append(number)
        free.wait(PATIENCE_SECONDS)

    def task(number: int) -> asyncio.Task[None]:
        return asyncio.create_task(threads.run(lambda: call(number)))

    tasks = [task(number) for number in range(3)]
    await becomes(lambda: made == [0])
    for each in tasks[:2]:
        each.cancel()
    await asyncio.wait(tasks[:2])
    assert threads.abandoned == 2
    free.set()
    await tasks[2]
    assert made == [0, 2]
    assert (threads.abandoned, freed) == (0, [True, True])
    threads.close()


async def test_a_run_waits_in_the_worker_while_a_late_one_keeps_its_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So its time begins with its call, and no run that was answered is done afterwards."""
    worker = Worker("w")
    did: list[int] = []
    free = threading.Event()

    @worker.job("t", concurrency=2, timeout="100ms")
    def handle(run: Run) -> None:
        did.append(run.id)
        if run.id < 3:
            free.wait(PATIENCE_SECONDS)

    work = AtWork(worker, monkeypatch)
    work.engine._look()
    work.receive(Record(0, []))
    await becomes(lambda: len(work.answers) == 1)  # too late: one thread of two is left
    work.receive(*[Record(number, []) for number in range(1, 4)])
    await becomes(lambda: len(work.answers) == 2)
    assert did == [1, 2]
    assert [run for run, ended in work.answers if ended.error] == [1, 2]
    free.set()
    await becomes(lambda: len(work.answers) == 4)
    assert did == [1, 2, 3, 4]
    assert [run for run, ended in work.answers if ended.error] == [1, 2]
    assert not work.faults
    await work.engine.stop()


async def test_runs_that_a_stop_cuts_short_in_the_queue_are_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker("w", stop_within="0s")
    did: list[int] = []
    free = threading.Event()

    @worker.job("t", concurrency=2, timeout="100ms")
    def handle(run: Run) -> None:
        did.append(run.id)
        free.wait(PATIENCE_SECONDS)

    work = AtWork(worker, monkeypatch)
    work.engine._look()
    work.receive(Record(0, []))
    await becomes(lambda: len(work.answers) == 1)
    work.receive(*[Record(number, []) for number in (1, 2)])
    await becomes(lambda: did == [1, 2])
    await work.engine.stop()
    free.set()
    for thread in threading.enumerate():
        if thread.name.startswith("run-t-"):
            await asyncio.to_thread(thread.join, 30)
    assert did == [1, 2]


def test_no_child_process_starts_once_they_are_closed() -> None:
    children = Children()
    children.close()
    with pytest.raises(ProcessEnded):
        children.call(abs, (1,), None)
