"""Runs through workers that are killed: effects in the transaction of their occurrence."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.e2e.conftest import Deploy
from tests.e2e.product import fresh
from tests.e2e.worker_kills import RUNS, TIMEOUT_SECONDS, Workers, fork_server, through_kills
from tests.harness.postgres import PostgresServer, binaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT_SECONDS)]


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
            return Counter(connection.scalars(text("SELECT occurrence FROM effects")))

    with fork_server() as server:
        workers = Workers(server, tmp_path, product, kind, store="memory", database=url)
        found = through_kills(product, workers, kind, handled)
    engine.dispose()
    assert set(found.handled.values()) == {1}
    assert len(found.handled) == RUNS
