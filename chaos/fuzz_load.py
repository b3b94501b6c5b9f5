"""Sends fuzzed inputs, with ordinary jobs between them, and watches what becomes of those."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from confluent_kafka import KafkaError, Message, Producer

from chaos.fuzz_check import Book
from chaos.fuzz_inputs import COMMANDS_TOPIC, FAR, Input
from tests.client.contract import Data, Job, JobDone, JobList, ScheduledJob, payload
from tests.client.grpc_client import COMMAND, JOBS
from tests.client.topics import Record, TopicReader
from tests.harness.names import Names

IN_FLIGHT = 256
"""Calls at a time."""
DEADLINE = 60.0
EVERY = 200
"""Inputs between two ordinary jobs."""
WITNESS = "witness-"
"""What the payloads of ordinary jobs begin with; nothing that is fuzzed has that."""


class Watch:
    """Reads the jobs topic and answers every run, in a thread of its own."""

    def __init__(self, bootstrap: str, names: Names) -> None:
        self.runs: Counter[str] = Counter()
        """Of each ordinary one-time job."""
        self.nominals: dict[str, list[str]] = defaultdict(list)
        """When the runs of each were due."""
        self._topic = names.jobs
        self._leaving = threading.Event()
        self._reader = TopicReader(bootstrap, names.jobs)
        self._producer = _producer(bootstrap)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; raises what went wrong."""
        self._leaving.set()
        self._thread.join(90)
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            with self._reader:
                while not self._leaving.is_set():
                    for record in self._reader.poll(0.1):
                        if record.key == "queuedJob" and "event-id" in record.headers:
                            self._answer(record)
                    self._reader.records.clear()
                    self._producer.poll(0)
                self._producer.flush(60)
        except BaseException as failure:  # noqa: BLE001 - raised again by stop()
            self.failure = failure

    def _answer(self, record: Record) -> None:
        job = ScheduledJob.FromString(record.value)
        for each in job.data.payload:
            if each.value.startswith(WITNESS.encode()):
                tag = each.value.decode()
                self.runs[tag] += 1
                self.nominals[tag].append(record.headers["nominal-time"])
        value = JobDone(id=job.id, schedule_type=job.schedule_type).SerializeToString()
        self._producer.produce(self._topic, value, "jobDone", partition=0)


class Load:
    """Both transports; one instance for the campaign."""

    def __init__(self, address: str, bootstrap: str, names: Names, book: Book) -> None:
        self.address = address
        self.bootstrap = bootstrap
        self.topics = {"jobs": names.jobs, COMMANDS_TOPIC: names.commands}
        self.book = book
        self.called = 0
        """Commands that were answered over gRPC."""
        self.tags: list[str] = []
        """Of the ordinary one-time jobs since they were last looked at."""
        self.ends: dict[str, int] = {}
        """Offset behind the last record of each topic."""
        self._tagged = 0
        self._producer = _producer(bootstrap)

    async def send(self, inputs: Iterable[Input]) -> None:
        """Send all and wait until they are answered, or on their topics."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            todo = iter(inputs)
            await asyncio.gather(*(self._worker(channel, todo) for _ in range(IN_FLIGHT)))
        if await asyncio.to_thread(self._producer.flush, 120):
            self.book.fault("Kafka did not take everything")

    async def _worker(self, channel: grpc.aio.Channel, todo: Iterator[Input]) -> None:
        for made in todo:
            self.book.sent(made)
            if made.path:
                await self._call(channel, made)
            else:
                self._produce(made)
                if made.number % 50 == 0:
                    await asyncio.sleep(0)
            if made.number % EVERY == 0:
                await self._witness(channel, made.number)

    async def _call(self, channel: grpc.aio.Channel, made: Input) -> None:
        metadata = [(name, "x" * 20) for name in ("traceparent", "tracestate") * (made.number % 2)]
        call: Any = channel.unary_unary(made.path)
        try:
            await call(made.value, timeout=DEADLINE, metadata=metadata)
        except grpc.aio.AioRpcError as refusal:
            self.book.answered(made, refusal.code().name, refusal.details() or "")
        else:
            self.called += made.path == COMMAND
            self.book.answered(made, "OK", "")

    def _produce(self, made: Input) -> None:
        headers: list[tuple[str, str | bytes | None]]
        headers = [(name.decode(), value) for name, value in made.headers]

        def delivered(error: KafkaError | None, record: Message) -> None:
            if error:
                self.book.fault(f"Kafka did not take record {made.number}: {error}")
                return
            topic, offset = record.topic() or "", record.offset() or 0
            self.book.landed(made.number, topic, offset)
            self.ends[topic] = max(self.ends.get(topic, 0), offset + 1)

        while True:
            try:
                self._producer.produce(
                    self.topics[made.topic],
                    made.value,
                    made.key,
                    partition=0,
                    headers=headers,
                    on_delivery=delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    async def _witness(self, channel: grpc.aio.Channel, number: int) -> None:
        """An ordinary job, by turns over both transports."""
        self._tagged += 1
        tag = f"{WITNESS}{self._tagged}"
        self.tags.append(tag)
        trigger = {"when": "in 1 second"} if number % (4 * EVERY) == 0 else {"now": True}
        raw = JobList(items=[ordinary(tag, **trigger)]).SerializeToString()
        if self._tagged % 2:
            self._producer.produce(self.topics["jobs"], raw, "createJobs", partition=0)
        else:
            call: Any = channel.unary_unary(JOBS + "Create")
            await call(raw, timeout=DEADLINE)


def ordinary(tag: str, **fields: Any) -> Any:
    """A job as it should be."""
    data = Data(timezone="UTC", creator="witness", payload=[payload(tag)])
    return Job(type="witness", data=data, **fields)


def lasting(tag: str) -> Any:
    """One that is there until it is deleted."""
    return ordinary(tag, id=tag, when=FAR)


def _producer(bootstrap: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 200_000,
            "message.max.bytes": 1_500_000,
            "log_level": 0,
        }
    )
