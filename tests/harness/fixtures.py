"""The fixtures that hand out servers, names and replicas."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.harness.fork_server import shared
from tests.harness.given import GivenKafka, GivenStore, Kafka, Store
from tests.harness.kafka import KafkaServer
from tests.harness.leaks import leaked_keys
from tests.harness.names import Names
from tests.harness.process import Process
from tests.harness.service import PATIENT, SERVE, Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

PROCESSES: pytest.StashKey[list[Process]] = pytest.StashKey()
"""Whose logs belong into the report when the test fails."""

USED: pytest.StashKey[set[tuple[str, Names]]] = pytest.StashKey()
"""Which stores the test's replicas used, by URL, and under which names."""


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """KAFKA_BOOTSTRAP_SERVERS, or a server of our own; shared, so do not break it."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    server: Kafka = GivenKafka(given) if given else request.getfixturevalue("own_kafka")
    return server


@pytest.fixture(scope="session")
def valkey(request: pytest.FixtureRequest) -> Store:
    """REDIS_URL, or a server of our own; shared, so do not break it."""
    given = os.environ.get("REDIS_URL")
    server: Store = GivenStore(given) if given else request.getfixturevalue("own_valkey")
    return server


@pytest.fixture
def breakable_kafka(
    own_kafka: KafkaServer, request: pytest.FixtureRequest
) -> Iterator[KafkaServer]:
    """A Kafka that may be killed and paused; it runs again when the test is over."""
    _watch(request, own_kafka.process)
    yield own_kafka
    own_kafka.restore()


@pytest.fixture
def breakable_valkey(
    own_valkey: ValkeyServer, request: pytest.FixtureRequest
) -> Iterator[ValkeyServer]:
    """A Valkey that may be killed, paused and flushed; it runs again when the test is over."""
    _watch(request, own_valkey.process)
    yield own_valkey
    own_valkey.restore()


@pytest.fixture
def names() -> Names:
    """Namespace, topics and Kafka identities that no other test uses."""
    return Names.unique()


class StartService(Protocol):
    """Makes a replica of the product, and starts it unless told otherwise."""

    def __call__(
        self,
        *,
        start: bool = True,
        kafka: Kafka | None = None,
        valkey: Store | None = None,
        names: Names | None = None,
        command: tuple[str, ...] = SERVE,
        fork: bool = True,
        **settings: str,
    ) -> Service:
        """`settings`: `lease="1s"` becomes SCHEDULING_LEASE=1s.

        `fork`: without the second that the imports take.
        """


@pytest.fixture
def service(
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Iterator[StartService]:
    """Replicas that share this test's names; what still runs is stopped, and must exit with 0."""
    made: list[Service] = []

    def make(
        *,
        start: bool = True,
        kafka: Kafka | None = None,
        valkey: Store | None = None,
        names: Names | None = None,
        command: tuple[str, ...] = SERVE,
        fork: bool = True,
        **settings: str,
    ) -> Service:
        replica = Service(
            names or request.getfixturevalue("names"),
            tmp_path / f"replica-{len(made) + 1}.log",
            bootstrap=(kafka or request.getfixturevalue("kafka")).bootstrap,
            redis_url=(valkey or request.getfixturevalue("valkey")).url,
            settings={
                **PATIENT,
                **{f"SCHEDULING_{name.upper()}": value for name, value in settings.items()},
            },
            command=command,
            fork_server=shared() if fork else None,
        )
        made.append(replica)
        request.node.stash.setdefault(USED, set()).add((replica.redis_url, replica.names))
        _watch(request, replica.process)
        if start:
            replica.start()
        return replica

    yield make
    _stop_all(made)


@pytest.fixture(autouse=True)
def no_leaked_keys(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test of the product, Redis holds nothing for jobs that are gone."""
    yield
    for url, names in sorted(request.node.stash.get(USED, set())):
        _until_nothing_leaks(url, names)


def _until_nothing_leaks(url: str, names: Names) -> None:
    """A look is many calls. While a replica goes on, it may show half of a change."""
    with GivenStore(url).client() as client:
        eventually(
            lambda: leaked_keys(client, names) == [],
            what=lambda: f"no leaked keys, but {leaked_keys(client, names)}",
        )


def add_logs(item: pytest.Item, report: pytest.TestReport) -> None:
    """Puts the ends of the servers' logs into the report of a failed test."""
    if report.failed:
        for process in item.stash.get(PROCESSES, []):
            report.sections.append((f"log of {process.name}", process.tail(200)))


def _watch(request: pytest.FixtureRequest, process: Process) -> None:
    request.node.stash.setdefault(PROCESSES, []).append(process)


def _stop_all(replicas: list[Service]) -> None:
    """Each is ended, whatever the others do; the first failure is reported."""
    failures: list[Exception] = []
    for replica in replicas:
        try:
            _stop(replica)
        except (AssertionError, TimeoutError) as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup("replicas did not stop as promised", failures)


def _stop(replica: Service) -> None:
    if replica.process.alive:
        replica.resume()
        replica.stop()
