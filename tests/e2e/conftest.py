"""One deployment for a whole module where its tests can share it, one for a test where not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.product import Product
from tests.harness.fixtures import PROCESSES, USED, StartService
from tests.harness.fork_server import shared
from tests.harness.given import GivenStore, Kafka, Store
from tests.harness.leaks import leaked_keys
from tests.harness.names import Names
from tests.harness.service import PATIENT, Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """`{"lease": "1s"}` becomes SCHEDULING_LEASE=1s."""
    return {f"SCHEDULING_{name.upper()}": value for name, value in settings.items()}


@contextmanager
def deployed(
    directory: Path,
    kafka: Kafka,
    valkey: Store,
    settings: Mapping[str, str],
    *,
    replicas: int = 1,
    more: Mapping[str, str] | None = None,
) -> Iterator[Product]:
    """Replicas that serve. On leaving they must stop as promised and leave no key behind.

    `more` are environment variables with their whole names.
    """
    names = Names.unique()
    made = [
        Service(
            names,
            directory / f"replica-{number}.log",
            fork_server=shared(),
            bootstrap=kafka.bootstrap,
            redis_url=valkey.url,
            settings={**PATIENT, **environment(settings), **(more or {})},
        )
        for number in range(1, replicas + 1)
    ]
    try:
        for replica in made:
            replica.start()
        with Product(kafka.bootstrap, names, *made) as product:
            yield product
            _assert_reset_leaves_nothing(product, valkey.url)
        for replica in made:
            replica.stop()
    finally:
        for replica in made:
            if replica.process.alive:
                replica.kill()


def _assert_reset_leaves_nothing(product: Product, url: str) -> None:
    product.client.command("reset")
    with GivenStore(url).client() as client:
        eventually(
            lambda: not leaked_keys(client, product.names, idle=True),
            what=lambda: f"an empty store, but {leaked_keys(client, product.names, idle=True)}",
        )


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Redis of the module's own, which its tests may watch and empty."""
    server = ValkeyServer(tmp_path_factory.mktemp("own-valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """What the module's deployment is started with; a module may say otherwise."""
    return {}


@pytest.fixture(scope="module")
def deployment(
    kafka: Kafka,
    valkey: Store,
    settings: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Product]:
    """One replica for all tests of the module."""
    with deployed(tmp_path_factory.mktemp("e2e"), kafka, valkey, settings) as product:
        yield product


@pytest.fixture
def product(request: pytest.FixtureRequest, deployment: Product) -> Product:
    """The module's deployment; its log and its keys are looked at after each test."""
    watch(request, deployment)
    return deployment


def watch(request: pytest.FixtureRequest, product: Product) -> None:
    """The replicas' logs belong into this test's report, their keys are checked after it."""
    for replica in product.replicas:
        request.node.stash.setdefault(PROCESSES, []).append(replica.process)
        request.node.stash.setdefault(USED, set()).add((replica.redis_url, replica.names))


class Deploy(Protocol):
    """Makes replicas for one test, started unless told otherwise."""

    def __call__(
        self,
        replicas: int = 1,
        *,
        start: bool = True,
        kafka: Kafka | None = None,
        valkey: Store | None = None,
        **settings: str,
    ) -> Product: ...


@pytest.fixture
def deploy(service: StartService, kafka: Kafka, names: Names) -> Iterator[Deploy]:
    """Deployments of this test's own; all replicas share the test's names."""
    made: list[Product] = []
    shared = kafka

    def make(
        replicas: int = 1,
        *,
        start: bool = True,
        kafka: Kafka | None = None,
        valkey: Store | None = None,
        **settings: str,
    ) -> Product:
        services = [
            service(start=False, kafka=kafka or shared, valkey=valkey) for _ in range(replicas)
        ]
        for each in services:
            each.settings.update(environment(settings))
            if start:
                each.start()
        product = Product((kafka or shared).bootstrap, names, *services)
        made.append(product)
        return product

    yield make
    for product in made:
        product.__exit__()
