"""The page of failpoints is the list of failpoints, and the list is what the code has."""

from scheduling_srv.runtime import points
from scheduling_srv.runtime.points import POINTS, Point
from tests.docs.snippets import ROOT
from tools.failpoints_page import PAGE, page

SOURCE = ROOT / "src" / "scheduling_srv"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), 'run "make docs"'


def test_every_point_is_passed_at_one_place() -> None:
    code = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    names = [name for name, value in vars(points).items() if isinstance(value, Point)]
    passed = {name: code.count(f"(points.{name})") for name in names}
    assert {name: times for name, times in passed.items() if times != 1} == {}
    assert len(names) == len(POINTS) == len({point.name for point in POINTS})


def test_every_point_says_what_it_leaves_behind() -> None:
    for point in POINTS:
        assert point.leaves.endswith(".")
        assert len(point.leaves) > 10
        assert "|" not in point.leaves
