"""The measurements of viewers look at what they measure."""

import asyncio
from typing import Any

import pytest

from bench.site import Broken, Sample
from bench.viewers import Viewer
from bench.workloads.viewing import RATE, Emitted, Side, compared, first_paint
from tests.harness.waiting import becomes


def side(rate: float, lateness: float, cpu: float) -> Side:
    steady = Sample({"p50": lateness, "p99": 3 * lateness}, RATE, {"service": cpu})
    return Side(Emitted(steady, {"p99": 0.02}), Sample({"rate": rate}))


def test_a_cost_is_the_loss_of_rate_beside_viewers() -> None:
    figures = compared(side(20_000, 2.0, 0.5), side(18_000, 3.0, 0.6), RATE).figures
    assert figures["cost"] == pytest.approx(10)
    assert figures["p50-ratio"] == figures["p99-ratio"] == 1.5
    assert figures["share"] == pytest.approx(10)
    assert figures["page"] == 20


def test_a_cost_below_zero_is_shown_as_it_is() -> None:
    figures = compared(side(18_000, 2.0, 0.6), side(18_900, 2.0, 0.5), RATE).figures
    assert figures["cost"] == pytest.approx(-5)
    assert figures["share"] == pytest.approx(-10)


async def test_a_stream_that_ends_before_its_answer_is_a_fault() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        viewer = Viewer(f"http://127.0.0.1:{port}")
        watching = asyncio.create_task(viewer.watch())
        await becomes(lambda: viewer.faults or watching.done())
        watching.cancel()
    assert viewer.faults


class Page:
    """A page of a browser that was answered, and that shows so many rows."""

    def __init__(self, status: int, rows: int) -> None:
        self.status, self.ok, self.rows = status, status == 200, rows

    def new_context(self) -> Any:
        return self

    new_page = new_context

    def goto(self, _: str) -> Any:
        return self

    def locator(self, _: str) -> Any:
        return self

    def count(self) -> int:
        return self.rows

    def wait_for_function(self, _: str) -> Any:
        return self

    def json_value(self) -> float:
        return 7.0

    def close(self) -> None: ...


@pytest.mark.parametrize(("status", "rows"), [(500, 1), (200, 0)])
def test_a_page_without_its_rows_is_not_painted(status: int, rows: int) -> None:
    assert first_paint(Page(200, 1), "/jobs", "tbody tr") == 7.0
    with pytest.raises(Broken, match="/jobs"):
        first_paint(Page(status, rows), "/jobs", "tbody tr")
