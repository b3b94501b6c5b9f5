"""Failpoints around ports: passed by the calls that they concern, and not there unless wanted."""

import inspect
from collections.abc import AsyncGenerator, Iterator

import pytest

from scheduling_srv.app import log_ports, ports
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.owner.batch import BatchPublisher
from scheduling_srv.app.starts import Starts
from scheduling_srv.domain.errors import StoreUnavailable
from scheduling_srv.runtime import failpoint_wrappers, failpoints, points
from scheduling_srv.runtime.failpoint_wrappers import Around, Table, around
from scheduling_srv.runtime.points import Point
from scheduling_srv.service import failpoints as tables

OTHERS = [Announcements, BatchPublisher, Starts]
KNOWN = [*vars(ports).values(), *vars(log_ports).values(), *OTHERS]


class Store:
    """A port that notes its calls."""

    def __init__(self, passed: list[str]) -> None:
        self.passed = passed
        self.name = "store"

    async def write(self, jobs: int, source: str = "") -> int:
        self.passed.append(f"write {source}")
        return jobs

    async def read(self) -> AsyncGenerator[int]:
        for piece in range(3):
            self.passed.append(f"piece {piece}")
            yield piece

    async def fail(self) -> None:
        raise StoreUnavailable("away")


TABLE: Table = {
    "write": (
        Around(
            points.WRITE_CALL,
            points.WRITE_DONE,
            calls=lambda _jobs, source="": not source,
            results=bool,
        ),
        Around(points.EVENT_CALL, calls=lambda _jobs, source="": bool(source)),
    ),
    "read": Around(points.REBUILD_SETTLED, points.REBUILD_JOURNAL),
    "fail": Around(points.STAGE_CALL, points.STAGE_DONE),
}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The points that were passed, and the calls between them."""
    found: list[str] = []

    async def note(point: Point) -> None:
        found.append(point.name)

    monkeypatch.setattr(failpoint_wrappers, "reached", note)
    failpoints.enable({failpoints.VARIABLE: "stage.call=kill@1000"})
    yield found
    failpoints.enable({})


def test_a_port_is_left_alone_unless_failpoints_are_switched_on() -> None:
    store = Store([])
    assert around(store, TABLE) is store


async def test_a_call_passes_the_points_around_it(passed: list[str]) -> None:
    assert await around(Store(passed), TABLE).write(2) == 2
    assert passed == ["write.call", "write ", "write.done"]


async def test_a_call_passes_only_the_points_that_it_concerns(passed: list[str]) -> None:
    store = around(Store(passed), TABLE)
    await store.write(2, source="a record")
    await store.write(0)
    assert passed == ["event.call", "write a record", "write.call", "write "]


async def test_a_call_that_fails_passes_no_point_after_it(passed: list[str]) -> None:
    with pytest.raises(StoreUnavailable):
        await around(Store(passed), TABLE).fail()
    assert passed == ["stage.call"]


async def test_a_stream_passes_points_before_its_first_and_after_its_last_piece(
    passed: list[str],
) -> None:
    assert [piece async for piece in around(Store(passed), TABLE).read()] == [0, 1, 2]
    assert passed == ["rebuild.settled", "piece 0", "piece 1", "piece 2", "rebuild.journal"]


async def test_a_stream_that_is_left_early_passes_no_point_after_it(passed: list[str]) -> None:
    stream = around(Store(passed), TABLE).read()
    await anext(stream)
    await stream.aclose()
    assert passed == ["rebuild.settled", "piece 0"]


def test_whatever_else_a_port_has_is_its_own(passed: list[str]) -> None:
    assert around(Store(passed), TABLE).name == "store"


@pytest.mark.parametrize("table", tables.TABLES)
def test_every_method_of_a_table_is_one_of_a_port(table: Table) -> None:
    """A method that was renamed would pass its points no more."""
    for method in table:
        assert any(method in vars(each) for each in KNOWN if inspect.isclass(each)), method
