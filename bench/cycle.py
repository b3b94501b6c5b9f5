"""Clients and a worker: `now` jobs are created, queued, answered, gone. A helper."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import redis
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.actors import Reply, serve
from bench.http2 import Connection
from bench.load import CREATE, job
from scheduling_client.wire import job_pb2

BATCH = 100
CLIENTS = 8
POLL_SECONDS = 0.002
"""Seconds between looks at how many jobs there are."""
QUIET_SECONDS = 20.0
"""Seconds without a run after which the rest is lost."""
ID_TAG = 8


class Cycle:
    """One worker, some clients, and a bound on what is between them."""

    def __init__(self, address: str, bootstrap: str, url: str, topic: str, keys: list[str]) -> None:
        self.address = address
        self.topic = topic
        self.jobs, self.runs = keys
        self.store = redis.Redis.from_url(url)
        self.producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 2})
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "worker",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        self.consumer.assign([TopicPartition(topic, 0, 0)])
        self.lock = threading.Lock()
        self.unsent = self.unanswered = 0
        self.fault: BaseException | None = None
        message = job(time.time())
        message.when, message.now = "", True
        self.body = job_pb2.JobList(items=[message] * BATCH).SerializeToString()

    def run(self, count: int, in_flight: int) -> Reply:
        """Seconds until the last job is gone; what was lost, doubled or left."""
        self.unsent, self.unanswered = count // BATCH, 0
        clients = [threading.Thread(target=self._submit, args=(in_flight,)) for _ in range(CLIENTS)]
        began = last = time.perf_counter()
        for client in clients:
            client.start()
        seen: list[Message] = []
        while len(seen) < count and time.perf_counter() - last < QUIET_SECONDS and not self.fault:
            runs = self._answer()
            if runs:
                last = time.perf_counter()
                seen += runs
        self.producer.flush(30)
        while self.left() and time.perf_counter() - last < QUIET_SECONDS:
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - began
        for client in clients:
            client.join()
        ids = [_job_id(message) for message in seen]
        return {
            "seconds": seconds,
            "lost": count - len(set(ids)),
            "doubled": len(ids) - len(set(ids)),
            "strange": self.left(),
            **({"fault": str(self.fault)} if self.fault else {}),
        }

    def left(self) -> int:
        """Jobs and runs that are still there."""
        return int(self.store.hlen(self.jobs)) + int(self.store.hlen(self.runs))

    def _submit(self, in_flight: int) -> None:
        connection = Connection(self.address, CREATE)
        try:
            while self._may_send(in_flight):
                connection.run([self.body], 1)
                with self.lock:
                    self.unanswered -= BATCH
        except Exception as fault:  # noqa: BLE001 - the main thread reports it
            self.fault = fault
        finally:
            connection.close()

    def _may_send(self, in_flight: int) -> bool:
        """Wait until there is room; False when everything was sent."""
        while not self.fault:
            with self.lock:
                if not self.unsent:
                    return False
                # A job that is stored and not yet answered counts twice: never too many.
                if self.unanswered + int(self.store.hlen(self.jobs)) + BATCH <= in_flight:
                    self.unsent -= 1
                    self.unanswered += BATCH
                    return True
            time.sleep(POLL_SECONDS)
        return False

    def _answer(self) -> list[Message]:
        first = self.consumer.poll(0.05)
        if first is None:
            return []
        runs = []
        for message in [first, *self.consumer.consume(1000, timeout=0)]:
            if message.key() == b"queuedJob" and not message.error():
                runs.append(message)
                self.producer.produce(self.topic, _done(message.value() or b""), b"jobDone", 0)
        self.producer.poll(0)
        return runs


def _done(run: bytes) -> bytes:
    """A JobDone: its id has the number and the place of the ScheduledJob's."""
    if run[0] != ID_TAG:
        raise ValueError(run)
    end = 1
    while run[end] & 0x80:
        end += 1
    return run[: end + 1]


def _job_id(message: Message) -> bytes:
    pairs: Any = message.headers()
    job_id: bytes = dict(pairs)["job-id"]
    return job_id


def run(count: int, in_flight: int, **places: Any) -> Reply:  # noqa: ANN401 - JSON
    """One measurement."""
    return Cycle(**places).run(count, in_flight)


if __name__ == "__main__":
    serve(sys.modules[__name__])
