"""`python -m bench.worker`: empty jobs a second through one worker process.

The topic is filled with runs first. The kit reads them all, decodes them, starts a task for each,
and confirms its answers. `bare` is a loop of 40 lines that does the same, and keeps none of the
kit's promises. The contenders have jobs in Valkey, and do them in one worker of their own. One that
is not installed (`make bench-contenders`) is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from confluent_kafka import Consumer, KafkaError, Message, Producer

from bench.contenders.install import NODE, PYTHON, Kind, NotInstalled
from scheduling_client.wire.job_pb2 import Data, JobDone, ScheduledJob
from scheduling_client.worker import Worker
from tests.client.topics import make_topic
from tests.harness.kafka import KafkaServer
from tests.harness.valkey import ValkeyServer

KIND, TOPIC = "empty", "bench.worker"
GOAL = 0.6
"""The share of the bare loop that the kit has to reach."""
CONCURRENCY = 1_000
_RATE = re.compile(r"[0-9.]+")


def fill(bootstrap: str, count: int) -> None:
    """Runs as the service emits them."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    data = Data(timezone="UTC", creator="bench")
    for number in range(1, count + 1):
        run = ScheduledJob(id=number, type=KIND, data=data, schedule_type="NOW")
        headers: list[Any] = [
            ("occurrence-id", b"job-%d/1/1796000000000/1" % number),
            ("job-id", b"job-%d" % number),
            ("nominal-time", b"2026-11-30T00:00:00.000Z"),
            ("attempt", b"1"),
            ("event-id", b"e-%d" % number),
            ("deployment", b"0123456789ab"),
        ]
        while True:
            try:
                producer.produce(TOPIC, run.SerializeToString(), b"queuedJob", 0, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


class Bare:
    """A consumer and a producer in one event loop."""

    def __init__(self, bootstrap: str, count: int) -> None:
        self.left = count
        self.began = 0.0
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"bare-{time.time_ns()}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self.committed = time.perf_counter()
        self.producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5}
        )

    async def run(self) -> float:
        """Runs a second, from the first run to the last confirmed answer."""
        self.consumer.subscribe([TOPIC])
        tasks = set()
        while self.left > 0:
            for message in self.consumer.consume(500, 0):
                if message.error() is None and message.key() == b"queuedJob":
                    self.began = self.began or time.perf_counter()
                    job = ScheduledJob.FromString(message.value() or b"")
                    occurrence = dict(message.headers() or ())["occurrence-id"]
                    task = asyncio.create_task(self.work(job, occurrence))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            self.producer.poll(0)
            if time.perf_counter() - self.committed > 1:
                self.consumer.commit(asynchronous=True)
                self.committed = time.perf_counter()
            await asyncio.sleep(0)
        return time.perf_counter() - self.began

    async def work(self, job: ScheduledJob, occurrence: Any) -> None:  # noqa: ANN401 - a header
        """An empty job."""
        answer = JobDone(id=job.id, schedule_type=job.schedule_type)
        value = answer.SerializeToString()
        headers = [("occurrence-id", occurrence)]
        self.producer.produce(
            TOPIC, value, b"jobDone", 0, headers=headers, on_delivery=self.confirmed
        )

    def confirmed(self, error: KafkaError | None, _: Message) -> None:
        """Of an answer."""
        self.left -= error is None


def bare(bootstrap: str, count: int) -> float:
    """Runs a second of the bare loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return count / runner.run(Bare(bootstrap, count).run())


def kit(bootstrap: str, count: int) -> float:
    """Runs a second of the worker kit."""
    worker = Worker("kit", kafka=bootstrap, topic=TOPIC, group=f"kit-{time.time_ns()}")
    began = ended = 0.0

    @worker.job(KIND, concurrency=CONCURRENCY)
    async def empty() -> None:
        nonlocal began
        began = began or time.perf_counter()

    def watch() -> None:
        nonlocal ended
        while f"scheduling_worker_answers_total {count}\n" not in worker.metrics():
            time.sleep(0.02)
        ended = time.perf_counter()
        worker.stop()

    threading.Thread(target=watch, daemon=True).start()
    worker.run()
    return count / (ended - began)


PROGRAMS = {"bare": bare, "kit": kit}


def measured(program: str, bootstrap: str, count: int) -> float:
    """In a process of its own."""
    command = [sys.executable, "-m", "bench.worker", "--program", program]
    return _rate([*command, "--kafka", bootstrap, "--count", str(count)])


def on_kafka(program: str, count: int, folder: Path) -> float:
    """Runs a second of the kit or the bare loop, on a Kafka of its own."""
    server = KafkaServer(folder, quick_start=False)
    server.start()
    try:
        make_topic(server.bootstrap, TOPIC)
        fill(server.bootstrap, count)
        return measured(program, server.bootstrap, count)
    finally:
        server.stop()


@dataclass(frozen=True)
class Contender:
    """A program that takes in empty jobs, and then does them in one worker."""

    kind: Kind
    file: str
    share: float
    """Of the jobs: it would take too long over all of them."""

    def measure(self, count: int, folder: Path) -> float:
        """Runs a second, on a Valkey of its own. Raises `NotInstalled`."""
        command = self.kind.command(self.file)
        # Kafka answers before its disk has a record, too.
        server = ValkeyServer(folder, "--appendfsync", "everysec")
        server.start()
        try:
            return _rate([*command, str(server.port), str(round(count * self.share))])
        finally:
            server.stop()


CONTENDERS = {
    "docket": Contender(PYTHON, "empty_docket", 0.2),
    "arq": Contender(PYTHON, "empty_arq", 0.2),
    "celery": Contender(PYTHON, "empty_celery", 0.2),
    "bullmq": Contender(NODE, "empty", 0.5),
}
ALL = (*PROGRAMS, *CONTENDERS)


def _rate(command: Sequence[str]) -> float:
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    # Celery says goodbye after its figure.
    return next(float(line) for line in ended.stdout.splitlines() if _RATE.fullmatch(line))


def compare(count: int, rounds: int, programs: Sequence[str]) -> int:
    """Each program in turn, on servers of its own. Returns 1 if the kit is below its goal."""
    rates: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, found in rates.items():
            with tempfile.TemporaryDirectory() as made:
                try:
                    found.append(
                        on_kafka(name, count, Path(made))
                        if name in PROGRAMS
                        else CONTENDERS[name].measure(count, Path(made))
                    )
                except NotInstalled as why:
                    sys.stdout.write(f"{name} is left out: {why}\n")
    for name, found in rates.items():
        if found:
            shown = " ".join(f"{rate:,.0f}" for rate in found)
            sys.stdout.write(f"{name:<8}{median(found):>10,.0f} runs/s  ({shown})\n")
    if not (rates.get("kit") and rates.get("bare")):
        return 0
    share = median(rates["kit"]) / median(rates["bare"])
    sys.stdout.write(f"the kit reaches {share:.0%} of the bare loop; the goal is {GOAL:.0%}\n")
    return int(share < GOAL)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", choices=sorted(PROGRAMS), help="only this one, once")
    parser.add_argument("--kafka", help="bootstrap servers, with --program")
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL, help="these programs")
    options = parser.parse_args(arguments)
    if options.program:
        rate = PROGRAMS[options.program](options.kafka, options.count)
        sys.stdout.write(f"{rate}\n")
        return 0
    return compare(options.count, options.rounds, options.only)


if __name__ == "__main__":
    raise SystemExit(main())
