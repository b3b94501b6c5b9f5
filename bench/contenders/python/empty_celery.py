"""Empty runs through a worker of Celery: its main process, and one child for each core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress

from celery import Celery

from bench.contenders.python.empty_runs import main

PREFETCH = 128
"""Celery's advice for many short tasks is 64 or 128."""
LOOK_SECONDS = 0.005

app = Celery("bench")
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=PREFETCH,
    broker_connection_retry_on_startup=True,
    worker_redirect_stdouts=False,
)
done = multiprocessing.Value("q", 0)
"""The children of the worker share it."""


@app.task(name="empty")  # type: ignore[untyped-decorator]
def empty() -> None:
    """The job."""
    with done.get_lock():
        done.value += 1


def measure(url: str, count: int) -> float:
    """Runs a second."""
    app.conf.broker_url = url
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            empty.apply_async(producer=producer)
    times: list[float] = []

    def watch() -> None:
        for wanted in (1, count):
            while done.value < wanted:
                time.sleep(LOOK_SECONDS)
            times.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    arguments = ["worker", "--loglevel=ERROR", "--without-gossip", "--without-mingle"]
    with suppress(SystemExit):
        app.worker_main([*arguments, "--without-heartbeat"])
    began, ended = times
    return count / (ended - began)


if __name__ == "__main__":
    main(measure)
