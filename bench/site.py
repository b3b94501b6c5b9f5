"""The servers of a run, the helpers, and accounts of who used how much CPU."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench import steps
from bench.actors import Actor, Reply, cpu_seconds
from bench.profiling import SUFFIX, Profile
from tests.harness.kafka import KafkaServer, jars
from tests.harness.names import Names
from tests.harness.service import SERVE, Service
from tests.harness.valkey import ValkeyServer

START_SECONDS = 60.0
"""Seconds that a service may take to serve."""
REFUSED = 2
"""Exit code of a service that does not accept a setting."""


class Broken(Exception):
    """A measurement that does not count: something was lost, doubled or early."""


class Skipped(Exception):
    """A measurement that cannot be made here, and why."""


@dataclass
class Sample:
    """One measurement."""

    figures: dict[str, float]
    jobs: int = 0
    """What the CPU is divided by."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds of CPU by part: service, valkey, kafka, client, reader."""
    late: list[float] = field(default_factory=list)
    """Distribution of lateness in ms."""


class Meter(NamedTuple):
    """Processes whose CPU is counted, by part; and a profile of the first one, if it is wanted."""

    parts: Mapping[str, int]
    profile: Profile | None = None

    @contextmanager
    def counting(self) -> Iterator[dict[str, float]]:
        """The measurement: afterwards the seconds of CPU that each part used meanwhile."""
        before = {part: cpu_seconds(pid) for part, pid in self.parts.items()}
        used: dict[str, float] = {}
        yield used
        used.update({part: cpu_seconds(self.parts[part]) - was for part, was in before.items()})
        if self.profile:
            self.profile.end()


class Site:
    """One Kafka, one Valkey that loses nothing it has answered, and a folder for the rest."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.pauses = folder / "pauses.log"
        """Of Kafka's garbage collector."""
        self.kafka = KafkaServer(folder / "kafka", quick_start=False, pauses=self.pauses)
        # A rewrite of the log in the middle of a measurement would be somebody else's work.
        self.valkey = ValkeyServer(folder / "valkey", "--auto-aof-rewrite-percentage", "0")
        for server in (self.kafka, self.valkey):
            server.directory.mkdir()
            stack.callback(server.stop)
            server.start()
        self.store: redis.Redis = redis.Redis.from_url(self.valkey.url, socket_timeout=600)
        self.admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 2})
        self.client = stack.enter_context(Actor.python("client", "client", folder))
        self.reader = stack.enter_context(Actor.python("reader", "reader", folder))
        self.serve: Sequence[str] = SERVE
        """The command of the product's process."""
        self.label = ""
        """What is measured."""
        self.round = 0
        """How many rounds of it came before."""
        self.profile: tuple[Path, str] | None = None
        """Where profiles go, and their format."""
        self.profiles: list[Path] = []
        self.steps: Path | None = None
        """Where the product leaves the time stamps of its runs; None: it takes none."""
        self._numbers = itertools.count(1)

    def file(self, name: str) -> Path:
        """A file that nobody else uses."""
        return self.folder / f"{self.number()}-{name}"

    def number(self) -> int:
        """A number that nobody else uses."""
        return next(self._numbers)

    def meter(self, **parts: int) -> Meter:
        """Counts both servers, both helpers and `parts`."""
        servers = {"valkey": self.valkey.process.pid, "kafka": self.kafka.process.pid}
        helpers = {"client": self.client.pid, "reader": self.reader.pid}
        profile = None
        if self.profile and "service" in parts:
            folder, form = self.profile
            path = folder / f"profile-{self.label}.{SUFFIX[form]}"
            self.profiles = [each for each in self.profiles if each != path] + [path]
            profile = Profile(parts["service"], path, form)
        return Meter({**parts, **servers, **helpers}, profile)

    def versions(self) -> dict[str, str]:
        """Of the servers."""
        server = self.store.info("server")
        return {
            "Kafka": jars().name.rpartition("-")[2],
            "Valkey": str(server.get("valkey_version") or server["redis_version"]),
        }

    def take_steps(self) -> None:
        """From now on the product notes the steps of each run."""
        self.steps = self.folder / "steps.json"
        os.environ[steps.FILE] = str(self.steps)
        self.serve = (sys.executable, "-m", "bench.stamped", "serve")

    def steps_of_runs(self) -> str:
        """Which step made the runs late that the reader has judged last; empty: not asked for."""
        if self.steps is None:
            return ""
        arrivals = self.file("arrivals.json")
        self.reader.ask("arrivals", path=str(arrivals))
        return steps.report(arrivals, self.steps, self.pauses)

    def clean(self) -> None:
        """An empty Valkey with a short log, and a Kafka without the topics of before."""
        self.reader.ask("close")
        self.store.flushall()
        self.store.bgrewriteaof()
        while self.store.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.02)
        topics = [name for name in self.admin.list_topics(timeout=30).topics if name[:2] != "__"]
        if topics:
            for future in self.admin.delete_topics(topics).values():
                future.result()

    def make_topics(self, *names: str) -> None:
        """With one partition each, as the product makes them."""
        made = self.admin.create_topics([NewTopic(name, 1, 1) for name in names])
        for future in made.values():
            future.result()

    def product(self, **settings: str) -> Product:
        """The product under names of its own; `settings`: `delivery="at_least_once"`, or OTEL_*."""
        return Product(self, settings)

    @contextmanager
    def bare(self, *, exactly_once: bool = True) -> Iterator[tuple[Actor, Sequence[str]]]:
        """The bare loop and its topics: jobs, resources, journal, position."""
        tag = f"bare-{self.number()}"
        topics = [f"{tag}.{name}" for name in ("jobs", "resources", "journal", "position")]
        self.make_topics(*topics)
        with Actor.python("bare", "bare", self.folder) as actor:
            place = {"bootstrap": self.kafka.bootstrap, "url": self.valkey.url}
            actor.ask("open", **place, topics=topics, exactly_once=exactly_once)
            yield actor, topics

    def watch(self, topic: str, key: str = "queuedJob") -> None:
        """The reader reads this topic from its start."""
        self.reader.ask("watch", bootstrap=self.kafka.bootstrap, topic=topic, key=key)


