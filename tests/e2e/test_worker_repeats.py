"""Runs through workers that are killed: with each store, only runs in flight are repeated."""

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import Deploy
from tests.e2e.product import fresh
from tests.e2e.worker_kills import RUNS, TIMEOUT_SECONDS, Workers, fork_server, through_kills
from tests.harness.given import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT_SECONDS)]


@pytest.mark.parametrize("store", ["memory", "sqlite", "redis"])
def test_only_runs_in_flight_are_repeated(
    store: str, deploy: Deploy, valkey: Store, tmp_path: Path
) -> None:
    product, kind, log = deploy(), fresh("kills"), tmp_path / "handled"
    log.touch()
    where = {"memory": "", "sqlite": f":{tmp_path}/handled.sqlite", "redis": f":{valkey.url}"}[
        store
    ]
    with fork_server() as server:
        workers = Workers(server, tmp_path, product, kind, store=store + where, log=str(log))
        found = through_kills(product, workers, kind, lambda: Counter(log.read_text().splitlines()))
    assert len(found.handled) == RUNS
    assert sum(found.handled.values()) - RUNS <= found.in_flight
