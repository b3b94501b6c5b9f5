"""`python -m bench.worker`: empty jobs a second through one worker process.

The topic is filled with runs first. The kit reads them all, decodes them, starts a task for each,
and confirms its answers. `bare` is a loop of 40 lines that does the same, and keeps none of the
kit's promises. The contenders have jobs in Valkey, and do them in one worker of their own. One that
is not installed (`make bench-contenders`) is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from confluent_kafka import Consumer, KafkaError, Message, Producer

from bench.contenders.install import NODE, PYTHON, Kind, NotInstalled
from bench.report import say
from scheduling_client.wire.job_pb2 import Data, JobDone, ScheduledJob
from scheduling_client.worker import Worker
from tests.client.topics import delete_topic, make_topic
from tests.harness.kafka import KafkaServer
from tests.harness.valkey import ValkeyServer

KIND = "empty"
GOAL = 0.6
"""The share of the bare loop that the kit has to reach."""
CONCURRENCY = 1_000
LOOK_SECONDS = 0.02
"""Between two looks at the figures of the kit."""
_RATE = re.compile(r"[0-9.]+")


def fill(bootstrap: str, topic: str, count: int) -> None:
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
                producer.produce(topic, run.SerializeToString(), b"queuedJob", 0, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


@dataclass(frozen=True)
class Measured:
    """The runs of one process, from the begin of the first one to its last confirmed answer."""

    rate: float
    """Runs a second."""
    cpu_us: float
    """Of the process, for each run, with the threads of librdkafka."""


class Watch:
    """Measures time and CPU of this process."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._began: tuple[float, float] | None = None

    def begin(self) -> None:
        """A run begins: the first one counts."""
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()

    def end(self) -> Measured:
        """All answers are confirmed."""
        assert self._began is not None  # noqa: S101 - for the type checker
        began, cpu_began = self._began
        took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        return Measured(self._count / took, 1e6 * cpu / self._count)


class Bare:
    """A consumer and a producer in one event loop."""

    def __init__(self, bootstrap: str, topic: str, count: int) -> None:
        self.topic, self.left, self.watch = topic, count, Watch(count)
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
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "queue.buffering.max.messages": count,  # it has no bound on its answers
            }
        )

    async def run(self) -> Measured:
        """All runs."""
        self.consumer.subscribe([self.topic])
        tasks = set()
        while self.left > 0:
            for message in self.consumer.consume(500, 0):
                if message.error() is None and message.key() == b"queuedJob":
                    self.watch.begin()
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
        return self.watch.end()

    async def work(self, job: ScheduledJob, occurrence: Any) -> None:  # noqa: ANN401 - a header
        """An empty job."""
        answer = JobDone(id=job.id, schedule_type=job.schedule_type)
        value = answer.SerializeToString()
        headers = [("occurrence-id", occurrence)]
        self.producer.produce(
            self.topic, value, b"jobDone", 0, headers=headers, on_delivery=self.confirmed
        )

    def confirmed(self, error: KafkaError | None, _: Message) -> None:
        """Of an answer."""
        self.left -= error is None


