"""Workers that are killed all the time, and a service that is killed meanwhile.

WORKER_RUNS=100000 is what `make accept-worker` asks for.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.client import contract
from tests.client.counting_worker import SETTINGS
from tests.e2e.product import Product, fresh
from tests.harness.fork_server import ForkServer
from tests.harness.process import Process
from tests.harness.waiting import eventually

RUNS = int(os.environ.get("WORKER_RUNS", "4000"))
IN_A_LIST = 1_000
KILL_SECONDS = 2.0
SERVICE_EVERY = 3
"""The service is killed after every third worker, with jobs that it has just taken in."""
STOCK = 20_000
"""Runs that wait at most. A worker that starts reads all that wait, and begins no run before."""
TIMEOUT_SECONDS = 7_200


class Workers:
    """Processes of one worker. They are forked, so that a start is no import."""

    def __init__(
        self, server: ForkServer, folder: Path, product: Product, kind: str, **options: str
    ) -> None:
        given = {
            "name": fresh("worker"),
            "kafka": product.bootstrap,
            "topic": product.names.jobs,
            "kind": kind,
            **options,
        }
        self._environment = {**os.environ, SETTINGS: json.dumps(given)}
        self._server, self._folder = server, folder
        self.all: list[Process] = []
        self._begins: dict[str, int] = {}
        """Where the log of the latest start begins. An earlier one may have no line of its own."""

    def start(self) -> Process:
        process = Process(f"worker-{len(self.all)}", self._folder / f"w{len(self.all)}.log")
        self.restart(process)
        self.all.append(process)
        return process

    def restart(self, process: Process) -> None:
        self._begins[process.name] = process.log.stat().st_size if process.log.exists() else 0
        process.adopt(self._server.fork(self._environment, process.log))

    def has_started(self, process: Process) -> bool:
        """Before, SIGTERM ends the interpreter and not the worker."""
        return b'"worker started"' in process.log.read_bytes()[self._begins[process.name] :]

    def end(self, process: Process) -> None:
        eventually(lambda: self.has_started(process), what=f"the start of {process.name}")
        process.terminate()
        assert process.wait() == 0, process.tail()

    def stop(self) -> None:
        for process in self.all:
            if process.alive:
                self.end(process)


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    """Of workers that count."""
    server = ForkServer("tests.client.counting_worker")
    yield server
    server.close()


def create(product: Product, kind: str, count: int) -> None:
    left = count
    while left:
        size = min(left, IN_A_LIST)
        product.client.create(*(contract.job(type=kind, now=True) for _ in range(size)))
        left -= size


class Answers:
    """The occurrences that have an answer on the topic."""

    def __init__(self, product: Product) -> None:
        self._reader = product.reader
        self._read = 0
        self._found: set[str] = set()

    def look(self) -> set[str]:
        self._reader.drain()
        for record in self._reader.records[self._read :]:
            if record.key == "jobDone":
                self._found.add(record.headers["occurrence-id"])
        self._read = len(self._reader.records)
        return self._found


class Kills(NamedTuple):
    """What workers did that were killed until all runs were handled."""

    handled: Counter[str]
    kills: int
    in_flight: int
    """Runs that had been begun at a kill, and had no answer on the topic."""


def through_kills(
    product: Product, workers: Workers, kind: str, handled: Callable[[], Counter[str]]
) -> Kills:
    answers, began = Answers(product), time.monotonic()
    worker, kills, created, in_flight = workers.start(), 0, 0, 0
    done: Counter[str] = Counter()
    while len(done) < RUNS:
        more = min(STOCK - created + len(done), RUNS - created)
        create(product, kind, more)
        created += more
        if kills % SERVICE_EVERY == 1:
            product.service.kill()
            product.service.start()
        time.sleep(KILL_SECONDS)
        worker.kill()
        kills += 1
        done = handled()
        in_flight += len(done.keys() - answers.look())
        workers.restart(worker)
    eventually(lambda: len(answers.look()) == RUNS, what="an answer to each run")
    took = time.monotonic() - began
    workers.stop()
    found = Kills(handled(), kills, in_flight)
    repeats = sum(found.handled.values()) - RUNS
    print(  # noqa: T201
        f"\n{RUNS} runs in {took:.0f} s, {kills} kills, {in_flight} in flight, {repeats} repeats"
    )
    return found
