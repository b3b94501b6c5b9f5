"""The checkout: gears of tests, no counting tests, pages of a bearable size."""

import ast
import re
import subprocess
from itertools import chain

import pytest

from accept import alive, busy, doors, house, traps, web, worker
from bench.__main__ import ALL
from tests.house.code import PACKAGES, functions, modules, parsed
from tools.structure import ROOT

GLOSSARY_WORDS = 10
COUNTS_LINES = re.compile(r"assert len\(.*splitlines\(\)\) <|end_lineno")
DURATIONS = re.compile(
    r"(PAUSE|TIMEOUT|PATIENCE|POLL|_LOOK|DELAY|_EVERY|_AFTER)(?!.*_(MS|SECONDS|TICKS)$|S$)"
)


def test_no_test_counts_lines_of_code() -> None:
    """Pages may have a size: readers of a page read all of it."""
    found = [
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        if path.parent.name not in ("docs", "house") and COUNTS_LINES.search(path.read_text())
    ]
    assert found == []


def test_the_glossary_has_ten_words() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\| ([\w ]+) \|", page, re.MULTILINE)
    assert len(words) == 1 + GLOSSARY_WORDS, "the first is the heading"


def test_names_of_durations_end_in_their_unit() -> None:
    found = [
        f"{path.name}: {target.id}"
        for package in PACKAGES
        for path in package.rglob("*.py")
        for node in parsed(path).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, int | float)
        for target in node.targets
        if isinstance(target, ast.Name) and DURATIONS.search(target.id)
    ]
    assert found == []


def test_constructors_of_many_arguments_take_them_by_name() -> None:
    found = [
        str(path)
        for path in modules("app", "service", "entrances", "adapters")
        for function in functions(path)
        if function.name == "__init__" and len(function.args.args) > 8
    ]
    assert found == []


@pytest.mark.parametrize("target", ["test", "test-all", "accept-house", "accept-doors"])
def test_a_gear_exists(target: str) -> None:
    dry = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=False, text=True
    )
    assert dry.returncode == 0, dry.stderr
    if target == "test":
        assert '-m "not slow"' in dry.stdout
        assert "-n " in dry.stdout


def test_continuous_integration_shifts_through_the_gears() -> None:
    assert "make test test-all" in (ROOT / ".ci" / "run").read_text()


def test_nothing_is_measured_that_nobody_has() -> None:
    """The simulation is gone; taking over is a workload like any other."""
    assert not [*(ROOT / "bench").glob("scale*.py")]
    assert {"standby", "restart", "handover"} <= {workload.name for workload in ALL}


SELECTORS = sorted(
    {
        *chain.from_iterable(
            p.tests for each in (alive, doors, house, traps, web, worker) for p in each.POINTS
        ),
        *busy.TESTS,
    }
)


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_test_that_shows_a_point_exists(selector: str) -> None:
    file, _, name = selector.partition("::")
    assert (ROOT / file).is_file()
    if name:
        names = {function.name for function in functions(ROOT / file)}
        assert name.partition("[")[0] in names


def test_each_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text())
    assert sorted({*listed}) == sorted(path.name for path in folder.glob("[0-9]*.md"))
