"""A greedy client that does its worst within the limits: a helper (`bench.actors`).

It reads by a filter that matches little, creates and updates the longest lists with costly texts,
deletes them again, and floods the jobs topic with records that cannot be decoded. None of its jobs
is due within a month.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import grpc
from confluent_kafka import Producer

from bench.actors import Reply, serve
from bench.http2 import Connection
from bench.load import CREATE, job
from scheduling_client.wire import job_pb2, resourcebase_pb2

SERVICE = "/io.restorecommerce.job.Service/"
RARE_EACH = 128
"""Of so many waiting jobs one is of the creator that it reads: a page of them looks at all."""
LIST = 10_000
"""Jobs of its lists: SCHEDULING_MAX_ITEMS."""
READERS = 8
FILL = 4 * RARE_EACH
"""Jobs of a call that fills."""
GARBAGE_BYTES = 2_000
GARBAGE_RATE = 1_000
"""Records a second."""
REFUSED_PAUSE = 0.1
"""Seconds to wait after a call was refused."""
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


def cron_texts(count: int, now: datetime) -> list[str]:
    """Different expressions that are not due within four months."""
    month = (now.month + 5) % 12 + 1
    return [
        f"{number % 60} {number // 60 % 60} {number // 3600} 1 {month} *" for number in range(count)
    ]


def _list(round_: int, texts: list[str]) -> bytes:
    items = [
        job_pb2.Job(
            id=f"noise-{number}",
            type="noise",
            interval=text,
            data=job_pb2.Data(creator=f"noise-{round_}"),
        )
        for number, text in enumerate(texts)
    ]
    return job_pb2.JobList(items=items).SerializeToString()


class Noise:
    """One client in a thread of its own."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def fill(self, address: str, count: int, first: float) -> Reply:
        """Jobs that wait, for the Reads to look through."""
        lists = []
        for start in range(0, count, FILL):
            items = [job(first + number / 1000) for number in range(start, start + FILL)]
            for item in items[::RARE_EACH]:
                item.data.creator = "rare"
            lists.append(job_pb2.JobList(items=items).SerializeToString())
        connection = Connection(address, CREATE)
        connection.run(lists, 8)
        connection.close()
        return {}

    def start(self, address: str, bootstrap: str, topic: str) -> Reply:
        """Begin."""
        self.done.clear()
        self._ending.clear()
        run = self._run(address, bootstrap, topic)
        self._thread = threading.Thread(target=lambda: asyncio.run(run), daemon=True)
        self._thread.start()
        return {}

    def stop(self) -> Reply:
        """Stop the reader. Returns how many calls were answered and refused."""
        self._ending.set()
        if self._thread:
            self._thread.join(60)
        return dict(self.done)

    async def _run(self, address: str, bootstrap: str, topic: str) -> None:
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            work: list[Coroutine[Any, Any, None]] = [
                self._read(channel.unary_unary(SERVICE + "Read")) for _ in range(READERS)
            ]
            work += [self._write(channel), self._flood(bootstrap, topic)]
            await asyncio.gather(*work)

    async def _ask(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        try:
            await call()
        except grpc.aio.AioRpcError as fault:
            self.done[f"{name} {fault.code().name}"] += 1
            await asyncio.sleep(REFUSED_PAUSE)
        else:
            self.done[name] += 1

    async def _read(self, read: Call) -> None:
        rare = job_pb2.JobReadRequest(filter=job_pb2.JobFilter(creator="rare"))
        some = job_pb2.JobReadRequest(limit=LIST)
        requests = [request.SerializeToString() for request in (rare, some)]
        while not self._ending.is_set():
            for request in requests:
                await self._ask("reads", lambda request=request: read(request, timeout=30))  # type: ignore[misc]

    async def _write(self, channel: grpc.aio.Channel) -> None:
        create: Call = channel.unary_unary(SERVICE + "Create")
        update: Call = channel.unary_unary(SERVICE + "Update")
        delete: Call = channel.unary_unary(SERVICE + "Delete")
        texts = cron_texts(2 * LIST, datetime.now(UTC))
        ids = [f"noise-{number}" for number in range(LIST)]
        everything = resourcebase_pb2.DeleteRequest(ids=ids).SerializeToString()
        first, second = _list(1, texts[:LIST]), _list(2, texts[LIST:])
        while not self._ending.is_set():
            await self._ask("creates", lambda: create(first, timeout=60))
            await self._ask("updates", lambda: update(second, timeout=60))
            await self._ask("deletes", lambda: delete(everything, timeout=60))

    async def _flood(self, bootstrap: str, topic: str) -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        garbage, began, sent = b"\xff" * GARBAGE_BYTES, time.monotonic(), 0
        while not self._ending.is_set():
            while sent < (time.monotonic() - began) * GARBAGE_RATE:
                producer.produce(topic, garbage, b"createJobs", 0)
                sent += 1
            producer.poll(0)
            await asyncio.sleep(0.02)
        producer.flush(30)
        self.done["garbage"] = sent


if __name__ == "__main__":
    serve(Noise())
