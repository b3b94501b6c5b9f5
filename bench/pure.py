"""`python -m bench.pure`: the pure steps of every job, without servers."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable

from bench.build import describe_build
from bench.load import batches
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats import job_record
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.hot_path import Terms, accept
from scheduling_srv.formats.layouts import CREATE, QUEUE
from scheduling_srv.formats.outbox_entries import CREATED, QUEUED

JOBS = 500
ROUNDS = 40
"""The least of so many counts: others make a round longer, nothing makes it shorter."""
FAR_SECONDS = 86_400.0


def pure_steps() -> dict[str, float]:
    """Microseconds a job of each step: the least of all rounds."""
    now = time.time_ns() // 1_000_000
    (raw,) = batches([now / 1000 + FAR_SECONDS] * JOBS, JOBS)
    terms = Terms(now)
    jobs = accept(raw, terms)
    created = [_created(job) for job in jobs]
    queued = [_queued(job) for job in jobs]
    announcer = Announcer()

    def announce(entries: list[bytes]) -> None:
        for _ in announcer.records(entries, 0, "bench"):
            pass

    return {
        "accept": _least(lambda: accept(raw, terms)),
        "announce created": _least(lambda: announce(created)),
        "announce queued": _least(lambda: announce(queued)),
    }


def _created(job: NewJob) -> bytes:
    """The entry that Lua makes of a new job."""
    fixed = CREATED.pack(job.due, len(job.id))
    return bytes((CREATE,)) + fixed[1:] + job.id.encode() + job.record


def _queued(job: NewJob) -> bytes:
    """The entry that Lua makes of its run."""
    head, at = job_record.header(job.record), job_record.body_at(job.record)
    sizes = (len(job.id), 0, head.type_size, head.data_size)
    fixed = QUEUED.pack(head.kind, 7, job.due, 1, 9, *sizes)
    body = job.record[at : at + head.type_size + head.data_size]
    return bytes((QUEUE,)) + fixed[1:] + job.id.encode() + body


def _least(work: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - began)
    return least / JOBS * 1e6


def summary() -> str:
    """One line for people."""
    steps = pure_steps()
    each = ", ".join(f"{name} {microseconds:.2f}" for name, microseconds in steps.items())
    return f"Python {platform.python_version()} ({describe_build()}): us a job: {each}"


if __name__ == "__main__":
    sys.stdout.write(f"{summary()}\n")
