"""A worker: consumes `queuedJob`, does each run once, answers `jobDone` or `jobFailed`. Copy it.

    .venv/bin/python examples/worker.py --bootstrap 127.0.0.1:9092 --state worker.sqlite

It reads committed records only, and commits its own position after the answer is on Kafka. So a
crash at any point makes a record come again, never get lost; `Occurrences` sees that it did.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import NamedTuple

from confluent_kafka import Consumer, Message, Producer

from scheduling_srv.client import Occurrences, Outcome, occurrence_id
from scheduling_srv.wire import job_pb2 as wire

POLL = 0.2
"""Seconds between two looks whether to stop."""
FLUSH = 30.0
"""Seconds that Kafka may take to confirm an answer."""
LAST_ATTEMPT = 3


class Run(NamedTuple):
    """What a handler is given."""

    job: wire.ScheduledJob
    attempt: int
    """1 for the first time, 2 for the first retry, and so on."""


Handler = Callable[[Run], object]
"""Does the work of one type of jobs; an exception is a failed run, its text the reason."""


def say(run: Run) -> None:
    """Work that ends well."""
    print(f"{run.job.type}: did run {run.job.id}", flush=True)


def fail_twice(run: Run) -> None:
    """Work that ends well at the third attempt."""
    if run.attempt < LAST_ATTEMPT:
        raise RuntimeError("no paper")
    say(run)


HANDLERS: Mapping[str, Handler] = {
    "greet": say,
    "remind": say,
    "heartbeat": say,
    "print": fail_twice,
}
"""Job type -> what to do. Jobs of other types are left to other workers."""


class Worker:
    """Consumes until it is stopped."""

    def __init__(
        self,
        bootstrap: str,
        handlers: Mapping[str, Handler],
        occurrences: Occurrences,
        *,
        topic: str = "io.restorecommerce.jobs",
        group: str = "example-worker",
        fetch_wait_ms: int = 500,
    ) -> None:
        self.handlers = handlers
        self.occurrences = occurrences
        self.topic = topic
        self.stopping = False
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": fetch_wait_ms,
            }
        )

    def run(self) -> None:
        """Consume until `stopping` is set, then leave the group."""
        self.consumer.subscribe([self.topic])
        try:
            while not self.stopping:
                message = self.consumer.poll(POLL)
                if message is not None and not message.error():
                    self.handle(message)
        finally:
            self.consumer.close()

    def handle(self, message: Message) -> None:
        """One record; the topic has others than `queuedJob`, the answers among them."""
        if message.key() == b"queuedJob":
            job = wire.ScheduledJob.FromString(message.value() or b"")
            handler = self.handlers.get(job.type)
            if handler:
                self.answer(job, self.do(job, handler, message))
        self.consumer.commit(message=message)

    def do(self, job: wire.ScheduledJob, handler: Handler, message: Message) -> Outcome:
        """The outcome of the run, whether it was done now or before."""
        headers = dict(message.headers() or ())
        run = Run(job, int(headers.get("attempt") or 1))
        return self.occurrences.once(occurrence_id(headers), lambda: handler(run))

    def answer(self, job: wire.ScheduledJob, outcome: Outcome) -> None:
        """On Kafka when this returns. An answer that was given before changes nothing."""
        answer: wire.JobDone | wire.JobFailed
        if outcome.error is None:
            key, answer = "jobDone", wire.JobDone(id=job.id, schedule_type=job.schedule_type)
        else:
            key, answer = (
                "jobFailed",
                wire.JobFailed(id=job.id, error=outcome.error, schedule_type=job.schedule_type),
            )
        self.producer.produce(self.topic, answer.SerializeToString(), key, partition=0)
        if self.producer.flush(FLUSH):
            raise TimeoutError(f"Kafka has not confirmed the answer within {FLUSH:g} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Work until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Does the runs of the demonstration's jobs.")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", help="Kafka's host:port")
    parser.add_argument("--state", default=":memory:", help="file that remembers what was done")
    parser.add_argument("--fetch-wait-ms", type=int, default=500, help="longest wait of a fetch")
    given = parser.parse_args(arguments)
    with Occurrences(given.state) as occurrences:
        worker = Worker(given.bootstrap, HANDLERS, occurrences, fetch_wait_ms=given.fetch_wait_ms)

        def stop(_number: int, _frame: FrameType | None) -> None:
            worker.stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        worker.run()


if __name__ == "__main__":
    main()
