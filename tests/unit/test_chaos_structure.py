"""What judges the product does not know it; what is planned can be repeated."""

import ast
import random
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import chaos
from chaos.generator import CRONS
from chaos.history import Fault, History, Seen
from chaos.measure import silences
from chaos.schedule import kinds_for, plan
from chaos.times import next_cron
from tests.unit import cron_oracle

FOLDER = Path(chaos.__file__).parent
UNDER_TEST = {"replica.py", "seeded.py", "seeded_lua.py", "seeded_v1.py"}
"""What runs as the product, rather than against it."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=str)
def test_only_replicas_know_the_product(path: Path) -> None:
    knows = any(name.split(".")[0] == "scheduling_srv" for name in imported(path))
    assert knows == (path.name in UNDER_TEST)


def test_a_seed_says_what_comes_when() -> None:
    kinds = kinds_for(1)
    assert plan(3, 300, kinds) == plan(3, 300, kinds)
    assert plan(3, 300, kinds) != plan(4, 300, kinds)


def test_every_kind_comes_before_the_others_come_again() -> None:
    planned = plan(5, 200, kinds_for(1))
    for lane, faults in planned.items():
        mine = {kind.name for kind in kinds_for(1) if kind.lane == lane}
        assert {fault.kind.name for fault in faults[: len(mine)]} == mine


def test_ten_minutes_hold_two_hundred_kills() -> None:
    planned = plan(1, 600, kinds_for(1))["replicas"]
    assert sum(fault.kind.name.startswith("kill") for fault in planned) >= 200


def test_an_unknown_fault_is_named() -> None:
    with pytest.raises(ValueError, match="no such faults: nonsense; there are kill"):
        kinds_for(1, ["kill", "nonsense"])


@pytest.mark.parametrize(("expression", "timezone"), CRONS)
def test_cron_times_agree_with_another_oracle(expression: str, timezone: str) -> None:
    start = 1_700_000_000 // 60 * 60 + random.Random(expression).randrange(10**6) * 60
    place = ZoneInfo(timezone or "UTC")
    expected = [at * 1000 for at in cron_oracle.runs(expression, start, start + 200, place)]
    found, instant = [], start * 1000 - 1
    while (instant := next_cron(expression, timezone, instant)) < (start + 200) * 1000:
        found.append(instant)
    assert found == expected


def ticking(*pauses: tuple[int, int], until: int = 20_000) -> History:
    """A run every 100 ms, but not within the pauses."""
    at = [
        instant
        for instant in range(0, until, 100)
        if not any(begin < instant < end for begin, end in pauses)
    ]
    return History(records=[Seen("jobs", each, each, "queuedJob", b"", {}) for each in at])


def test_silences_are_measured_around_faults_that_came_alone() -> None:
    history = ticking((5_000, 6_200), (12_000, 12_400))
    history.faults = [
        Fault("kill-emitter", "a", 5_050, 5_080),
        Fault("kill-emitter", "a", 12_050, 12_080),
        Fault("cut", "b", 13_000, 13_100),
        Fault("terminate", "a", 17_050, 17_250),
    ]
    assert silences(history, ("kill-emitter",)) == [1_200]
    assert silences(history, ("terminate",)) == [100]
    assert silences(history, ("kill-all",)) == []


def test_restarts_are_measured_from_the_start() -> None:
    history = ticking((5_000, 9_000))
    history.faults = [Fault("kill-all", "all", 5_050, 8_050)]
    assert silences(history, ("kill-all",), from_end=True) == [950]
