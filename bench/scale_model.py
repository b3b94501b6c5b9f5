"""Shards, servers and machines as a discrete-event simulation; all times are in seconds.

What is simulated is the way of due runs to Kafka: staging calls, transactions, and who waits for
whom. The rules that decide about it are the product's own (`app/turns.py`, `app/shard_rules.py`).
"""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.actors import quantile
from scheduling_srv.app.changes import shard_of
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.turns import AHEAD, FEW

RULES = ShardRules()
CORES = 2
"""Of each machine."""
LINGER = 0.005
"""Python work after which librdkafka sends what there is: its default `linger.ms`."""
Then = Callable[[], None]


class Work(NamedTuple):
    """CPU of one part."""

    fixed: float
    """A transaction, and the staging call in front of it."""
    each: float
    """A run."""

    def of(self, runs: int) -> float:
        """CPU for so many runs of one transaction."""
        return self.fixed + self.each * runs


class Costs(NamedTuple):
    """What the way of a run to Kafka takes."""

    redis: Work
    python: Work
    kafka: Work
    reader: Work = Work(0.0, 0.0)
    """The consumer of the benchmark: it counts only where it shares the cores."""
    wait: float = 0.0
    """A transaction waits so long without using CPU: disks, and messages on their way."""


@dataclass(frozen=True)
class Setup:
    """Which machines there are. Shard `s` is on the `s mod n`-th of each kind."""

    shards: int = 1
    replicas: int = 1
    redis: int = 1
    """Redis servers; as many as shards: the slots of `{0}` to `{N-1}` are on different ones."""
    brokers: int = 1
    shared: bool = False
    """Everything, and the consumer, on the cores of one machine, as `make bench` runs."""


@dataclass(frozen=True)
class Load:
    """Which runs are due when, and of which types."""

    runs: int
    rate: float = 0.0
    """Runs a second, at equal distances; 0: all are due at the start."""
    types: int = 0
    """Types `type-0`, `type-1`, ...; 0: each shard has as many runs as the others."""
    skew: float = 0.0
    """Exponent of Zipf's law: `type-0` is the most frequent one; 0: all are as frequent."""
    seed: int = 1

    def dues(self, shards: int) -> list[list[float]]:
        """The instants of each shard's runs, from the start."""
        found: list[list[float]] = [[] for _ in range(shards)]
        for run, shard in enumerate(self._shards_of_runs(shards)):
            found[shard].append(run / self.rate if self.rate else 0.0)
        return found

    def _shards_of_runs(self, shards: int) -> Iterable[int]:
        if not self.types:
            return (run % shards for run in range(self.runs))
        homes = [shard_of(name, shards) for name in type_names(self.types)]
        # It has to be the same each time; nobody has to be unable to guess it.
        chance = random.Random(self.seed)  # noqa: S311
        return chance.choices(homes, frequencies(self.types, self.skew), k=self.runs)


def type_names(types: int) -> list[str]:
    """Of as many types."""
    return [f"type-{number}" for number in range(types)]


def frequencies(types: int, skew: float) -> list[float]:
    """Relative frequency of each type."""
    return [1 / rank**skew for rank in range(1, types + 1)]


def shares(types: int, skew: float, shards: int) -> list[float]:
    """The part of all runs that each shard has, by the frequencies of its types."""
    parts = [0.0] * shards
    often = frequencies(types, skew)
    for name, frequency in zip(type_names(types), often, strict=True):
        parts[shard_of(name, shards)] += frequency / sum(often)
    return parts


class Agenda:
    """What happens next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._numbers = itertools.count()

    def at(self, instant: float, then: Then) -> None:
        """Call `then` at an instant; what is to happen at the same one keeps its order."""
        heapq.heappush(self._events, (instant, next(self._numbers), then))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._events:
            self.now, _, then = heapq.heappop(self._events)
            then()


class Server:
    """Does work in the order in which it was asked, `size` pieces at a time.

    One that runs `on` another server, a thread on cores, waits there for its turn.
    """

    def __init__(self, agenda: Agenda, size: int = 1, on: Server | None = None) -> None:
        self.agenda = agenda
        self.size = size
        self.on = on
        self.worked = 0.0
        """Without waiting."""
        self._free = size
        self._queue: deque[tuple[float, Then]] = deque()

    def ask(self, seconds: float, then: Then) -> None:
        """Do so much work when it is its turn, then call `then`."""
        self._queue.append((seconds, then))
        self._serve()

    def _serve(self) -> None:
        while self._free and self._queue:
            seconds, then = self._queue.popleft()
            self._free -= 1
            if self.on:
                self.on.ask(seconds, self._ending(seconds, then))
            else:
                self.agenda.at(self.agenda.now + seconds, self._ending(seconds, then))

    def _ending(self, seconds: float, then: Then) -> Then:
        def ended() -> None:
            self.worked += seconds
            self._free += 1
            self._serve()
            then()

        return ended


@dataclass
class Places:
    """Where a shard's work is done."""

    redis: Server
    python: Server
    """The interpreter of the owner's process: its shards share it."""
    kafka: Server
    """The shard's connection to its broker, which does one thing after the other."""
    reader: Server | None = None


