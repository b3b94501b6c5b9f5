"""Empty runs through a worker of docket."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from docket import Docket, Worker

from bench.contenders.python.empty_runs import Count, main

CONCURRENCY = 50
"""More would open more connections than its client of Redis allows."""
BATCH = 1_000
RESOLUTION = timedelta(milliseconds=10)

done = Count()


async def empty() -> None:
    """The job."""
    done.note()


async def _measure(url: str, count: int) -> float:
    # No client reads results, so docket keeps none in Redis.
    async with Docket(name="bench", url=url, execution_ttl=timedelta(0)) as docket:
        docket.register(empty)
        for first in range(0, count, BATCH):
            await docket.add_many([docket.call(empty)() for _ in range(min(BATCH, count - first))])
        async with Worker(
            docket, concurrency=CONCURRENCY, minimum_check_interval=RESOLUTION
        ) as worker:
            await worker.run_until_finished()
        return done.rate(count)


def measure(url: str, count: int) -> float:
    """Runs a second."""
    return asyncio.run(_measure(url, count))


if __name__ == "__main__":
    main(measure)
