"""One campaign: servers, load, faults, the end, the verdict."""

from __future__ import annotations

import random
import shutil
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.compare import install, revision
from chaos.caller_thread import CallerThread
from chaos.callers import Caller, GrpcCalls, KafkaCalls, Sweeps
from chaos.checker import table, violations
from chaos.clock import now_ms
from chaos.generator import LIMITED, metronomes, sentinel, without_padding
from chaos.health import HealthWatch
from chaos.history import CREATE, OK, UNKNOWN, Ask, History, Quiet, Recorder, Seen, Settings
from chaos.measure import report
from chaos.model import Violation
from chaos.nemesis import Nemesis, say
from chaos.run_watch import RunWatch
from chaos.schedule import kinds_for, plan
from chaos.v1 import facts
from chaos.v1.caller import V1Caller
from chaos.v1.calls import V1Calls
from chaos.workers import Worker
from chaos.world import World
from tests.client.topics import TopicReader
from tests.harness.leaks import leaked_keys

SKEW_MS = 200
V1_CALLERS = 2
RECOVERY_SECONDS = 60.0
"""Seconds that the service has to be itself again when the faults are over."""
OVERDUE_SECONDS = 2.0
"""Seconds without an overdue run, after which the recurring jobs have caught up."""
EMPTY_SECONDS = 150.0
"""Seconds for all that is left to run."""
SHOWN_VIOLATIONS = 30
"""All of them are in the table, by category."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a campaign."""

    directory: Path
    seed: int = 1
    seconds: float = 60.0
    replicas: int = 2
    nodes: int = 1
    faults: tuple[str, ...] = ()
    pace: float = 1.0
    """More: fewer faults."""
    scale: float = 1.0
    """Of how long things stay broken."""
    callers: int = 4
    v1: int = V1_CALLERS
    """Callers of scheduling.v1 beside them."""
    bug: str = ""
    delivery: str = "exactly_once"
    shards: int = 1
    completion_timeout: int = 6_000
    catch_up_window: int = 60_000
    stage_ahead: int = 10
    """Milliseconds."""
    margin: int = 3_000
    """Milliseconds by which a run may be late on a busy machine."""
    sweeps: bool = True
    """Delete everything now and then."""
    beside: str = ""
    """A commit: the last replica is of this earlier version."""


@dataclass(slots=True)
class Outcome:
    """The result of a campaign."""

    file: Path
    history: History
    violations: list[Violation]
    said: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print the report, the table of the checker, and the first violations."""
        say(report(self.history))
        say(table(self.violations))
        for violation in self.violations[:SHOWN_VIOLATIONS]:
            say(f"{violation.category}: {violation.text}")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that every command with campaigns has."""
    deliveries = ("exactly_once", "at_least_once")
    parser.add_argument("--seed", type=int, default=1, help="of the first campaign")
    parser.add_argument("--delivery", default=deliveries[0], choices=deliveries)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--v1", type=int, default=V1_CALLERS, help="callers of scheduling.v1")
    parser.add_argument("--beside", default="", help="a commit: the last replica is of it")
    parser.add_argument("--faults", default="", help="only these, with commas between")


