"""The contenders, and how each is started, killed and started again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.actors import Actor
from bench.contenders import postgres
from bench.contenders.install import GO, NODE, PYTHON, Kind, NotInstalled
from bench.site import Broken, Site, Skipped

IN_FLIGHT, BATCH = 8, 500
"""Calls in flight, and jobs of a call."""


@dataclass(frozen=True)
class Rival:
    """A contender."""

    name: str
    title: str
    kind: Kind
    file: str
    """Its program."""
    package: str
    """Its name in the lock of its kind."""
    pace: int
    """Jobs a second that it surely takes in: how long before they are due they are sent."""
    recovery_seconds: float
    """Without a run after a kill, until none comes back that was under way."""
    lead_seconds: float = 2.0
    """Between its last job that is sent and the first that is due."""
    postgres: bool = False
    """Keeps its jobs in PostgreSQL, not in Valkey."""

    @contextmanager
    def running(self, site: Site) -> Iterator[Running]:
        """Its program, connected to servers without jobs. Raises `Skipped`."""
        topic = f"{self.name}-{site.number()}"
        site.make_topics(topic)
        host, port, bootstrap = "127.0.0.1", site.valkey.port, site.kafka.bootstrap
        place = {"host": host, "port": port, "bootstrap": bootstrap, "topic": topic}
        parts: dict[str, int] = {}
        with ExitStack() as stack:
            try:
                command = self.kind.command(self.file)
                if self.postgres:
                    server = stack.enter_context(postgres.server())
                    place["postgres"], parts["postgres"] = server.url, server.pid
            except NotInstalled as why:
                raise Skipped(str(why)) from why
            log = site.folder / f"{self.name}.log"
            with Running(self.name, command, log, place, parts) as running:
                yield running


class Running:
    """The process of a contender."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        place: Mapping[str, Any],
        parts: Mapping[str, int],
    ) -> None:
        self.topic: str = place["topic"]
        """Where its worker produces to."""
        self.parts = parts
        """Process ids of servers of its own."""
        self._program = (name, command, log)
        self._place = place
        self._open()

    def _open(self) -> None:
        self.actor = Actor(*self._program)
        try:
            self.actor.ask("open", **self._place)
        except BaseException:
            self.actor.__exit__()
            raise

    def submit(self, first: float, step: float, count: int) -> float:
        """Seconds that it took to take in the jobs."""
        self.actor.ask("prepare", first=first, step=step, count=count)
        return float(self.actor.ask("submit", size=BATCH, in_flight=IN_FLIGHT)["seconds"])

    def accepted(self, path: Path, count: int) -> Path:
        """A file of the ids of its jobs. Raises `Broken` unless there are `count`."""
        if self.actor.ask("ids", path=str(path))["different"] != count:
            raise Broken(f"{self.actor.name} did not take all jobs")
        return path

    def crash(self) -> None:
        """SIGKILL; then start it again."""
        self.actor.kill()
        self._open()
        self.actor.ask("start")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        self.actor.__exit__()


BULLMQ = Rival("bullmq", "BullMQ", NODE, "bull", "/bullmq", 15_000, 65.0)
DOCKET = Rival("docket", "docket", PYTHON, "docket_queue", "pydocket", 6_000, 20.0)
APSCHEDULER = Rival(
    "apscheduler",
    "APScheduler",
    PYTHON,
    "apscheduler_queue",
    "APScheduler",
    1_000,
    5.0,
    postgres=True,
)
RIVER = Rival(
    "river",
    "River",
    GO,
    "river",
    "riverqueue/river",
    15_000,
    60.0,
    # Every 5 s it makes jobs ready that are due within 5 s.
    lead_seconds=6.0,
    postgres=True,
)
RIVALS = (BULLMQ, DOCKET, APSCHEDULER, RIVER)


def versions() -> dict[str, str]:
    """Of all contenders, by title."""
    return {each.title: each.kind.version(each.package) for each in RIVALS}