def bare(bootstrap: str, topic: str, count: int) -> Measured:
    """The bare loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Bare(bootstrap, topic, count).run())


def kit(bootstrap: str, topic: str, count: int) -> Measured:
    """The worker kit."""
    worker = Worker("kit", kafka=bootstrap, topic=topic, group=f"kit-{time.time_ns()}")
    watch, found = Watch(count), list[Measured]()

    @worker.job(KIND, concurrency=CONCURRENCY)
    async def empty() -> None:
        watch.begin()

    def look() -> None:
        while f"scheduling_worker_answers_total {count}\n" not in worker.metrics():
            time.sleep(LOOK_SECONDS)
        found.append(watch.end())
        worker.stop()

    threading.Thread(target=look, daemon=True).start()
    worker.run()
    return found[0]


PROGRAMS = {"bare": bare, "kit": kit}


def measured(program: str, bootstrap: str, count: int) -> Measured:
    """In a process and on a topic of its own."""
    topic = f"bench.{program}.{time.time_ns()}"
    make_topic(bootstrap, topic)
    fill(bootstrap, topic, count)
    command = [sys.executable, "-m", "bench.worker", "--program", program]
    command += ["--kafka", bootstrap, "--topic", topic, "--count", str(count)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    delete_topic(bootstrap, topic)
    return Measured(**json.loads(ended.stdout))


@dataclass(frozen=True)
class Pair:
    """The bare loop and the kit, one right after the other."""

    bare: Measured
    kit: Measured

    @property
    def share(self) -> float:
        """The rate of the kit, as a share of that of the bare loop."""
        return self.kit.rate / self.bare.rate


def pairs(count: int, rounds: int) -> list[Pair]:
    """On one Kafka. A pair that does not count makes the JVM compile Kafka's hot code.

    The programs take turns to go first.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = KafkaServer(Path(folder), quick_start=False)
        server.start()
        try:
            found = []
            for turn in range(rounds + 1):
                order = ("bare", "kit") if turn % 2 else ("kit", "bare")
                pair = Pair(**{name: measured(name, server.bootstrap, count) for name in order})
                found.append(pair)
                say(_line("warm-up" if turn == 0 else f"pair {turn}", pair))
            return found[1:]
        finally:
            server.stop()


def _line(name: str, pair: Pair) -> str:
    return (
        f"{name:<8}bare {pair.bare.rate:>8,.0f} runs/s, {pair.bare.cpu_us:>4.1f} us of CPU each"
        f"   kit {pair.kit.rate:>8,.0f} runs/s, {pair.kit.cpu_us:>4.1f} us   {pair.share:.0%}"
    )


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
    "docket": Contender(PYTHON, "empty_docket", 0.07),
    "arq": Contender(PYTHON, "empty_arq", 0.07),
    "celery": Contender(PYTHON, "empty_celery", 0.07),
    "bullmq": Contender(NODE, "empty", 0.17),
}
PAIR = "pair"
ALL = (PAIR, *CONTENDERS)


def _rate(command: Sequence[str]) -> float:
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    # Celery says goodbye after its figure.
    return next(float(line) for line in ended.stdout.splitlines() if _RATE.fullmatch(line))


def contend(count: int, rounds: int, names: Sequence[str]) -> None:
    """Each contender in turn, on servers of its own."""
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, found in rates.items():
            with tempfile.TemporaryDirectory() as made:
                try:
                    found.append(CONTENDERS[name].measure(count, Path(made)))
                except NotInstalled as why:
                    say(f"{name} is left out: {why}")
    for name, found in rates.items():
        if found:
            shown = " ".join(f"{rate:,.0f}" for rate in found)
            say(f"{name:<8}{median(found):>10,.0f} runs/s  ({shown})")


def judge(found: Sequence[Pair]) -> int:
    """Tell the share of the kit. Returns 1 if it is below its goal."""
    shares = sorted(pair.share for pair in found)
    share = median(shares)
    say(
        f"the kit reaches {share:.0%} of the bare loop, the median of {len(found)} pairs from "
        f"{shares[0]:.0%} to {shares[-1]:.0%}; the goal is {GOAL:.0%}"
    )
    return int(share < GOAL)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__)
    parser.add_argument("--count", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--program", choices=sorted(PROGRAMS), help="only this one, once")
    parser.add_argument("--kafka", help="bootstrap servers, with --program")
    parser.add_argument("--topic", help="a topic with so many runs, with --program")
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL, help="these programs")
    options = parser.parse_args(arguments)
    if options.program:
        found = PROGRAMS[options.program](options.kafka, options.topic, options.count)
        say(json.dumps(asdict(found)))
        return 0
    contend(options.count, options.rounds, [name for name in CONTENDERS if name in options.only])
    if PAIR in options.only:
        return judge(pairs(options.count, options.rounds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
