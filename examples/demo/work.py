"""The worker of the demonstration."""

from __future__ import annotations

import sys

from scheduling_client.worker import Run, SQLiteStore, Worker

LAST_ATTEMPT = 3
FETCH_WAIT_MS = 10
"""The embedded broker answers a fetch no earlier than this, even if a record arrives."""


def say(run: Run) -> None:
    """Work that ends well."""
    print(f"{run.type}: did run {run.id}, attempt {run.attempt}", flush=True)


def fail_twice(run: Run) -> None:
    """Work that ends well at the third attempt."""
    if run.attempt < LAST_ATTEMPT:
        raise RuntimeError("no paper")
    say(run)


def made(state: str) -> Worker:
    """The worker; `state` is the file of the runs that have ended."""
    options = {"fetch.wait.max.ms": FETCH_WAIT_MS}
    worker = Worker("demo", store=SQLiteStore(state), kafka_options=options)
    for kind in ("greet", "remind", "heartbeat"):
        worker.job(kind)(say)
    worker.job("print")(fail_twice)
    return worker


if __name__ == "__main__":
    made(sys.argv[1]).run()