@dataclass
class Shard:
    """The two loops of an owner. `dues`: the instants of its runs, in order."""

    agenda: Agenda
    costs: Costs
    places: Places
    dues: Sequence[float]
    emitted: list[float] = field(default_factory=list)
    """When each run was on Kafka, in the same order."""
    publishing_seconds: float = 0.0
    _limit: int = RULES.stage_limit
    _asked: int = 0
    """Runs that were asked for in a staging call."""
    _staged: int = 0
    _taken: int = 0
    _many: bool = False
    """The last staging call found so many runs that nobody takes turns."""
    _looked: bool = False
    """The stager has had its turn: the publisher's comes first."""
    _publishing: bool = False
    _alarm: float = -1.0

    def go(self) -> None:
        """Begin whatever can be done now, as `Turns` lets stager and publisher."""
        staging = self._asked > self._staged
        its_turn = not (self._publishing or self._looked)
        if not staging and (self._many or its_turn):
            staging = self._stage()
        takes_turns = staging and not self._many
        if self._staged > self._taken and not self._publishing and not takes_turns:
            self._publish(min(self._staged - self._taken, RULES.batch_records))
            self.go()  # what was taken makes room for staging

    def _stage(self) -> bool:
        if self._staged - self._taken >= AHEAD or self._asked == len(self.dues):
            return False
        last = min(self._asked + self._limit, len(self.dues))
        found = bisect_right(self.dues, self.agenda.now, self._asked, last) - self._asked
        if not found:
            self._look_again(self.dues[self._asked])
            return False
        self._asked += found
        self.places.redis.ask(self.costs.redis.of(found), lambda: self._stage_ended(found))
        return True

    def _look_again(self, instant: float) -> None:
        if self._alarm != instant:
            self._alarm = instant
            self.agenda.at(instant, self.go)

    def _stage_ended(self, found: int) -> None:
        self._staged = self._asked
        self._many = found >= FEW
        self._looked = True
        self._limit = RULES.most_staged if found >= self._limit else RULES.stage_limit
        self.go()

    def _publish(self, runs: int) -> None:
        self._publishing = True
        self._taken += runs
        self._make(runs, runs, self.agenda.now)

    def _make(self, left: int, runs: int, began: float) -> None:
        """Records are made in Python, and sent to the broker while the next ones are made."""
        each = self.costs.python.each
        piece = min(left, max(1, int(LINGER / each))) if each else left
        work = self.costs.python.of(piece) if left == runs else each * piece

        def made() -> None:
            self.places.kafka.ask(self.costs.kafka.each * piece, lambda: None)
            if left > piece:
                self._make(left - piece, runs, began)
            else:
                self.places.kafka.ask(self.costs.kafka.fixed, commit)

        def commit() -> None:
            self.agenda.at(self.agenda.now + self.costs.wait, committed)

        def committed() -> None:
            self.publishing_seconds += self.agenda.now - began
            self._publishing = self._looked = False
            self._arrive(runs)
            self.go()

        self.places.python.ask(work, made)

    def _arrive(self, runs: int) -> None:
        def arrived() -> None:
            self.emitted += [self.agenda.now] * runs

        if self.places.reader:
            self.places.reader.ask(self.costs.reader.of(runs), arrived)
        else:
            arrived()


class Outcome(NamedTuple):
    """What came of a simulation."""

    shards: Sequence[Shard]
    busy: dict[str, float]
    """The busiest one of each kind: the part of the time in which it worked, 0 to 1."""

    @property
    def seconds(self) -> float:
        """From the start to the last run."""
        return max(shard.emitted[-1] for shard in self.shards if shard.emitted)

    @property
    def rate(self) -> float:
        """Runs a second."""
        return sum(len(shard.emitted) for shard in self.shards) / self.seconds

    def late(self, part: float) -> float:
        """A quantile of the time from due to emitted."""
        pairs = [pair for each in self.shards for pair in zip(each.dues, each.emitted, strict=True)]
        return quantile(sorted(emitted - due for due, emitted in pairs), part)


REDIS, PYTHON, BROKERS, CORES_OF_ALL = "Redis", "Python", "brokers", "cores"
TRANSACTIONS = "transactions"
FULL = 0.95
"""What is busy for such a part of the time is what limits."""


def busiest(busy: dict[str, float]) -> str:
    """What limits: a server that has no time left, or else that transactions go one by one.

    Transactions are under way all the time as well when they wait for such a server.
    """
    servers = {name: part for name, part in busy.items() if name != TRANSACTIONS}
    first = max(servers, key=lambda name: servers[name])
    return first if servers[first] >= min(FULL, busy[TRANSACTIONS]) else TRANSACTIONS


def simulate(costs: Costs, setup: Setup, load: Load) -> Outcome:
    """All runs of a load, until the last one is on Kafka."""
    agenda = Agenda()
    machine = Server(agenda, CORES) if setup.shared else None

    def machines(count: int, size: int) -> list[Server]:
        return [machine or Server(agenda, size) for _ in range(count)]

    # On a machine of its own the one thread of Redis never waits for a core.
    redis = [Server(agenda, 1, machine) for _ in range(setup.redis)]
    python = [Server(agenda, 1, each) for each in machines(setup.replicas, CORES)]
    brokers = machines(setup.brokers, CORES)
    reader = Server(agenda, 1, machine) if machine else None
    dues = load.dues(setup.shards)
    shards = [
        Shard(
            agenda,
            costs,
            Places(
                redis[number % setup.redis],
                python[number % setup.replicas],
                Server(agenda, 1, brokers[number % setup.brokers]),
                reader,
            ),
            dues[number],
        )
        for number in range(setup.shards)
    ]
    for shard in shards:
        agenda.at(0.0, shard.go)
    agenda.run()
    outcome = Outcome(shards, {})
    kinds = {REDIS: redis, PYTHON: python}
    kinds |= {CORES_OF_ALL: [machine]} if machine else {BROKERS: brokers}
    for name, servers in kinds.items():
        most = max(server.worked / server.size for server in servers)
        outcome.busy[name] = most / outcome.seconds
    under_way = max(shard.publishing_seconds for shard in shards)
    outcome.busy[TRANSACTIONS] = under_way / outcome.seconds
    return outcome
