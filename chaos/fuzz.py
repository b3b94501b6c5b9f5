"""`make fuzz`: a million requests and records that are almost right, against the running service.

It must refuse what is wrong with a status and a sentence, do what is right, and stay what it was:
one process, of the same size, that runs every ordinary job once. Exits with 0 only then.

Hypothesis draws the inputs in batches, and each batch is checked at once. Of a batch with a fault,
fuzz removes inputs and bytes for as long as the fault remains. It prints the rest, with the text
that `--again` repeats for the whole batch.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import grpc
import hypothesis
from hypothesis import HealthCheck, Phase, given, reproduce_failure
from hypothesis.errors import Flaky

from chaos.fuzz_checker import Sent, Verdict, faults
from chaos.fuzz_inputs import BATCHES, TAG, Input
from chaos.fuzz_shrinking import simplest
from chaos.fuzz_target import Target, lasting, ordinary
from tests.client import raw_kafka
from tests.client.contract import DeleteRequest
from tests.client.grpc_client import COMMAND, Refusal
from tests.harness.fork_server import ForkServer
from tests.harness.kafka import KafkaServer
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

ROUND = 20_000
"""Inputs after which everything is deleted, and what no single batch shows is looked at."""
IN_FLIGHT = 256
"""Calls at a time, once a round: a connection once refused so many."""
EXAMPLES = 9
"""Batches of a run of Hypothesis. After ten it would mostly vary the batches it has made."""
SHRINK_SECONDS = 60.0
"""For the removal. A service that breaks takes a second or more to start again."""
RUN_SECONDS = 60.0
REBUILD_SECONDS = 180.0
"""For a rebuild from all that was fuzzed."""
GROWTH_MIB = 96
"""By which the process may be larger in the end than after its first round."""
NO_CRASHES = ("--appendfsync", "everysec")
"""No server is killed here, and thousands of records need not wait for the disk one by one."""
NEEDED = "The fault takes these inputs:"


class Fault(AssertionError):
    """The service broke a rule."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    directory: Path
    count: int = 1_000_000
    seed: int = 1
    again: bytes = b""
    """A batch to send alone: the text that Hypothesis prints for one that failed."""
    bug: str = ""
    """A bug from `chaos.seeded`."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    inputs: int = 0
    seconds: float = 0.0
    expected: Counter[Verdict] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """Of calls."""
    letters: Counter[str] = field(default_factory=Counter)
    """Of records; by status."""
    memory: list[float] = field(default_factory=list)
    """MiB of the process: before, and after each round."""
    witnesses: int = 0


class Fuzz:
    """Run it once."""

    def __init__(self, options: Options, say: Callable[[str], None] = print) -> None:
        self.options = options
        self.say = say
        self.outcome = Outcome()
        self._deployed = ExitStack()
        self._batches = 0
        self._faulty: Sequence[Input] = ()
        """The last batch that had a fault."""
        self._commands = 0
        """Commands that may have been answered with an event."""

    def run(self) -> Outcome:
        """All of it; raises `Fault`, with the notes of Hypothesis if a batch has led to it."""
        directory = self.options.directory
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self.valkey = ValkeyServer(directory / "valkey", *NO_CRASHES)
            self.kafka = KafkaServer(directory / "kafka", quick_start=False)
            for server in (self.valkey, self.kafka):
                server.start()
                stack.callback(server.stop)
            self.fork_server = ForkServer("chaos.replica")
            stack.callback(self.fork_server.close)
            stack.callback(self._deployed.close)
            self._deploy()
            if self.options.again:
                self._examples(0)
            else:
                self._rounds()
                self._rebuild()
                self._stop()
        return self.outcome

    def _deploy(self) -> None:
        """A service with empty topics, in place of the one before."""
        self._deployed.close()
        target = Target(
            self.options.directory,
            self.fork_server,
            bootstrap=self.kafka.bootstrap,
            redis_url=self.valkey.url,
            bug=self.options.bug,
        )
        self.target = self._deployed.enter_context(target)

    # --- Batches ------------------------------------------------------------------------------

    def _examples(self, number: int) -> None:
        """One run of Hypothesis."""

        @hypothesis.seed(self.options.seed << 32 | number)
        @hypothesis.settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            phases=(Phase.generate,),  # its shrinking may last five minutes, and end early
            suppress_health_check=[*HealthCheck],
        )
        @given(BATCHES)
        def check(batch: Sequence[Input]) -> None:
            self._check(batch)

        if self.options.again:
            check = reproduce_failure(hypothesis.__version__, self.options.again)(check)
        try:
            check()
        except Fault as fault:
            end = time.monotonic() + SHRINK_SECONDS
            left = simplest(self._faulty, lambda batch: self._has_fault(batch, end))
            fault.add_note("\n".join([NEEDED, *map(str, left)]))
            raise

    def _has_fault(self, batch: Sequence[Input], end: float) -> bool:
        """Whether a part of a batch leads to a fault; false from `end` on."""
        if time.monotonic() > end:
            return False
        try:
            self._check(batch)
        except Fault:
            return True
        return False

    def _check(self, batch: Sequence[Input]) -> None:
        """Raise `Fault` if the batch leads to one."""
        if not batch:
            return
        if not self.target.sound:
            self._deploy()
        self._batches += 1
        tag = f"b{self._batches:0{len(TAG) - 1}}"
        sent = self.target.send([each.of_batch(tag) for each in batch])
        finished = self.target.finish(tag)
        self._count(sent)
        if found := list(self._faults(sent) if finished else self._end()):
            self._faulty = batch
            raise Fault("\n".join(found))

    def _count(self, sent: Sequence[Sent]) -> None:
        outcome = self.outcome
        outcome.inputs += len(sent)
        outcome.expected.update(each.expected for each in sent)
        outcome.codes.update(each.code for each in sent if each.made.path)
        letters = self.target.watch.letters
        outcome.letters.update(each.headers.get("status", "none") for each in letters)

    def _end(self) -> Iterator[str]:
        process = self.target.service.process
        yield "the batch does not come to its end" if process.alive else "the process has ended"
        yield process.tail(20)[:2000]

    def _faults(self, sent: Sequence[Sent]) -> Iterator[str]:
        watch = self.target.watch
        by_place = {each.place: each for each in sent if not each.made.path}
        for letter in watch.letters:
            place = letter.headers.get("topic", ""), int(letter.headers.get("offset", "-1"))
            if place in by_place:
                by_place[place].letters.append(letter)
            else:
                yield f"a dead letter of a record that was not sent: {letter.headers}"
        for each in sent:
            for fault in faults(each, watch.announced):
                yield f"{fault}: {str(each.made)[:1000]}"
        events = sum(each.expected is Verdict.ANSWERED for each in sent) + 1
        if len(watch.results) < events:
            yield f"{len(watch.results)} responses to {events} events"
        called = sum(each.made.path == COMMAND and each.code == "OK" for each in sent)
        self._commands += events + called
        if errors := self.target.new_errors():
            yield f"the log says\n{errors[:2000]}"
        if twice := [*watch.doubled()]:
            yield f"{twice} are there twice"

    # --- Rounds -------------------------------------------------------------------------------

    def _rounds(self) -> None:
        outcome, began = self.outcome, time.monotonic()
        outcome.memory.append(self.target.memory_mib())
        runs = itertools.count()
        while outcome.inputs < self.options.count:
            number = len(outcome.memory) - 1
            end = min(outcome.inputs + ROUND, self.options.count)
            self._round(number, end, runs)
            outcome.memory.append(self.target.memory_mib())
            outcome.seconds = time.monotonic() - began
            self.say(
                f"{outcome.inputs:>9,} inputs  {outcome.inputs / outcome.seconds:>6,.0f}/s"
                f"  {outcome.memory[-1]:>5.0f} MiB"
            )

    def _round(self, number: int, end: int, runs: Iterator[int]) -> None:
        """Send inputs until there were so many, between jobs that these must not touch."""
        metronome, kept = f"witness-metronome-{number}", f"witness-kept-{number}"
        target, watch = self.target, self.target.watch
        watch.begin_round()
        target.client.create(ordinary(metronome, interval="1 second"), lasting(kept))
        target.create_soon(IN_FLIGHT)
        while self.outcome.inputs < end:
            self._examples(next(runs))
            target.create_soon()
        self._witnesses()
        if not watch.until(lambda: bool(watch.nominals[metronome]), RUN_SECONDS):
            raise Fault(f"{metronome} does not run")
        if target.living(kept) != [kept]:
            raise Fault(f"round {number}: {kept} is gone")
        self._sweep(number)
        watch.catch_up()
        self._metronome(metronome)
        if watch.responses > (most := self._commands + 2 * (number + 1)):
            raise Fault(f"{watch.responses} responses to at most {most} commands")

    def _witnesses(self) -> None:
        """Every ordinary one-time job has run, once."""
        target, runs = self.target, self.target.watch.runs
        tags, target.witnesses = target.witnesses, []
        self.outcome.witnesses += len(tags)
        target.watch.until(lambda: all(runs[tag] for tag in tags), RUN_SECONDS)
        target.watch.catch_up()
        if wrong := {tag: runs[tag] for tag in tags if runs[tag] != 1}:
            raise Fault(f"ordinary jobs did not run once: {wrong}")

    def _metronome(self, tag: str) -> None:
        """An interval job has run every second since its creation, each time once."""
        nominals = sorted(self.target.watch.nominals.pop(tag))
        seconds = [round(_seconds(each) - _seconds(nominals[0])) for each in nominals]
        if seconds != list(range(len(seconds))):
            raise Fault(f"{tag} ran at {nominals}")

    def _sweep(self, number: int) -> None:
        """Everything is deleted, each time in another way."""
        client, names = self.target.client, self.target.names
        everything = DeleteRequest(collection=True).SerializeToString()
        if number % 4 == 0:
            client.delete(collection=True)
        elif number % 4 == 1:
            client.command("reset")
        elif number % 4 == 2:
            raw_kafka.produce(self.kafka.bootstrap, names.jobs, b"deleteJobs", everything, [])
        else:
            client.command("restore", {"jobs": {"offset": 10**9}})
            client.command("reset")
        eventually(
            lambda: client.read(limit=1).total_count == 0,
            timeout=RUN_SECONDS,
            what="an empty store",
        )

    # --- The end ------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """Redis loses everything: what was fuzzed must not stand in the way of coming back."""
        target, began = self.target, time.monotonic()
        target.client.create(lasting("witness-rebuilt"))
        self.valkey.flush()
        eventually(
            lambda: self._is_back("witness-rebuilt"), timeout=REBUILD_SECONDS, what="a rebuild"
        )
        self.say(f"rebuilt from Kafka in {time.monotonic() - began:.1f} s")
        if not target.finish("rebuilt"):
            raise Fault("no job runs after a rebuild")
        target.create_soon()
        self._witnesses()
        if twice := [*target.watch.doubled()]:
            raise Fault(f"{twice} are there twice")
        target.client.delete(collection=True)

    def _is_back(self, job_id: str) -> bool:
        try:
            return self.target.living(job_id) == [job_id]
        except Refusal as refusal:  # until it is, calls are UNAVAILABLE
            if refusal.code is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    def _stop(self) -> None:
        self.target.service.stop()
        if errors := self.target.new_errors():
            raise Fault(f"the log says\n{errors[:2000]}")
        first, last = self.outcome.memory[1], self.outcome.memory[-1]
        if last - first > GROWTH_MIB:
            raise Fault(f"the process grew from {first:.0f} to {last:.0f} MiB")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def report(outcome: Outcome) -> str:
    """What happened, on one page."""
    memory = outcome.memory
    looked = [memory[0], memory[1], statistics.median(memory[1:]), memory[-1]]
    sizes = ", ".join(f"{size:.0f}" for size in looked)
    expected = Counter({each.name.lower(): count for each, count in outcome.expected.items()})
    return "\n".join(
        [
            f"calls        {outcome.codes.total():,}: {_counts(outcome.codes)}",
            f"records      {outcome.inputs - outcome.codes.total():,}",
            f"dead letters {outcome.letters.total():,}: {_counts(outcome.letters)}",
            f"expected     {_counts(expected)}",
            f"ordinary     {outcome.witnesses:,} jobs between them",
            f"memory       {sizes} MiB: at the start, after the first round, median, at the end",
            f"time         {outcome.seconds:.0f} s",
        ]
    )


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items()))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m chaos.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", type=str, default="", help="the text that a failure has printed")
    parser.add_argument("--bug", default="", help="a bug from chaos.seeded")
    parser.add_argument("--dir", type=Path, default=None, help="for logs and data")
    given = parser.parse_args()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    directory = given.dir or Path(tempfile.gettempdir()) / f"fuzz-{stamp}-{given.seed}"
    print(f"seed {given.seed}, {given.count:,} inputs, files in {directory}")
    options = Options(directory, given.count, given.seed, given.again.encode(), given.bug)
    try:
        outcome = Fuzz(options).run()
    except (Fault, Flaky) as found:
        print("".join(traceback.format_exception(found, limit=0)))
        return 1
    print("no fault" if options.again else report(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
