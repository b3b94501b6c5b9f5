"""docket: jobs in Redis, and a worker on asyncio. A helper (`bench.actors`)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from docket import Docket, Worker

from bench.actors import Reply, serve
from bench.contenders.python.runs import PAYLOAD, Jobs, Runs

CONCURRENCY = 100
RESOLUTION = timedelta(milliseconds=10)
"""How often it looks for due jobs. Its default of 250 ms would be the lateness."""
REDELIVERY = timedelta(seconds=10)
"""When a run of a worker that died is taken over; the default is five minutes."""

runs: Runs


async def work(job_id: str, at: int, payload: str) -> None:
    """The worker's function."""
    loop = asyncio.get_running_loop()
    confirmed = loop.create_future()
    wake = lambda: loop.call_soon_threadsafe(confirmed.set_result, None)  # noqa: E731
    runs.produce(job_id, at, payload, wake)
    await confirmed


class DocketQueue(Jobs):
    """Client and worker on one event loop, in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._docket: Docket
        self._working: asyncio.Task[None] | None = None

    def open(self, host: str, port: int, bootstrap: str, topic: str, **_places: str) -> Reply:
        """Connect."""
        global runs  # noqa: PLW0603 - the worker's function takes nothing but the job
        runs = Runs(bootstrap, topic)
        self._wait(self._open(f"redis://{host}:{port}/0", topic))
        return {}

    def submit(self, size: int, in_flight: int) -> Reply:
        """`in_flight` clients, `size` jobs a call."""
        calls = [
            self._docket.call(work, datetime.fromtimestamp(at / 1000, UTC), job_id)(
                job_id, at, PAYLOAD
            )
            for job_id, at in self.unsent
        ]
        pieces = [calls[start : start + size] for start in range(0, len(calls), size)]

        async def client() -> None:
            while pieces:
                added = await self._docket.add_many(pieces.pop())
                self.accepted += [
                    each.key for each in added if each.disposition.name == "SCHEDULED"
                ]

        async def clients() -> None:
            await asyncio.gather(*(client() for _ in range(in_flight)))

        began = time.perf_counter()
        self._wait(clients())
        return {"seconds": time.perf_counter() - began}

    def start(self) -> Reply:
        """Start the worker."""
        self._working = asyncio.run_coroutine_threadsafe(self._spawn(), self._loop).result()
        return {}

    def end(self) -> Reply:
        """Stop the worker and disconnect."""
        self._wait(self._close())
        return {}

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, url: str, name: str) -> None:
        # No client reads results, so docket keeps none in Redis.
        self._docket = Docket(name=name, url=url, execution_ttl=timedelta(0))
        await self._docket.__aenter__()
        self._docket.register(work)

    async def _spawn(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._work())

    async def _work(self) -> None:
        async with Worker(
            self._docket,
            concurrency=CONCURRENCY,
            scheduling_resolution=RESOLUTION,
            minimum_check_interval=RESOLUTION,
            redelivery_timeout=REDELIVERY,
        ) as worker:
            await worker.run_forever()

    async def _close(self) -> None:
        if self._working:
            self._working.cancel()
            await asyncio.wait([self._working])
        await self._docket.__aexit__(None, None, None)


if __name__ == "__main__":
    serve(DocketQueue())
