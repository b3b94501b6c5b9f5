"""APScheduler 3: jobs in PostgreSQL, run by threads. A helper (`bench.actors`)."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from bench.actors import Reply, serve
from bench.contenders.python.runs import PAYLOAD, Jobs, Runs

THREADS = 20
"""As in its user guide, which advises PostgreSQL too."""

runs: Runs


def work(job_id: str, at: int, payload: str) -> None:
    """The worker's function."""
    confirmed = threading.Event()
    runs.produce(job_id, at, payload, confirmed.set)
    confirmed.wait()


class SchedulerQueue(Jobs):
    """Client and worker are one process: it has no others."""

    def __init__(self) -> None:
        super().__init__()
        self._scheduler: BackgroundScheduler

    def open(self, bootstrap: str, topic: str, postgres: str, **_places: object) -> Reply:
        """Connect, and run no job yet."""
        global runs  # noqa: PLW0603 - the worker's function takes nothing but the job
        runs = Runs(bootstrap, topic)
        store = SQLAlchemyJobStore(url=postgres.replace("://", "+psycopg://"))
        self._scheduler = BackgroundScheduler(
            jobstores={"default": store},
            executors={"default": ThreadPoolExecutor(THREADS)},
            # By default it drops a run that is a second late.
            job_defaults={"misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.start(paused=True)
        return {}

    def submit(self, **_calls: int) -> Reply:
        """One by one: it has no call for more, and a lock lets only one thread in."""
        began = time.perf_counter()
        for job_id, at in self.unsent:
            when = datetime.fromtimestamp(at / 1000, UTC)
            args = (job_id, at, PAYLOAD)
            job = self._scheduler.add_job(work, "date", run_date=when, args=args, id=job_id)
            self.accepted.append(job.id)
        return {"seconds": time.perf_counter() - began}

    def start(self) -> Reply:
        """Run jobs."""
        self._scheduler.resume()
        return {}

    def end(self) -> Reply:
        """Stop."""
        self._scheduler.shutdown()
        return {}


if __name__ == "__main__":
    serve(SchedulerQueue())
