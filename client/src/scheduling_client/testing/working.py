"""A worker at work beside a test."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scheduling_client.worker import Worker

START_SECONDS = 30.0
LOOK_SECONDS = 0.01


@contextmanager
def at_work(worker: Worker) -> Iterator[None]:
    """In a thread, from when it is ready until the context ends. Raises what ends the worker."""
    faults: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(worker.serve())
        except BaseException as fault:  # noqa: BLE001 - the test raises it
            faults.append(fault)

    thread = threading.Thread(target=work, name=f"worker {worker.name}", daemon=True)
    thread.start()
    try:
        _await_ready(worker, thread)
        yield
    finally:
        worker.stop()
        thread.join()
        if faults:
            raise faults[0]


def _await_ready(worker: Worker, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (worker.is_ready and worker.is_declared):
        if not thread.is_alive():
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"The worker {worker.name} is not ready after {START_SECONDS:g} s.")
        time.sleep(LOOK_SECONDS)
