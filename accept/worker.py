"""The proof of the worker kit: `make accept-worker`. WORKER_RUNS sets the runs of each test."""

from __future__ import annotations

from accept.__main__ import Point

WORKER, KILLS = "tests/e2e/test_worker.py", "tests/e2e/test_worker_kills.py"
REPEATS, REBALANCES = "tests/e2e/test_worker_repeats.py", "tests/e2e/test_worker_rebalances.py"
UNIT, PACKAGING = "tests/unit/test_worker_kit.py", "tests/unit/test_packaging.py"

WORKERS = 3
"""Processes of pytest: kills wait for half of their time."""

POINTS = (
    Point(
        "1",
        "The kit is small, needs few packages, and no server.",
        [
            f"{PACKAGING}::test_the_client_needs_no_server",
            f"{PACKAGING}::test_the_client_installs_alone",
            f"{PACKAGING}::test_the_wheel_of_the_client_is_small",
        ],
    ),
    Point("2", "Functions get payloads of all kinds; a misfit is told without values.", [UNIT]),
    Point("3", "Runs are answered, bounded, timed out, stopped and scheduled.", [WORKER]),
    Point(
        "4",
        "Killed every 2 s: no effect happens twice in the transaction of its occurrence.",
        [f"{KILLS}::test_an_effect_in_the_transaction_of_its_occurrence_happens_once"],
    ),
    Point(
        "5",
        "Killed every 2 s: elsewhere only runs in flight are repeated.",
        [f"{REPEATS}::test_only_runs_in_flight_are_repeated"],
    ),
    Point(
        "6",
        "Three workers share the runs; an orderly rebalance does none again.",
        [f"{REBALANCES}::test_three_workers_share_the_runs_while_they_come_and_go"],
    ),
    Point(
        "7",
        "A restart of the broker loses no run.",
        [f"{REBALANCES}::test_a_restart_of_the_broker_loses_no_run"],
    ),
    Point(
        "8",
        "One process does at least 60 % of the empty runs of a bare loop.",
        commands=[["bench.worker", "--only", "pair"]],
    ),
    Point("9", "The examples run.", ["tests/examples/test_worker_examples.py"]),
    Point(
        "10",
        "From an empty directory, a function of one's own fires within five minutes.",
        ["tests/docs/test_readme.py::test_the_first_function_fires"],
        [["accept.newcomer"]],
    ),
)
