"""Empty runs through a worker of arq."""

from __future__ import annotations

import asyncio
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from bench.contenders.python.empty_runs import Count, main

CONCURRENCY = 50
"""The default is 10. It looks at five times as many jobs at a time, and its client of Redis has 100
connections."""
POLL_SECONDS = 0.01
"""Between two looks; the default of half a second would be most of the time."""
IN_FLIGHT = 50

done = Count()


async def empty(_context: dict[Any, Any]) -> None:
    """The job."""
    done.note()


async def _measure(url: str, count: int) -> float:
    settings = RedisSettings.from_dsn(url)
    pool = await create_pool(settings)
    for first in range(0, count, IN_FLIGHT):
        size = min(IN_FLIGHT, count - first)
        await asyncio.gather(*(pool.enqueue_job("empty") for _ in range(size)))
    worker = Worker(
        functions=[func(empty, name="empty", keep_result=0)],
        redis_settings=settings,
        burst=True,  # it ends when no job is left
        max_jobs=CONCURRENCY,
        poll_delay=POLL_SECONDS,
        handle_signals=False,
    )
    await worker.main()
    rate = done.rate(count)
    await worker.close()
    await pool.aclose()
    return rate


def measure(url: str, count: int) -> float:
    """Runs a second."""
    return asyncio.run(_measure(url, count))


if __name__ == "__main__":
    main(measure)
