"""Redis fails over, or is not what it should be: before the first serving and after it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, tomorrow
from tests.e2e.test_outage import assert_becomes_unready, assert_says, assert_unavailable
from tests.harness.fixtures import StartService
from tests.harness.pair import ValkeyPair
from tests.harness.valkey import ValkeyServer


@pytest.fixture(scope="module")
def shared_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyPair]:
    with ValkeyPair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(shared_pair: ValkeyPair) -> ValkeyPair:
    """A primary and a replica in step."""
    shared_pair.follow()
    return shared_pair


def text_of(product: Product) -> str:
    return product.service.log.read_text()


# --- after the first serving ---


@pytest.mark.parametrize("cut", [False, True])
def test_it_lives_through_a_failover_and_back(deploy: Deploy, pair: ValkeyPair, cut: bool) -> None:
    """Both servers are the primary in turn; its connections stay, or are closed."""
    product = deploy(2, valkey=pair)
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, interval="200 ms"))
    seen = 0
    for _ in range(2):
        seen = len(product.runs_so_far(kind)) + 5
        product.run(kind, seen)
        pair.fail_over(cut=cut)
        product.run(kind, len(product.runs_so_far(kind)) + 5)
    for replica in product.replicas:
        assert replica.process.alive
        replica.wait_until_serving()
    product.client.delete(job_id)
    runs = product.runs_so_far(kind)
    nominals = [run.nominal for run in runs]
    assert nominals == [nominals[0] + 200 * number for number in range(len(nominals))]
    assert "Traceback" not in text_of(product)


def test_a_primary_that_was_demoted_is_waited_for(deploy: Deploy, pair: ValkeyPair) -> None:
    """It takes no writes: nothing of what it still holds is shown or believed."""
    product = deploy(valkey=pair)
    product.client.create(contract.job(id=fresh(), when=tomorrow()))
    kind, job_id = fresh("type"), fresh()
    due = product.create_in(2_000, contract.job(id=job_id, type=kind))
    with pair.primary.client() as client:
        client.replicaof("127.0.0.1", str(pair.replica.port))
        product.service.wait_until_not_serving()
        assert_becomes_unready(product)
        assert_unavailable(product)
        assert_says(product, "read-only replica")
        client.replicaof("NO", "ONE")
    product.service.wait_until_serving()
    run = product.run(kind)
    run.assert_not_early(due)
    assert "Traceback" not in text_of(product)


# --- before it ---

WITHOUT_ZADD = "default on nopass ~* &* +@all -zadd"


def test_a_replica_is_waited_for_at_the_start(deploy: Deploy, pair: ValkeyPair) -> None:
    product = deploy(start=False, valkey=pair)
    with pair.primary.client() as client:
        client.replicaof("127.0.0.1", str(pair.replica.port))
        product.service.launch()
        assert_says(product, "read-only replica")
        assert product.service.process.alive
        client.replicaof("NO", "ONE")
    product.service.wait_until_serving()


@pytest.mark.parametrize(
    ("options", "address", "words"),
    [
        ((), "redis://127.0.0.1:{}/99", "db index is out of range"),
        ((), "redis://nobody:wrong@127.0.0.1:{}/0", "invalid username-password"),
        (("--requirepass", "secret"), "redis://127.0.0.1:{}/0", "authentication required"),
        (("--user", *WITHOUT_ZADD.split()), "redis://127.0.0.1:{}", "zadd"),
        (("--cluster-enabled", "yes"), "redis://127.0.0.1:{}/0", "cluster mode"),
        ((), "redis://127.0.0.1:{}/0?protocol=3", "protocol"),
        ((), "redis://127.0.0.1:{}/0?decode_responses=true", "decode_responses"),
        ((), "rediss://127.0.0.1:{}/0?ssl_ca_certs=/nowhere.pem", "no such file"),
    ],
)
def test_what_an_operator_has_to_change_ends_it_with_a_sentence(
    service: StartService, tmp_path: Path, options: tuple[str, ...], address: str, words: str
) -> None:
    server = ValkeyServer(tmp_path / "valkey", *options)
    server.launch()
    try:
        replica = service(start=False)
        replica.settings["SCHEDULING_REDIS_URL"] = address.format(server.port)
        replica.launch()
        assert replica.exit_code() == 2
        text = replica.log.read_text()
        assert "Traceback" not in text
        sentence = text.splitlines()[-1]
        assert sentence.startswith("scheduling-srv: ")
        assert words in sentence.lower()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """It forbids all that is only useful."""
    rules = "default on nopass ~* &* +@all -info -pubsub -client"
    folder = tmp_path_factory.mktemp("restricted")
    server = ValkeyServer(folder, "--user", *rules.split())
    server.launch()
    yield server
    server.stop()


def test_a_user_without_what_is_only_useful_will_do(
    restricted: ValkeyServer, deploy: Deploy
) -> None:
    """INFO, PUBSUB and CLIENT forbidden: told, and gone without."""
    product = deploy(2, valkey=restricted)
    assert_says(product, "redis forbids a useful command")
    kind, job_id = fresh("type"), fresh()
    product.client.create(contract.job(id=job_id, type=kind, interval="200 ms"))
    product.run(kind, 3)
    product.client.delete(job_id)
    product.finish(kind)
    product.settle()


def test_a_right_that_is_taken_away_is_waited_for(deploy: Deploy, pair: ValkeyPair) -> None:
    """After the first serving nothing that Redis does ends the process."""
    product = deploy(valkey=pair)
    with pair.primary.client() as client:
        for rules in (("-pexpire",), ("-@all", "+acl", "+info", "+ping")):
            client.execute_command("ACL", "SETUSER", "default", *rules)
            product.service.wait_until_not_serving()
            assert_becomes_unready(product)
            assert_unavailable(product)
            client.execute_command("ACL", "SETUSER", "default", "+@all")
            product.service.wait_until_serving()
    kind = fresh("type")
    product.client.create(contract.job(type=kind, now=True))
    product.done(product.run(kind))
    product.settle()
    assert "Traceback" not in text_of(product)
