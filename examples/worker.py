"""Takes runs of its job types from Kafka, does the work, and answers."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from scheduling_client import Occurrences, Outcome, occurrence_id
from scheduling_client.wire.job_pb2 import JobDone, JobFailed, ScheduledJob

TOPIC = "io.restorecommerce.jobs"
SERVERS = os.environ.get("SCHEDULING_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")


def complain(error: KafkaError) -> None:
    if error.code() == KafkaError._ALL_BROKERS_DOWN:
        print(f"No Kafka at {SERVERS}. Set SCHEDULING_KAFKA_BOOTSTRAP_SERVERS.", file=sys.stderr)


KAFKA: dict[str, Any] = {"bootstrap.servers": SERVERS, "error_cb": complain, "log_level": 0}
CONSUMER = {
    "group.id": "reports",  # workers of the same job types share a group
    "auto.offset.reset": "earliest",  # the first start also gets the runs before it
    "isolation.level": "read_committed",
    "session.timeout.ms": 6_000,  # the runs of a worker that died go to another one
    "enable.auto.commit": False,  # a record is committed after its answer
}


def send_report(job: ScheduledJob, attempt: int) -> None:
    """An exception makes the run fail. Its text is the reason."""
    print("sending", job.data.payload[0].value.decode(), "attempt", attempt, flush=True)


HANDLERS = {"send_report": send_report}


class Worker:
    """Kafka may deliver a record twice. `Occurrences` knows the runs that have ended."""

    def __init__(
        self,
        handlers: Mapping[str, Callable[[ScheduledJob, int], object]] = HANDLERS,
        state: str = "worker.sqlite",
        **options: Any,
    ) -> None:
        self.handlers = handlers
        self.consumer = Consumer({**KAFKA, **CONSUMER, **options})
        self.producer = Producer(KAFKA)
        self.occurrences = Occurrences(state)
        self.thread = ThreadPoolExecutor(1)
        self.stopping = False

    def run(self) -> None:
        self.consumer.subscribe([TOPIC])
        while not self.stopping:
            message = self.consumer.poll(0.2)
            if message is not None and not message.error():
                self.handle(message)
        self.consumer.close()

    def handle(self, message: Message) -> None:
        if message.key() == b"queuedJob":
            job = ScheduledJob.FromString(message.value() or b"")
            if job.type in self.handlers:
                headers = dict(message.headers() or ())
                attempt = int(headers.get("attempt") or 1)
                run = occurrence_id(headers)
                self.answer(job, self.occurrences.once(run, lambda: self.work(job, attempt)))
        self.consumer.commit(message=message)

    def work(self, job: ScheduledJob, attempt: int) -> None:
        """Polls during long work: a consumer that does not poll loses its partitions."""
        work = self.thread.submit(self.handlers[job.type], job, attempt)
        wait([work], timeout=2)
        while not work.done():
            self.consumer.pause(self.consumer.assignment())
            message = self.consumer.poll(0.1)
            if message is not None and not message.error():  # its partition came meanwhile
                place = message.partition() or 0, message.offset() or 0
                self.consumer.seek(TopicPartition(TOPIC, *place))
        self.consumer.resume(self.consumer.assignment())
        work.result()

    def answer(self, job: ScheduledJob, outcome: Outcome) -> None:
        answer: JobDone | JobFailed
        if outcome.error is None:
            key, answer = "jobDone", JobDone(id=job.id)
        else:
            key, answer = "jobFailed", JobFailed(id=job.id, error=outcome.error)
        self.producer.produce(TOPIC, answer.SerializeToString(), key)
        if self.producer.flush(30):
            raise TimeoutError("Kafka has not confirmed the answer")


def main(**options: Any) -> None:
    worker = Worker(**options)

    def stop(*_: object) -> None:
        worker.stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    worker.run()


if __name__ == "__main__":
    main()
