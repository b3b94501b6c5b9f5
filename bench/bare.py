"""The bare loop: the calls to Redis and Kafka that exactly once takes, and nothing else.

One Lua call claims a batch, notes it and checks the lease; one Kafka transaction holds its records
and the position. Two producers take turns, and while one commits, the next claim is under way.
There are no limits, priorities, answers or time-outs, and nobody is listened to: this is what
Redis, Kafka and their clients in Python can do at best. A helper (`bench.actors`).
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hiredis
from confluent_kafka import Producer
from redis import Connection
from redis.exceptions import NoScriptError

from bench.actors import Reply, serve
from bench.load import job
from scheduling_client.wire import job_pb2

LUA = Path(__file__).parent / "lua"
KEYS = ("bare:due", "bare:jobs", "bare:claimed:1", "bare:claimed:2", "bare:lease")
TOKEN = "bare-1"  # noqa: S105 - it opens nothing
CLAIM, PUT = 2_000, 2_000
"""Jobs of one claim and of one transaction; of one store call when jobs are submitted."""
ID_BYTES = 16
LONGEST_SLEEP_SECONDS = 0.5


@functools.cache
def _script(name: str) -> tuple[bytes, str]:
    source = (LUA / f"{name}.lua").read_bytes()
    return source, hashlib.sha1(source, usedforsecurity=False).hexdigest()


@functools.lru_cache(4096)
def _rfc3339(instant: int) -> bytes:
    whole, ms = divmod(instant, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z".encode()


class Store:
    """One connection; a script can be sent now and its answer read later."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.connection = Connection(  # type: ignore[no-untyped-call]
            host=place.hostname or "127.0.0.1", port=place.port or 6379, protocol=2
        )
        self.connection.connect()  # type: ignore[no-untyped-call]
        for name in ("claim", "put"):
            self.call("SCRIPT", "LOAD", _script(name)[0])

    def send(self, *command: object) -> None:
        """Send a command."""
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]
        self.connection.send_packed_command([packed])  # type: ignore[no-untyped-call]

    def answer(self) -> Any:  # noqa: ANN401 - the answer's type is the command's
        """The next answer."""
        return self.connection.read_response()

    def call(self, *command: object) -> Any:  # noqa: ANN401
        """Both."""
        self.send(*command)
        return self.answer()

    def send_script(self, name: str, keys: Sequence[str], *args: object) -> None:
        """Send a script that is loaded already."""
        self.send("EVALSHA", _script(name)[1], len(keys), *keys, *args)


