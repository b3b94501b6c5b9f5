"""Runs through workers that are killed all the time, and a service that is killed meanwhile.

WORKER_RUNS=100000 is what `make accept-worker` asks for.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import create_engine, text

from tests.client import contract
from tests.client.topics import make_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh
from tests.harness.given import Store
from tests.harness.kafka import KafkaServer
from tests.harness.postgres import PostgresServer, binaries
from tests.harness.process import Process
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7_200)]
RUNS = int(os.environ.get("WORKER_RUNS", "4000"))
IN_A_LIST = 1_000
KILL_SECONDS = 2.0


class Workers:
    """Processes of one worker."""

    def __init__(self, folder: Path, product: Product, kind: str, **options: str) -> None:
        given = {
            "name": fresh("worker"),
            "kafka": product.bootstrap,
            "topic": product.names.jobs,
            "kind": kind,
            **options,
        }
        self._command = [sys.executable, "-m", "tests.client.counting_worker"]
        self._command += [f"{name}={value}" for name, value in given.items()]
        self._folder = folder
        self.all: list[Process] = []
        self.spawned: Counter[str] = Counter()

    def start(self) -> Process:
        process = Process(f"worker-{len(self.all)}", self._folder / f"w{len(self.all)}.log")
        self._spawn(process)
        self.all.append(process)
        return process

    def _spawn(self, process: Process) -> None:
        process.spawn(self._command)
        self.spawned[process.name] += 1

    def has_started(self, process: Process) -> bool:
        """Before, SIGTERM ends the interpreter and not the worker."""
        return process.log.read_text().count('"worker started"') == self.spawned[process.name]

    def restart(self, process: Process) -> None:
        self._spawn(process)

    def end(self, process: Process) -> None:
        eventually(lambda: self.has_started(process), what=f"the start of {process.name}")
        process.terminate()
        assert process.wait() == 0, process.tail()

    def stop(self) -> None:
        for process in self.all:
            if process.alive:
                self.end(process)


def create(product: Product, kind: str, count: int) -> None:
    left = count
    while left:
        size = min(left, IN_A_LIST)
        product.client.create(*(contract.job(type=kind, now=True) for _ in range(size)))
        left -= size


class Kills(NamedTuple):
    """What workers did that were killed until all runs were handled."""

    handled: Counter[str]
    kills: int
    in_flight: int
    """Runs that had been begun at a kill, and had no answer on the topic."""


def through_kills(
    product: Product, workers: Workers, kind: str, handled: Callable[[], Counter[str]]
) -> Kills:
    create(product, kind, RUNS)
    worker, kills, in_flight = workers.start(), 0, 0
    while len(handled()) < RUNS:
        time.sleep(KILL_SECONDS)
        worker.kill()
        kills += 1
        in_flight += len(handled().keys() - answered(product))
        workers.restart(worker)
        if kills % 3 == 1:
            product.service.kill()
            product.service.start()
    eventually(lambda: len(answered(product)) == RUNS, what="an answer to each run")
    workers.stop()
    found = Kills(handled(), kills, in_flight)
    repeats = sum(found.handled.values()) - RUNS
    print(f"\n{RUNS} runs, {kills} kills, {in_flight} in flight, {repeats} repeats")  # noqa: T201
    return found


def answered(product: Product) -> set[str]:
    """The occurrences that have an answer on the topic."""
    product.reader.drain()
    return {record.headers["occurrence-id"] for record in product.reader.of("jobDone")}


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(tmp_path / "postgres.log")
    server.start()
    yield server.url
    server.stop()


@pytest.mark.parametrize("kind_of_database", ["sqlite", "postgres"])
def test_an_effect_in_the_transaction_of_its_occurrence_happens_once(
    kind_of_database: str, deploy: Deploy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    product, kind = deploy(), fresh("kills")
    if kind_of_database == "postgres":
        url = request.getfixturevalue("postgres")
    else:
        url = f"sqlite:///{tmp_path}/effects.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        if kind_of_database == "sqlite":
            connection.execute(text("PRAGMA journal_mode = WAL"))
        connection.execute(text("CREATE TABLE effects (occurrence VARCHAR(700))"))

    def handled() -> Counter[str]:
        with engine.begin() as connection:
            rows = connection.execute(text("SELECT occurrence FROM effects"))
            return Counter(row[0] for row in rows)

    workers = Workers(tmp_path, product, kind, store="memory", database=url)
    found = through_kills(product, workers, kind, handled)
    engine.dispose()
    assert set(found.handled.values()) == {1}
    assert len(found.handled) == RUNS


@pytest.mark.parametrize("store", ["memory", "sqlite", "redis"])
def test_only_runs_in_flight_are_repeated(
    store: str, deploy: Deploy, valkey: Store, tmp_path: Path
) -> None:
    product, kind, log = deploy(), fresh("kills"), tmp_path / "handled"
    log.touch()
    where = {"memory": "", "sqlite": f":{tmp_path}/handled.sqlite", "redis": f":{valkey.url}"}[
        store
    ]
    workers = Workers(tmp_path, product, kind, store=store + where, log=str(log))
    found = through_kills(product, workers, kind, lambda: Counter(log.read_text().splitlines()))
    assert len(found.handled) == RUNS
    assert sum(found.handled.values()) - RUNS <= found.in_flight


def test_three_workers_share_the_runs_while_they_come_and_go(
    deploy: Deploy, kafka: KafkaServer, tmp_path: Path
) -> None:
    """In order, a rebalance does no run again."""
    product = deploy(start=False)
    make_topic(kafka.bootstrap, product.names.jobs, partitions=6)
    product.service.start()
    kind, log = fresh("shared"), tmp_path / "handled"
    log.touch()
    workers = Workers(tmp_path, product, kind, store="memory", log=str(log))
    ends = [workers.start() for _ in range(2)]
    create(product, kind, RUNS // 2)
    workers.start()
    create(product, kind, RUNS // 2)
    for process in ends:
        workers.end(process)

    def handled() -> Counter[str]:
        return Counter(log.read_text().splitlines())

    eventually(lambda: len(handled()) == RUNS, what=lambda: f"{len(handled())} of {RUNS}")
    workers.stop()
    assert sum(handled().values()) == RUNS


def test_a_restart_of_the_broker_loses_no_run(
    deploy: Deploy, breakable_kafka: KafkaServer, tmp_path: Path
) -> None:
    product = deploy(kafka=breakable_kafka)
    kind, log = fresh("broker"), tmp_path / "handled"
    log.touch()
    workers = Workers(tmp_path, product, kind, store="memory", log=str(log))
    workers.start()
    create(product, kind, RUNS)
    eventually(lambda: log.stat().st_size > 0, what="a run")
    breakable_kafka.kill()
    breakable_kafka.start()

    def handled() -> Counter[str]:
        return Counter(log.read_text().splitlines())

    eventually(lambda: len(handled()) == RUNS, what=lambda: f"{len(handled())} of {RUNS}")
    eventually(lambda: len(answered(product)) == RUNS, what="an answer to each run")
    workers.stop()
    assert sum(handled().values()) == RUNS
