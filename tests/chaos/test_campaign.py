"""Short campaigns over all kinds of faults: `make chaos` at length.

Without jobs of scheduling.v1: their checker is young. `test_kills.py` has them, and so have
`make chaos` and `make accept-v1`.
"""

from pathlib import Path

import pytest

from chaos.campaign import Campaign, Options
from chaos.checker import table
from chaos.measure import report
from chaos.schedule import KINDS, kinds_for

SEED = 20180101


def endured(options: Options) -> set[str]:
    """The faults that were done; the rest must have been as promised."""
    outcome = Campaign(options).run()
    print(report(outcome.history))  # noqa: T201 - what the campaign was worth
    print(table(outcome.violations))  # noqa: T201
    assert outcome.violations == []
    return {fault.name for fault in outcome.history.faults}


@pytest.mark.slow
def test_all_faults_that_one_kafka_allows(tmp_path: Path) -> None:
    options = Options(tmp_path / "chaos", seed=SEED, seconds=80, scale=0.3, pace=0.6, v1=0)
    done = endured(options)
    assert done == {kind.name for kind in kinds_for(1)}


@pytest.mark.slow
def test_brokers_of_three_die(tmp_path: Path) -> None:
    options = Options(
        tmp_path / "chaos",
        seed=SEED,
        seconds=40,
        nodes=3,
        faults=("broker-kill", "kill-emitter", "kill-all", "freeze-emitter"),
        scale=0.3,
        pace=1.0,
        v1=0,
    )
    assert endured(options) == {*options.faults}


@pytest.mark.slow
def test_outages_longer_than_the_catch_up_window(tmp_path: Path) -> None:
    options = Options(
        tmp_path / "chaos",
        seed=SEED,
        seconds=30,
        faults=("outage", "flush-stopped", "cut"),
        pace=0.5,
        catch_up_window=10_000,
        v1=0,
    )
    assert endured(options) == {*options.faults}


@pytest.mark.slow
def test_runs_without_transactions_may_come_again_and_none_is_lost(tmp_path: Path) -> None:
    options = Options(
        tmp_path / "chaos",
        seed=SEED,
        seconds=35,
        faults=("kill-emitter", "kill-in-transaction", "freeze-emitter", "kafka-kill", "truncate"),
        scale=0.3,
        pace=0.6,
        delivery="at_least_once",
        margin=10_000,  # a busy machine emits for seconds what Kafka's last outage has left
        v1=0,
    )
    assert endured(options) == {*options.faults}


def test_every_kind_of_fault_is_in_one_of_them() -> None:
    assert {kind.name for kind in (*kinds_for(1), *kinds_for(3))} == {kind.name for kind in KINDS}
