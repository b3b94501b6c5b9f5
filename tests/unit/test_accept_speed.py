"""A goal of speed is met, known as not reached, missed or not measured; nothing else."""

import pytest

from accept.speed import KNOWN, MET, MISSED, PLAN, UNKNOWN, judged, table
from accept.speed_limits import LIMITS, Limit
from bench.__main__ import ALL
from bench.results import Results
from bench.site import Sample
from bench.workloads import BARE, PRODUCT

GOAL = "fire rate >= 65% of the bare loop"


def verdict(product: float | None, limits: dict[str, Limit]) -> str:
    """Of firing beside a bare loop of 100,000 runs a second."""
    found = Results()
    if product is not None:
        samples = {PRODUCT: [Sample({"rate": product})], BARE: [Sample({"rate": 100_000.0})]}
        found.add("fire", 1.0, samples, {})
    (line,) = [each for each in judged(found, limits) if each.goal == GOAL]
    return line.verdict


@pytest.mark.parametrize(
    ("product", "limits", "expected"),
    [
        (65_000.0, {}, MET),
        (64_000.0, {}, MISSED),
        (None, {}, UNKNOWN),
        (60_000.0, {GOAL: Limit(58_000, 65_000, "Lua.")}, KNOWN),
        (52_000.0, {GOAL: Limit(58_000, 65_000, "Lua.")}, KNOWN),
        (48_000.0, {GOAL: Limit(58_000, 65_000, "Lua.")}, MISSED),
        (70_000.0, {GOAL: Limit(58_000, 65_000, "Lua.")}, MET),
    ],
)
def test_a_goal_is_judged(product: float | None, limits: dict[str, Limit], expected: str) -> None:
    assert verdict(product, limits) == expected


def test_each_known_limit_is_of_a_goal() -> None:
    assert set(LIMITS) <= {line.goal for line in judged(Results())}


def test_each_planned_workload_is_measured_with_its_contenders() -> None:
    known = {workload.name: workload for workload in ALL}
    for name, (_, contenders) in PLAN.items():
        assert set(contenders) <= set(known[name].contenders)


def test_the_table_has_a_line_a_goal() -> None:
    lines = judged(Results())
    assert len(table(lines).splitlines()) == 1 + len(lines)