class Log:
    """Producers that take turns: transactional ones, or one that is merely idempotent."""

    def __init__(self, bootstrap: str, topics: Sequence[str], *, transactions: bool) -> None:
        self.jobs, self.resources, self.journal, self.position = topics
        self.transactions = transactions
        common: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
        }
        self.producers = [
            Producer(
                {**common, "transactional.id": f"{self.jobs}-{slot}"}
                if transactions
                else {**common, "linger.ms": 0}
            )
            for slot in range(2 if transactions else 1)
        ]
        if transactions:
            for producer in self.producers:
                producer.init_transactions(30)
        self.turn = self.number = 0

    def begin(self) -> Producer:
        """The producer of the next batch."""
        self.turn = (self.turn + 1) % len(self.producers)
        producer = self.producers[self.turn]
        if self.transactions:
            producer.begin_transaction()
        return producer

    def end(self, producer: Producer, count: int) -> None:
        """Everything that was produced is on Kafka when this returns, with the position."""
        self.number += count
        position = b'{"number": %d, "at": %d}' % (self.number, time.time_ns() // 1_000_000)
        producer.produce(self.position, position, b"position", 0)
        if self.transactions:
            producer.commit_transaction(30)
        elif producer.flush(30):
            raise TimeoutError("Kafka has not confirmed the records")


class Bare:
    """The loop, and what it needs to be measured."""

    def __init__(self) -> None:
        self.store: Store
        self.log: Log
        self.stop = threading.Event()
        self.loop: threading.Thread | None = None
        self.jobs: list[tuple[str, int, bytes]] = []

    def open(self, bootstrap: str, url: str, topics: list[str], *, exactly_once: bool) -> Reply:
        """Connect to both servers."""
        self.store, self.url = Store(url), url
        self.log = Log(bootstrap, topics, transactions=exactly_once)
        self.store.call("SET", KEYS[4], TOKEN)
        return {}

    def prepare(self, first: float, step: float, count: int) -> Reply:
        """Jobs of the product's size, whose records are ready-made."""
        data = job(first).data.SerializeToString()
        value = job_pb2.ScheduledJob(id=1 << 20, type="bench", schedule_type="ONCE")
        value.data.ParseFromString(data)
        ready = value.SerializeToString()
        tag = os.urandom(3).hex()
        self.jobs = [
            (f"{tag}{number:0{ID_BYTES - 6}}", int((first + step * number) * 1000), ready)
            for number in range(count)
        ]
        return {}

    def load(self, ids: str) -> Reply:
        """Store what was prepared, and write its ids to a file."""
        for start in range(0, len(self.jobs), PUT):
            self.store.send_script("put", KEYS[:2], *_flat(self.jobs[start : start + PUT]))
            self.store.answer()
        Path(ids).write_text("\n".join(job_id for job_id, _, _ in self.jobs))
        return {"jobs": len(self.jobs)}

    def submit(self) -> Reply:
        """Store what was prepared, and announce it as the product does: a batch, a transaction."""
        pieces = [self.jobs[at : at + PUT] for at in range(0, len(self.jobs), PUT)]
        flat = [_flat(piece) for piece in pieces]
        began = time.perf_counter()
        self.store.send_script("put", KEYS[:2], *flat[0])
        for number, piece in enumerate(pieces):
            self.store.answer()
            if number + 1 < len(pieces):
                self.store.send_script("put", KEYS[:2], *flat[number + 1])
            producer = self.log.begin()
            self._announce(producer, piece, number * PUT)
            self.log.end(producer, len(piece))
        return {"seconds": time.perf_counter() - began}

    def start(self) -> Reply:
        """Run the loop in a thread."""
        self.stop.clear()
        self.loop = threading.Thread(target=self._run, daemon=True)
        self.loop.start()
        return {}

    def end(self) -> Reply:
        """Stop the loop."""
        self.stop.set()
        if self.loop:
            self.loop.join()
        return {}

    def _announce(self, producer: Producer, piece: list[tuple[str, int, bytes]], at: int) -> None:
        resources, journal, produce = self.log.resources, self.log.journal, producer.produce
        for number, (job_id, due, value) in enumerate(piece, at):
            name = job_id.encode()
            event: list[tuple[str, Any]] = [
                ("event-id", b"bare-%d" % number),
                ("job-id", name),
                ("nominal-time", _rfc3339(due)),
            ]
            produce(resources, value, b"jobsCreated", 0, headers=event)
            event = [("kind", b"job"), ("event-id", b"bare-%d-j" % number)]
            produce(journal, value, name, 0, headers=event)

    def _claim(self, number: int) -> None:
        now = time.time_ns() // 1_000_000
        self.store.send_script("claim", KEYS, now, CLAIM, 3 + number % 2, TOKEN)

    def _run(self) -> None:
        number, sent = 0, False
        while not self.stop.is_set():
            if not sent:
                self._claim(number)
            try:
                next_due, *found = self.store.answer()
            except NoScriptError:
                raise SystemExit("somebody has flushed the scripts") from None
            number, sent = number + 1, False
            if not found:
                left = int(next_due) / 1000 - time.time() if next_due else LONGEST_SLEEP_SECONDS
                self.stop.wait(min(max(left, 0.0), LONGEST_SLEEP_SECONDS))
                continue
            producer = self.log.begin()
            self._emit(producer, found)
            if not next_due:  # there is more that is due
                self._claim(number)
                sent = True
            self.log.end(producer, len(found) // 3)

    def _emit(self, producer: Producer, found: list[bytes]) -> None:
        topic, produce, number = self.log.jobs, producer.produce, self.log.number
        for job_id, due, value in zip(found[::3], found[1::3], found[2::3], strict=True):
            number += 1
            headers: list[tuple[str, Any]] = [
                ("occurrence-id", b"%b/%d/%b/1" % (job_id, number, due)),
                ("job-id", job_id),
                ("nominal-time", _rfc3339(int(due))),
                ("attempt", b"1"),
                ("event-id", b"bare-%d" % number),
            ]
            produce(topic, value, b"queuedJob", 0, headers=headers)


def _flat(jobs: list[tuple[str, int, bytes]]) -> list[object]:
    return [each for entry in jobs for each in entry]


if __name__ == "__main__":
    serve(Bare())
