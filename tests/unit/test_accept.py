"""What shows a point is judged: a failed or missing check is never a passed one."""

import re
from pathlib import Path

import pytest

from accept.__main__ import FAILED, MISSING, PASSED, SKIPPED, Case, Point, cases, judge, table

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r'"(tests/[\w/]+\.py)((?:::\w+)*)')
FILE = "tests/unit/test_a.py"
POINT = Point("1", "It holds.", [FILE])


def case(result: str, name: str = "test_b[x-1]") -> Case:
    return Case(FILE, name, result, 1.5)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([], MISSING),
        ([PASSED], PASSED),
        ([PASSED, SKIPPED], SKIPPED),
        ([PASSED, FAILED, SKIPPED], FAILED),
    ],
)
def test_the_worst_result_counts(results: list[str], verdict: str) -> None:
    shown = judge([POINT], [case(result) for result in results])["1"]
    assert shown.verdict == verdict


@pytest.mark.parametrize(
    ("selector", "verdict"),
    [
        (f"{FILE}::test_b", PASSED),
        (f"{FILE}::test_b[x-1]", PASSED),
        (f"{FILE}::test_b[x-2]", MISSING),
        (f"{FILE}::test", MISSING),
        ("tests/unit/test_c.py", MISSING),
    ],
)
def test_a_test_is_found_by_its_name_with_or_without_parameters(
    selector: str, verdict: str
) -> None:
    point = Point("1", "It holds.", [selector])
    assert judge([point], [case(PASSED)])["1"].verdict == verdict


def test_a_report_of_pytest_is_read(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="tests.unit.test_a" name="test_b[x-1]" time="0.5"/>'
        '<testcase classname="tests.unit.test_a" name="test_c" time="0"><failure/></testcase>'
        '<testcase classname="tests.unit.test_a" name="test_d" time="0"><error/></testcase>'
        '<testcase classname="tests.unit.test_a" name="test_e" time="0"><skipped/></testcase>'
        "</testsuite></testsuites>"
    )
    found = cases(report)
    assert [each.result for each in found] == [PASSED, FAILED, FAILED, SKIPPED]
    assert found[0] == Case(FILE, "test_b[x-1]", PASSED, 0.5)


def test_the_table_has_a_line_a_point() -> None:
    lines = table([POINT], judge([POINT], [case(PASSED)])).splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["1", "passed", "1", "2", "It", "holds."]


@pytest.mark.parametrize("path", sorted((ROOT / "accept").glob("*.py")), ids=lambda path: path.stem)
def test_the_tests_that_show_points_exist(path: Path) -> None:
    for file, names in NAMED.findall(path.read_text()):
        text = (ROOT / file).read_text()
        for name in filter(None, names.split("::")):
            assert re.search(rf"(def|class) {name}\b", text), f"{file}::{name}"
