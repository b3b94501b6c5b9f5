"""The worker of the demonstration: `examples/worker.py` with the types of its jobs."""

from __future__ import annotations

import sys

from examples.worker import main
from scheduling_client.wire.job_pb2 import ScheduledJob

LAST_ATTEMPT = 3
FETCH_WAIT_MS = 10
"""The embedded broker answers a fetch no earlier than this, even if a record arrives."""


def say(job: ScheduledJob, attempt: int) -> None:
    """Work that ends well."""
    print(f"{job.type}: did run {job.id}, attempt {attempt}", flush=True)


def fail_twice(job: ScheduledJob, attempt: int) -> None:
    """Work that ends well at the third attempt."""
    if attempt < LAST_ATTEMPT:
        raise RuntimeError("no paper")
    say(job, attempt)


if __name__ == "__main__":
    main(
        handlers={"greet": say, "remind": say, "heartbeat": say, "print": fail_twice},
        state=sys.argv[1],
        **{"group.id": "demo", "fetch.wait.max.ms": FETCH_WAIT_MS},
    )