class Product:
    """One replica of the service, and the jobs that were submitted to it.

    It serves from entering on, unless it was started before.
    """

    def __init__(self, site: Site, settings: Mapping[str, str]) -> None:
        self.site = site
        self.settings = settings
        self.names = Names.unique()
        self.service = self.replica()

    def replica(self) -> Service:
        """One more, which is not started."""
        environment = {_variable(name): text for name, text in self.settings.items()}
        return Service(
            self.names,
            self.site.file("service.log"),
            bootstrap=self.site.kafka.bootstrap,
            redis_url=self.site.valkey.url,
            # An installed service runs from compiled files, whatever who measures has set.
            settings={
                "SCHEDULING_LOG_LEVEL": "info",
                "PYTHONDONTWRITEBYTECODE": "",
                **environment,
            },
            command=self.site.serve,
        )

    def __enter__(self) -> Self:
        try:
            if not self.service.process.alive:
                self.service.launch()
            self.service.wait_until_serving(START_SECONDS)
        except RuntimeError as fault:
            if self.settings and self.service.process.exit_code == REFUSED:
                raise Skipped(f"this version refuses {dict(self.settings)}") from fault
            raise
        self.site.client.ask("connect", address=self.service.address)
        return self

    def __exit__(self, *_fault: object) -> None:
        self.site.client.ask("disconnect")
        if self.service.process.alive:
            self.service.process.end(30)

    def stop(self) -> None:
        """In order."""
        self.site.client.ask("disconnect")
        self.service.stop()

    @property
    def pid(self) -> int:
        """Of the service."""
        return self.service.process.pid

    def key(self, name: str) -> str:
        """A key of the only shard."""
        return f"{self.names.namespace}:{{0}}:{name}"

    def submit(self, first: float, step: float, count: int, size: int = 500) -> Reply:
        """Jobs due from `first` on; returns what the client measured."""
        self.site.client.ask("prepare", first=first, step=step, count=count, size=size)
        return self.site.client.ask("submit", in_flight=8)

    def answered(self, count: int) -> Path:
        """The file of the ids that were answered. Raises `Broken` unless there are `count`."""
        path = self.site.file("ids")
        told = self.site.client.ask("ids", path=str(path))
        if told["different"] != count:
            raise Broken(f"{count} jobs were sent, {told['different']} ids answered")
        return path

    def waiting(self) -> int:
        """Jobs in the store."""
        return int(self.site.store.hlen(self.key("jobs")))

    def until_published(self) -> None:
        """Until the outbox is empty, but for markers."""
        while self.site.store.llen(self.key("outbox")) > 100:  # markers may wait
            time.sleep(0.02)


def _variable(name: str) -> str:
    return name if name.startswith("OTEL_") else f"SCHEDULING_{name.upper()}"


def honest(name: str, verdict: Reply) -> None:
    """Raises `Broken` when something was lost, doubled, early or strange."""
    faults = {word: verdict.get(word, 0) for word in ("lost", "doubled", "early", "strange")}
    if any(faults.values()):
        raise Broken(f"{name}: {faults}")
