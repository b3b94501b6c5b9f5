"""Many runs of workers that come and go, and through a restart of the broker."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.topics import make_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import fresh
from tests.e2e.worker_kills import RUNS, TIMEOUT_SECONDS, Answers, Workers, create, fork_server
from tests.harness.fork_server import ForkServer
from tests.harness.kafka import KafkaServer
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT_SECONDS)]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with fork_server() as server:
        yield server


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where workers note what they do."""
    (tmp_path / "handled").touch()
    return tmp_path / "handled"


def handled(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines())


def all_are_handled(log: Path) -> None:
    eventually(lambda: len(handled(log)) == RUNS, what=lambda: f"{len(handled(log))} of {RUNS}")


def test_three_workers_share_the_runs_while_they_come_and_go(
    server: ForkServer, deploy: Deploy, kafka: KafkaServer, log: Path, tmp_path: Path
) -> None:
    """In order, a rebalance does no run again."""
    product = deploy(start=False)
    make_topic(kafka.bootstrap, product.names.jobs, partitions=6)
    product.service.start()
    kind = fresh("shared")
    workers = Workers(server, tmp_path, product, kind, store="memory", log=str(log))
    ends = [workers.start() for _ in range(2)]
    create(product, kind, RUNS // 2)
    workers.start()
    create(product, kind, RUNS // 2)
    for process in ends:
        workers.end(process)
    all_are_handled(log)
    workers.stop()
    assert sum(handled(log).values()) == RUNS


def test_a_restart_of_the_broker_loses_no_run(
    server: ForkServer, deploy: Deploy, breakable_kafka: KafkaServer, log: Path, tmp_path: Path
) -> None:
    product = deploy(kafka=breakable_kafka)
    kind = fresh("broker")
    workers = Workers(server, tmp_path, product, kind, store="memory", log=str(log))
    workers.start()
    create(product, kind, RUNS)
    eventually(lambda: log.stat().st_size > 0, what="a run")
    breakable_kafka.kill()
    breakable_kafka.start()
    answers = Answers(product)
    all_are_handled(log)
    eventually(lambda: len(answers.look()) == RUNS, what="an answer to each run")
    workers.stop()
    assert sum(handled(log).values()) == RUNS
