"""The page of failpoints is the list of failpoints, and the list is what the code has."""

import re

from scheduling_srv.runtime import points
from scheduling_srv.runtime.points import POINTS, Point
from tests.docs.snippets import ROOT
from tools.failpoints_page import PAGE, around_ports, page, reason_inside

SOURCE = ROOT / "server" / "src" / "scheduling_srv"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), 'run "make docs"'


def test_every_point_is_at_one_place() -> None:
    code = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    names = [name for name, value in vars(points).items() if isinstance(value, Point)]
    passed = {name: len(re.findall(rf"\bpoints\.{name}\b", code)) for name in names}
    assert {name: times for name, times in passed.items() if times != 1} == {}
    assert len(names) == len(POINTS) == len({point.name for point in POINTS})


def test_every_point_lies_around_a_port_or_the_page_says_why_not() -> None:
    outside = {point.name for point in around_ports()}
    inside = {point.name for point in POINTS if reason_inside(point)}
    assert outside.isdisjoint(inside)
    assert outside | inside == {point.name for point in POINTS}


def test_use_cases_name_no_point() -> None:
    """Only the loop that polls has some within a poll and a rebalance."""
    named = [path for path in (SOURCE / "app").rglob("*.py") if "failpoints" in path.read_text()]
    assert named == [SOURCE / "app" / "inputs" / "listener.py"]


def test_every_point_says_what_it_leaves_behind() -> None:
    for point in POINTS:
        assert point.leaves.endswith(".")
        assert len(point.leaves) > 10
        assert "|" not in point.leaves
