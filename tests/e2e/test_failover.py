"""Redis fails over, or is not what it should be: before the first serving and after it."""

from collections.abc import Iterator

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, in_ms, tomorrow
from tests.e2e.test_outage import RECOVERY, assert_says, assert_unavailable, ready_status
from tests.harness.pair import ValkeyPair


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
        product.run(kind, len(product.runs_so_far(kind)) + 5, timeout=RECOVERY)
    for replica in product.replicas:
        assert replica.process.alive
        replica.wait_until_serving(RECOVERY)
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
    due, when = in_ms(2_000)
    product.client.create(contract.job(id=job_id, type=kind, when=when))
    with pair.primary.client() as client:
        client.replicaof("127.0.0.1", str(pair.replica.port))
        product.service.wait_until_not_serving(RECOVERY)
        assert ready_status(product, "/readyz") == 503
        assert_unavailable(product)
        assert_says(product, "read-only replica")
        client.replicaof("NO", "ONE")
    product.service.wait_until_serving(RECOVERY)
    run = product.run(kind, timeout=RECOVERY)
    run.assert_not_early(due)
    assert "Traceback" not in text_of(product)
