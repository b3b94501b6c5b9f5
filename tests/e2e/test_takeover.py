"""Somebody emits again soon after the owner dies, restarts, hands over, or keeps silent.

`make bench ONLY=standby,restart,handover` measures how soon.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, now_ms
from tests.harness.given import Store
from tests.harness.service import Service
from tests.harness.waiting import eventually

PERIOD = 100
"""Milliseconds of the job's interval."""
CHANGES = 2


def owner_of(product: Product, store: Store) -> Service | None:
    """The replica that holds the lease: its process id is in the lease's token."""
    with store.client() as client:
        token = str(client.get(f"{product.names.namespace}:{{0}}:lease") or "")
    alive = [each for each in product.replicas if each.process.alive]
    return next((each for each in alive if f"-{each.process.pid}-" in token), None)


def settled_owner(product: Product, store: Store, kind: str) -> Service:
    """The owner, once all replicas serve and runs come."""
    for replica in product.replicas:
        replica.wait_until_serving()
    owner = eventually(lambda: owner_of(product, store), what="an owner")
    product.run(kind, len(product.runs_so_far(kind)) + 10)
    return owner


def begin(product: Product) -> str:
    kind = fresh("rhythm")
    product.client.create(contract.job(id=kind, type=kind, interval=f"{PERIOD} milliseconds"))
    return kind


def assert_each_once(product: Product, kind: str) -> None:
    nominals = [run.nominal for run in product.runs_so_far(kind)]
    assert {later - earlier for earlier, later in pairwise(nominals)} == {PERIOD}


def longest_pause(product: Product, kind: str, since: int) -> int:
    """Milliseconds between two runs, the latter after `since`."""
    written = [run.record.timestamp for run in product.runs(kind)]
    return max(later - earlier for earlier, later in pairwise(written) if later > since)


def restart(replica: Service) -> None:
    replica.kill()
    replica.launch()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replicas", "change"),
    [(2, Service.kill), (1, restart), (2, Service.stop)],
    ids=["standby", "restart", "handover"],
)
def test_there_is_soon_somebody_who_emits(
    deploy: Deploy, valkey: Store, replicas: int, change: Callable[[Service], None]
) -> None:
    """The lease of the former owner, which lasts longer, is not waited for."""
    product = deploy(replicas, lease="5m")
    kind = begin(product)
    for _ in range(CHANGES):
        owner, began = settled_owner(product, valkey, kind), now_ms()
        change(owner)
        product.run(kind, len(product.runs_so_far(kind)) + 10)
        assert longest_pause(product, kind, began) < 60_000
        if not owner.process.alive:
            owner.start()
    assert_each_once(product, kind)


@pytest.mark.slow
def test_a_silent_owner_is_replaced_when_its_lease_ends(deploy: Deploy, valkey: Store) -> None:
    """It is not dead, and may wake up: its connection is there, but it does not renew its lease."""
    product = deploy(2, lease="3s")  # on a busy machine an owner may lose a shorter one
    kind = begin(product)
    owner, began = settled_owner(product, valkey, kind), now_ms()
    owner.pause()
    product.run(kind, len(product.runs_so_far(kind)) + 100)
    assert longest_pause(product, kind, began) > 500
    assert owner_of(product, valkey) is not owner
    owner.resume()
    settled_owner(product, valkey, kind)
    assert_each_once(product, kind)