class Campaign:
    """Run it once."""

    def __init__(self, options: Options, tell: Callable[[str], None] = say) -> None:
        self.options = options
        self.tell = tell
        self.file = options.directory / "history.jsonl"
        self.troubles: list[str] = []
        self.sweeps = Sweeps()
        self.v1_callers: list[V1Caller] = []

    def run(self) -> Outcome:
        """All of it; bounded in time."""
        options = self.options
        if self.file.exists():  # an older campaign's; nothing else is removed
            shutil.rmtree(options.directory)
        options.directory.mkdir(parents=True, exist_ok=True)
        recorder = Recorder(self.file)
        names = {fault.name for fault in kinds_for(options.nodes, options.faults)}
        self.settings = Settings(
            completion_timeout=options.completion_timeout,
            catch_up_window=options.catch_up_window,
            skew=SKEW_MS if "skew" in names else 0,
            delivery=options.delivery,
            shards=options.shards,
        )
        recorder.campaign(options.seed, self.settings, faults=sorted(names))
        with World(
            options.directory,
            replicas=options.replicas,
            nodes=options.nodes,
            settings=self._environment(),
            beside=install(revision(options.beside)) if options.beside else None,
        ) as world:
            self._run(world, recorder)
            broken = [log for replica in world.replicas for log in replica.broken]
        for trouble in (*self.troubles, *(f"a replica broke\n{log}" for log in broken)):
            recorder.write("trouble", text=trouble)
        recorder.close()
        history = History.load(self.file)
        return Outcome(self.file, history, violations(history))

    def _environment(self) -> dict[str, str]:
        return {
            "SCHEDULING_LEASE": "1s",
            "SCHEDULING_COMPLETION_TIMEOUT": f"{self.options.completion_timeout}ms",
            "SCHEDULING_CATCH_UP_WINDOW": f"{self.options.catch_up_window}ms",
            "SCHEDULING_STAGE_AHEAD": f"{self.options.stage_ahead}ms",
            "SCHEDULING_DELIVERY": self.options.delivery,
            "SCHEDULING_SHARDS": str(self.options.shards),
            "CHAOS_BUG": self.options.bug,
        }

    def _run(self, world: World, recorder: Recorder) -> None:
        options = self.options
        with ExitStack() as stack:
            calls = GrpcCalls(recorder, world.addresses)
            stack.callback(calls.close)
            events = KafkaCalls(recorder, world.bootstrap, world.names.jobs)
            worker = Worker(recorder, world.bootstrap, world.names.jobs, options.seed)
            worker.start()
            watch = HealthWatch(recorder, {each.name: each.service for each in world.replicas})
            watch.start()
            stack.callback(watch.stop)
            runs = RunWatch(recorder, world.bootstrap, world.names.jobs)
            runs.start()
            stack.callback(runs.stop)
            properties = V1Calls(recorder, world.addresses)
            stack.callback(properties.close)
            self.v1_callers = self._v1_callers(properties)
            callers: list[CallerThread] = [*self._callers(calls, events), *self.v1_callers]
            nemesis = Nemesis(
                world,
                recorder,
                plan(
                    options.seed,
                    options.seconds,
                    kinds_for(options.nodes, options.faults),
                    pace=options.pace,
                ),
                scale=options.scale,
                say=self.tell,
            )
            self._metronomes(calls)
            for caller in callers:
                caller.start()
            self._endure(nemesis, calls)
            for caller in callers:
                caller.leave()
            for caller in callers:
                caller.join()
            events.close()
            world.heal()
            self._end(world, recorder, calls, worker, properties)
            worker.stop()
            self._dump(world, recorder)

    def _callers(self, calls: GrpcCalls, events: KafkaCalls) -> list[Caller]:
        options = self.options
        callers = [
            Caller(
                f"g{n}",
                options.seed,
                grpc_calls=calls,
                pause=0.25,
                recurring=12,
                sweeps=self.sweeps,
            )
            for n in range(options.callers)
        ]
        kafka = Caller(
            "k0", options.seed, kafka_calls=events, pause=0.4, recurring=12, sweeps=self.sweeps
        )
        return [*callers, kafka]

    def _v1_callers(self, calls: V1Calls) -> list[V1Caller]:
        """None beside an earlier version: it refuses these jobs."""
        options = self.options
        number = 0 if options.beside else options.v1
        return [
            V1Caller(f"p{n}", options.seed, calls, pause=0.3, types=n == 0) for n in range(number)
        ]

    def _metronomes(self, calls: GrpcCalls) -> None:
        self._until_ok(
            lambda n: calls.write(CREATE, metronomes(self.settings), n)[0], RECOVERY_SECONDS
        )

    def _until_ok(self, attempt: Callable[[int], str], seconds: float) -> bool:
        until, number = time.monotonic() + seconds, 0
        while attempt(number) != OK:
            if time.monotonic() > until:
                return False
            number += 1
            time.sleep(0.2)
        return True

    def _endure(self, nemesis: Nemesis, calls: GrpcCalls) -> None:
        """The faults; between them everything is deleted now and then."""
        options = self.options
        rng = random.Random(f"{options.seed}/sweeps")  # noqa: S311
        if not options.sweeps:
            nemesis.run(options.seconds)
            return
        until = time.monotonic() + options.seconds
        nemesis.start()
        while (left := until - time.monotonic()) > 0:
            if nemesis.wait(min(left, rng.uniform(20, 60))) or until - time.monotonic() < 5:
                break
            self.tell("           delete all")
            with self.sweeps.sweeping():
                self._until_ok(lambda n: calls.delete((), n), 10)
            self._metronomes(calls)
        nemesis.finish(max(0.0, until - time.monotonic()))

    # --- The end ------------------------------------------------------------------------------

    def _end(
        self,
        world: World,
        recorder: Recorder,
        calls: GrpcCalls,
        worker: Worker,
        properties: V1Calls,
    ) -> None:
        """Nothing is done to the service any more: it has to come back, and finish."""
        began = time.monotonic()
        worker.honest = True
        if not self._is_back(world, calls, worker):
            self._give_up(f"not back within {RECOVERY_SECONDS:g} s\n{world.tails()}")
            return
        self.tell(f"           back after {time.monotonic() - began:.1f} s")
        settled = worker.settled = now_ms()
        if not self._until(lambda: self._note_final(recorder, properties)):
            self._give_up(f"scheduling.v1 does not answer for {RECOVERY_SECONDS:g} s")
            return
        if not all(self._runs(type_, calls, worker) for type_ in LIMITED):
            self._give_up(f"runs are held for {EMPTY_SECONDS:g} s\n{world.tails()}")
            return
        if not self._until_ok(lambda _: _has_caught_up(worker), EMPTY_SECONDS):
            self._give_up(f"recurring jobs are behind for {EMPTY_SECONDS:g} s\n{world.tails()}")
            return
        time.sleep(self.options.margin / 1000)
        if not self._is_empty(calls, worker):
            self._give_up(f"still running after {EMPTY_SECONDS:g} s\n{world.tails()}")
            return
        outcome, answer = calls.read((), 0)
        if outcome != OK:
            self._give_up("Read does not answer")
            return
        complete = now_ms() - self.options.margin
        recorder.quiet(Quiet(settled, complete, tuple(job.id for job in answer.items)))
        self._until_ok(lambda n: calls.delete((), n), RECOVERY_SECONDS)
        recorder.write("left", keys=self._keys_left(world))

    def _until(self, attempt: Callable[[], bool]) -> bool:
        return self._until_ok(lambda _: OK if attempt() else UNKNOWN, RECOVERY_SECONDS)

    def _note_final(self, recorder: Recorder, calls: V1Calls) -> bool:
        """Note the jobs of scheduling.v1 as they are after all faults; then end the pauses."""
        if not self.v1_callers:
            return True
        ids = [job_id for caller in self.v1_callers for job_id in caller.ids]
        at, found = now_ms(), calls.final(ids)
        if found is None:
            return False
        recorder.write(facts.FINAL, at=at, until=now_ms(), jobs=[asdict(job) for job in found])
        return all(caller.resume_all() for caller in self.v1_callers)

    def _give_up(self, why: str) -> None:
        self.troubles.append(why)

    def _is_back(self, world: World, calls: GrpcCalls, worker: Worker) -> bool:
        until = time.monotonic() + RECOVERY_SECONDS
        while not all(replica.service.is_serving() for replica in world.replicas):
            if time.monotonic() > until:
                return False
            world.heal()
            time.sleep(0.1)
        return self._runs("sentinel", calls, worker, until - time.monotonic())

    def _runs(
        self, type_: str, calls: GrpcCalls, worker: Worker, seconds: float = EMPTY_SECONDS
    ) -> bool:
        """Whether the least urgent job of this type runs within that time."""
        until, asks = time.monotonic() + seconds, list[Ask]()

        def attempt(number: int) -> str:
            asks.append(sentinel(type_))  # a new tag: the one before may have been accepted
            return calls.write(CREATE, asks[-1:], number)[0]

        if not self._until_ok(attempt, seconds):
            return False
        while asks[-1].tag not in worker.tags:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def _is_empty(self, calls: GrpcCalls, worker: Worker) -> bool:
        """Deletes what recurs, and waits until nothing runs for long enough."""
        until = time.monotonic() + EMPTY_SECONDS
        silence = (self.options.completion_timeout + 2 * self.options.margin + 2000) / 1000
        while time.monotonic() < until:
            outcome, answer = calls.read((), 0)
            if outcome == OK:
                recurring = [job.id for job in answer.items if job.interval]
                if recurring:
                    calls.delete(recurring, 0)
                elif time.monotonic() - worker.last_run > silence:
                    return True
            time.sleep(0.5)
        return False

    def _keys_left(self, world: World) -> list[str]:
        until = time.monotonic() + self.options.completion_timeout / 1000 + 10
        while True:
            with world.client() as client:
                keys = leaked_keys(client, world.names, idle=True)
            if not keys or time.monotonic() > until:
                return keys
            time.sleep(0.5)

    def _dump(self, world: World, recorder: Recorder) -> None:
        """Every record of every topic, as both kinds of consumers see it."""
        names = world.names
        topics = {
            names.jobs: "jobs",
            names.resources: "resources",
            names.commands: "commands",
            names.dead_letter: "dead_letter",
        }
        with TopicReader(world.bootstrap, *topics) as reader:
            committed = reader.drain(180)
        with TopicReader(world.bootstrap, *topics, isolation="read_uncommitted") as reader:
            everything = reader.drain(180)
        seen = {(each.topic, each.partition, each.offset) for each in committed}
        for each in everything:
            place = (each.topic, each.partition, each.offset)
            recorder.record(
                Seen(
                    topics[each.topic],
                    each.offset,
                    each.timestamp,
                    each.key,
                    without_padding(each.key, each.value),
                    each.headers,
                    committed=place in seen,
                    partition=each.partition,
                )
            )


def _has_caught_up(worker: Worker) -> str:
    """OK once no overdue run comes: of a series one occurrence starts after another."""
    is_behind = time.monotonic() - worker.last_overdue < OVERDUE_SECONDS
    return UNKNOWN if is_behind else OK
