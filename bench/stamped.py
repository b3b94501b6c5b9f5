"""The service with time stamps: `python -m bench.stamped serve` (`--steps` of the bench).

It notes when each run came from Redis, went to librdkafka and was confirmed by Kafka. It also notes
what may hold runs up: calls to Redis, transactions, a late event loop, the garbage collector. When
it ends, it writes all of it to the file that the variable `FILE` names (`bench.steps`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.steps import FILE
from scheduling_srv.adapters.kafka.at_once import Delivery, Sender
from scheduling_srv.adapters.kafka.producer import TransactionalPublisher
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.owner.owner import Owner
from scheduling_srv.app.replies import Taken
from scheduling_srv.cli.main import main
from scheduling_srv.formats.kafka_records import Record, Topic
from scheduling_srv.formats.layouts import QUEUES
from scheduling_srv.formats.outbox_entries import QUEUED

SPAN_SECONDS = 0.001
"""Shorter spans are not noted."""
BEAT_SECONDS = 0.004
"""Seconds between two looks whether the event loop is late."""

Method = Callable[..., Any]


class Stamps:
    """All that was noted. Instants are epoch seconds."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}
        """Job id -> when its run came from Redis."""
        self.handed: dict[str, float] = {}
        """Job id -> when librdkafka had its run."""
        self.committed: dict[str, float] = {}
        """Job id -> when the transaction with its run was committed."""
        self.confirmed: dict[int, float] = {}
        """Offset -> when Kafka had confirmed the run there: at least once alone."""
        self.spans: list[tuple[str, float, float]] = []
        """What took long: name, begin, end."""

    def span(self, name: str, began: float) -> None:
        """Something took from `began` until now."""
        ended = time.time()
        if ended - began >= SPAN_SECONDS:
            self.spans.append((name, began, ended))

    def take(self, taken: Taken | None) -> None:
        """Entries came from Redis."""
        now = time.time()
        for entry in taken.entries if taken else ():
            if entry[0] in QUEUES:
                size = QUEUED.unpack_from(entry)[5]
                self.taken[entry[QUEUED.size : QUEUED.size + size].decode()] = now

    def handing(self, records: Iterable[Record], ids: list[str]) -> Iterator[Record]:
        """Pass records on, and note the runs among them; adds their job ids to `ids`."""
        for record in records:
            yield record
            if record.topic is Topic.JOBS:
                job_id = str(dict(record.headers or ())["job-id"], "utf-8")
                self.handed[job_id] = time.time()
                ids.append(job_id)

    def write(self, path: Path) -> None:
        """For `bench.steps`."""
        path.write_text(json.dumps(vars(self)))


def _around(owner: type, name: str) -> Callable[[Callable[[Method], Method]], None]:
    """Replace a method by one that is made from it."""
    return lambda make: setattr(owner, name, make(getattr(owner, name)))


def _note_redis(stamps: Stamps) -> None:
    @_around(RedisSchedule, "stage")
    def _stage(old: Method) -> Method:
        async def stage(self: RedisSchedule, *args: object) -> object:
            staged = await old(self, *args)
            stamps.take(staged.taken)
            return staged

        return stage

    @_around(RedisSchedule, "take")
    def _take(old: Method) -> Method:
        async def take(self: RedisSchedule, *args: object) -> object:
            taken = await old(self, *args)
            stamps.take(taken)
            return taken

        return take

    @_around(Scripts, "run")
    def _run(old: Method) -> Method:
        async def run(self: Scripts, name: str, *args: object, **named: object) -> object:
            began = time.time()
            try:
                return await old(self, name, *args, **named)
            finally:
                stamps.span(f"redis {name}", began)

        return run


def _note_kafka(stamps: Stamps) -> None:
    @_around(Sender, "send")
    def _send(old: Method) -> Method:
        def send(self: Sender, records: Iterable[Record], *args: object) -> object:
            began = time.time()
            rest = old(self, stamps.handing(records, []), *args)
            stamps.span("send", began)
            return rest

        return send

    @_around(Delivery, "told")
    def _told(old: Method) -> Method:
        def told(self: Delivery, fault: Any, message: Any) -> None:  # noqa: ANN401
            # Measured by librdkafka: the report itself waits for the next poll.
            _, produced = message.timestamp()
            stamps.confirmed[message.offset()] = produced / 1000 + (message.latency() or 0.0)
            old(self, fault, message)

        return told

    @_around(TransactionalPublisher, "_publish")
    def _publish(old: Method) -> Method:
        def publish(self: TransactionalPublisher, records: Iterable[Record], *args: object) -> None:
            began, ids = time.time(), list[str]()
            old(self, stamps.handing(records, ids), *args)
            stamps.span("transaction", began)
            stamps.committed |= dict.fromkeys(ids, time.time())

        return publish

    @_around(TransactionalPublisher, "_commit")
    def _commit(old: Method) -> Method:
        def commit(self: TransactionalPublisher, producer: object) -> None:
            began = time.time()
            old(self, producer)
            stamps.span("commit", began)

        return commit


def _note_loop(stamps: Stamps) -> None:
    async def beat() -> None:
        while True:
            due = time.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            stamps.span("late loop", due)

    @_around(Owner, "run")
    def _run(old: Method) -> Method:
        async def run(self: Owner) -> None:
            beats = asyncio.create_task(beat())
            try:
                await old(self)
            finally:
                beats.cancel()

        return run


def _note_garbage(stamps: Stamps) -> None:
    began = 0.0

    def note(phase: str, _info: object) -> None:
        nonlocal began
        if phase == "start":
            began = time.time()
        else:
            stamps.span("garbage", began)

    gc.callbacks.append(note)


if __name__ == "__main__":
    noted = Stamps()
    for begin in (_note_redis, _note_kafka, _note_loop, _note_garbage):
        begin(noted)
    code = main()
    noted.write(Path(os.environ[FILE]))
    sys.exit(code)
