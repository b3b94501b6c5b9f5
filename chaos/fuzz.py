"""`make fuzz`: a million requests and records that are almost right, against the running service.

It must refuse what is wrong with a status and a sentence, do what is right, and stay what it was:
one process, of the same size, that runs every ordinary job once. Exits with 0 only then.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import redis

from chaos.fuzz_check import Book, Verdict
from chaos.fuzz_inputs import make
from chaos.fuzz_load import Load, Watch, lasting, ordinary
from tests.client import raw_kafka
from tests.client.contract import DeleteRequest, JobFilter, JobList
from tests.client.grpc_client import Client, Refusal
from tests.client.topics import Record, TopicReader
from tests.harness.kafka import KafkaServer
from tests.harness.names import Names
from tests.harness.service import Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

ROUND = 20_000
"""Inputs after which everything is looked at, and deleted."""
HANDLED_WITHIN = 300.0
RUN_WITHIN = 60.0
BACK_WITHIN = 180.0
"""Seconds for a rebuild from all that was fuzzed."""
GROWTH = 96
"""MiB by which the process may be larger in the end than after its first round."""
NO_CRASHES = ("--appendfsync", "everysec")
"""No server is killed here, and thousands of records need not wait for the disk one by one."""
ODD_NAME = (b"\xff\xfe", b"no UTF-8")
"""A header that librdkafka would not send."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    directory: Path
    count: int = 1_000_000
    seed: int = 1
    first: int = 0
    """The number of the first input: to do one again."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    book: Book
    seconds: float = 0.0
    memory: list[float] = field(default_factory=list)
    """MiB of the process: before, and after each round."""
    witnesses: int = 0


class Fuzz:
    """Run it once."""

    def __init__(self, options: Options, say: Callable[[str], None] = print) -> None:
        self.options = options
        self.say = say
        self.book = Book(options.first + options.count)
        self.outcome = Outcome(self.book)

    def run(self) -> Outcome:
        """All of it."""
        options, names = self.options, Names.unique()
        options.directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self.valkey = ValkeyServer(options.directory / "valkey", *NO_CRASHES)
            self.kafka = KafkaServer(options.directory / "kafka", quick_start=False)
            for server in (self.valkey, self.kafka):
                server.start()
                stack.callback(server.stop)
            self.service = Service(
                names,
                options.directory / f"service-{time.time_ns()}.log",
                bootstrap=self.kafka.bootstrap,
                redis_url=self.valkey.url,
                settings={
                    "SCHEDULING_LOG_LEVEL": "error",
                    "SCHEDULING_COMPLETION_TIMEOUT": "10m",
                },
            )
            self.service.start()
            stack.callback(self._end_service)
            self.names = names
            self.client = stack.enter_context(Client(self.service.address, timeout=60))
            self.watch = Watch(self.kafka.bootstrap, names)
            self.watch.start()
            self.load = Load(self.service.address, self.kafka.bootstrap, names, self.book)
            self._rounds()
            self._rebuild()
            self.watch.stop()
            self._stop()
            self._judge()
        return self.outcome

    # --- Rounds -------------------------------------------------------------------------------

    def _rounds(self) -> None:
        options, began, pid = self.options, time.monotonic(), self.service.process.pid
        self.outcome.memory.append(_memory(pid))
        for number, start in enumerate(range(0, options.count, ROUND)):
            metronome, kept = f"witness-metronome-{number}", f"witness-kept-{number}"
            self.client.create(ordinary(metronome, interval="1 second"), lasting(kept))
            first = options.first + start
            last = options.first + min(start + ROUND, options.count)
            asyncio.run(self.load.send(make(options.seed, n) for n in range(first, last)))
            self._odd_headers(number)
            self._handled()
            self._witnesses()
            eventually(
                partial(self.watch.nominals.get, metronome), timeout=RUN_WITHIN, what=metronome
            )
            if [job.id for job in self._living(kept)] != [kept]:
                self.book.fault(f"round {number}: {kept} is gone")
            self._sweep(number)
            self._metronome(metronome)
            self.outcome.memory.append(_memory(pid))
            done, seconds = last - options.first, time.monotonic() - began
            self.say(
                f"{done:>9,} inputs  {done / seconds:>6,.0f}/s  {self.outcome.memory[-1]:>5.0f} MiB"
                f"  {self.book.faults} faults"
            )
        self.outcome.seconds = time.monotonic() - began

    def _odd_headers(self, number: int) -> None:
        """A header's name may be any bytes; jobs and answers below it are handled all the same."""
        tag = f"witness-odd-{number}"
        raw = JobList(items=[ordinary(tag, now=True)]).SerializeToString()
        for key, value in ((b"createJobs", raw), (b"jobDone", b"\x08\x07"), (b"queuedJob", raw)):
            raw_kafka.produce(self.kafka.bootstrap, self.names.jobs, key, value, [ODD_NAME] * 2)
        self.load.tags.append(tag)

    def _handled(self) -> None:
        """The service has passed all records."""
        with self.valkey.client() as client:
            for topic, end in self.load.ends.items():
                name = f"{self.names.client_id}:{topic}"
                eventually(
                    partial(_has_passed, client, name, end),
                    timeout=HANDLED_WITHIN,
                    what=f"{name} at {end}",
                    every=0.1,
                )

    def _witnesses(self) -> None:
        """Every ordinary one-time job has run, once."""
        tags, self.load.tags = self.load.tags, []
        self.outcome.witnesses += len(tags)
        runs = self.watch.runs
        deadline = time.monotonic() + RUN_WITHIN
        while any(not runs[tag] for tag in tags) and time.monotonic() < deadline:
            time.sleep(0.05)
        for tag in tags:
            if runs[tag] != 1:
                self.book.fault(f"{tag} ran {runs[tag]} times")

    def _metronome(self, tag: str) -> None:
        """An interval job has run every second since its creation, each time once."""
        nominals = sorted(self.watch.nominals[tag])
        seconds = [round(_seconds(each) - _seconds(nominals[0])) for each in nominals]
        if seconds != list(range(len(seconds))) or not seconds:
            self.book.fault(f"{tag} ran at {nominals}")

    def _living(self, *ids: str) -> Any:
        return self.client.read(filter=JobFilter(jobs_ids=ids)).items

    def _sweep(self, number: int) -> None:
        """Everything is deleted, each time in another way."""
        everything = DeleteRequest(collection=True).SerializeToString()
        if number % 4 == 0:
            self.client.delete(collection=True)
        elif number % 4 == 1:
            self.client.command("reset")
        elif number % 4 == 2:
            raw_kafka.produce(self.kafka.bootstrap, self.names.jobs, b"deleteJobs", everything, [])
        else:
            self.client.command("restore", {"jobs": {"offset": 10**9}})
            self.client.command("reset")
        eventually(
            lambda: self.client.read(limit=1).total_count == 0, timeout=60, what="an empty store"
        )

    # --- The end ------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """Redis loses everything: what was fuzzed must not stand in the way of coming back."""
        self.client.create(lasting("witness-rebuilt"))
        self.valkey.flush()
        began = time.monotonic()
        eventually(lambda: self._is_back("witness-rebuilt"), timeout=BACK_WITHIN, what="a rebuild")
        self.say(f"rebuilt from Kafka in {time.monotonic() - began:.1f} s")
        self.client.create(ordinary("witness-now", now=True))
        self.client.create(ordinary("witness-soon", when="in 1 second"))
        self.load.tags += ["witness-now", "witness-soon"]
        self._witnesses()
        self.client.delete(collection=True)

    def _is_back(self, job_id: str) -> bool:
        try:
            return bool(self._living(job_id))
        except Refusal as refusal:  # until it is, calls are UNAVAILABLE
            if refusal.code is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    def _stop(self) -> None:
        if not self.service.process.alive:
            self.book.fault("the process has ended by itself")
            return
        self.service.stop()
        if log := self.service.log.read_text(errors="replace").splitlines():
            self.book.fault(f"the log has {len(log)} lines of errors:\n" + "\n".join(log[:3]))
        first, last = self.outcome.memory[1], self.outcome.memory[-1]
        if last - first > GROWTH:
            self.book.fault(f"the process grew from {first:.0f} to {last:.0f} MiB")

    def _end_service(self) -> None:
        if self.service.process.alive:
            self.service.kill()

    def _judge(self) -> None:
        names, book = self.names, self.book
        book.judge_letters(self._all(names.dead_letter))
        jobs = [each for each in self._all(names.jobs) if each.key == "queuedJob"]
        resources, commands = self._all(names.resources), self._all(names.commands)
        announced = {each.headers.get("job-id", "") for each in (*jobs, *resources)}
        book.judge_announced(announced)
        book.judge_ids([*jobs, *resources, *commands])
        responses = [each for each in commands if "event-id" in each.headers]
        sweeps = -(-self.options.count // ROUND)
        book.judge_responses(len(responses), self.load.called + 2 * sweeps)

    def _all(self, topic: str) -> list[Record]:
        with TopicReader(self.kafka.bootstrap, topic) as reader:
            return reader.drain(180)


def _has_passed(client: redis.Redis, name: str, end: int) -> bool:
    return int(str(client.get(name) or 0)) >= end


def _memory(pid: int) -> float:
    """MiB that the process holds."""
    asked = subprocess.run(  # noqa: S603
        ["ps", "-o", "rss=", "-p", str(pid)],  # noqa: S607 - wherever it is
        capture_output=True,
        text=True,
        check=True,
    )
    return int(asked.stdout) / 1024


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def report(outcome: Outcome) -> str:
    """What happened, on one page."""
    book, memory = outcome.book, outcome.memory
    verdicts = ", ".join(f"{each.name.lower()} {book.verdicts.count(each):,}" for each in Verdict)
    codes = ", ".join(f"{name} {count:,}" for name, count in sorted(book.codes.items()))
    letters = ", ".join(f"{name} {count:,}" for name, count in sorted(book.letters.items()))
    looked = [memory[0], memory[1], statistics.median(memory[1:]), memory[-1]]
    sizes = ", ".join(f"{size:.0f}" for size in looked)
    lines = [
        f"calls        {book.codes.total():,}: {codes}",
        f"records      {len(book.places):,}",
        f"dead letters {book.letters.total():,}: {letters}",
        f"expected     {verdicts}",
        f"ordinary     {outcome.witnesses:,} jobs between them",
        f"memory       {sizes} MiB: at the start, after the first round, median, at the end",
        f"time         {outcome.seconds:.0f} s",
        *book.wrong,
        f"faults       {book.faults}",
    ]
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m chaos.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--dir", type=Path, default=None, help="for logs and data")
    given = parser.parse_args()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    directory = given.dir or Path(tempfile.gettempdir()) / f"fuzz-{stamp}-{given.seed}"
    print(f"seed {given.seed}, {given.count:,} inputs, files in {directory}")
    outcome = Fuzz(Options(directory, given.count, given.seed, given.first)).run()
    print(report(outcome))
    return 1 if outcome.book.faults else 0


if __name__ == "__main__":
    sys.exit(main())
