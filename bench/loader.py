"""Fills the store through its own code, and topics as a service would have: a helper.

What a client would need hours for takes minutes: `load_jobs`, which a rebuild uses, takes jobs in
without announcing them. Afterwards the store is as if the service had taken them in.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from confluent_kafka import Producer

from bench.actors import Reply, serve
from bench.load import job
from bench.varied import records as varied_records
from scheduling_client.wire import job_pb2
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.app.list_check import check_jobs
from scheduling_srv.app.replies import RebuiltJob
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.stored_format import SCHEDULING_V1
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats import messages
from scheduling_srv.formats.position_record import Position

PIECE = 1_000
IN_FLIGHT = 4
LEASE_MS = 24 * 3_600_000
SEQ_BYTES = 6
"""Bytes of the creation number that a record begins with."""
PRODUCED = 50_000
"""Records after which the producer is waited for."""


def load(
    *,
    url: str,
    namespace: str,
    count: int,
    first: float,
    step: float,
    now: float,
    varied: bool = False,
) -> Reply:
    """`count` jobs due from `first` on, `step` seconds apart; and one that is due at `now`.

    `varied`: of the types, creators, labels and schedules of `bench.varied`, else all alike.
    """
    kinds = [_plain(), *varied_records()] if varied else [_plain()]
    return asyncio.run(_load(url, namespace, (first, step, now), count, kinds))


async def _load(
    url: str, namespace: str, due: tuple[float, float, float], count: int, kinds: Sequence[bytes]
) -> Reply:
    first, step, now = due
    began = time.perf_counter()
    client = RedisClient(url, timeout=600)
    schedule = RedisSchedule(client, namespace, 0, ShardRules(lease=LEASE_MS))
    token = await schedule.acquire("bench")
    if token is None:
        raise RuntimeError("somebody owns the shard")
    if len(kinds) > 1:
        await schedule.begin_rebuild(token, SCHEDULING_V1)
    pieces = _pieces(kinds, count, first, step)

    async def work() -> None:
        for piece in pieces:
            await schedule.load_jobs(token, piece)

    if now:
        (early,) = _pieces(kinds[:1], 1, now, 0.0, seq=count + 1)
        await schedule.load_jobs(token, early)
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    instant = time.time_ns() // 1_000_000
    stored = SCHEDULING_V1 if len(kinds) > 1 else 0
    position = Position(0, "bench", at=instant, seq=count + 1, format=stored)
    await schedule.initialise(token, position, instant)
    await schedule.release(token)
    await client.close()
    return {"seconds": time.perf_counter() - began}


def _plain() -> bytes:
    """The record of a job of 220 bytes, made by the product."""
    raw = job_pb2.JobList(items=[job(time.time() + 3600)]).SerializeToString()
    requests = messages.decode_job_list(raw, b"", 1)
    (checked,) = check_jobs(requests, time.time_ns() // 1_000_000, Rules(100, 1, 900_000))
    return checked.record


def _pieces(
    kinds: Sequence[bytes], count: int, first: float, step: float, seq: int = 1
) -> Iterator[list[RebuiltJob]]:
    rests = [record[SEQ_BYTES:] for record in kinds]
    begin, gap = first * 1000, step * 1000
    for start in range(0, count, PIECE):
        yield [
            RebuiltJob(
                id=f"{seq + number:016x}",
                record=(seq + number).to_bytes(SEQ_BYTES, "little") + rests[number % len(rests)],
                due=int(begin + gap * number),
            )
            for number in range(start, min(count, start + PIECE))
        ]


def announce(bootstrap: str, topic: str, count: int, first: float, ids: str) -> Reply:
    """Records of jobsCreated on jobs.resource, as a service of 2018 would have left them."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "queue.buffering.max.messages": 2 * PRODUCED}
    )
    names = [f"{number:016x}" for number in range(count)]
    rest = job(first).SerializeToString()
    for number, name in enumerate(names, 1):
        value = job_pb2.Job(id=name).SerializeToString() + rest
        producer.produce(topic, value, b"jobsCreated", 0)
        if number % PRODUCED == 0:
            producer.flush(60)
    producer.flush(60)
    Path(ids).write_text("\n".join(names))
    return {}


if __name__ == "__main__":
    serve(sys.modules[__name__])
