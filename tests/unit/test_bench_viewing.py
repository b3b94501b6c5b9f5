"""The measurements of viewers look at what they measure."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bench.results import Kept
from bench.site import Broken, Sample
from bench.viewers import Viewer
from bench.workloads.viewing import RATE, Emitted, Side, compared, first_paint
from tests.harness.waiting import becomes


def side(rate: float, lateness: float, cpu: float) -> Side:
    figures = {"p50": lateness, "p99": 3 * lateness, "rate": RATE * rate / 20_000}
    burst = Sample({"rate": rate})
    return Side(
        Emitted(Sample(figures, RATE, {"service": cpu}), {"p99": 0.02}),
        Emitted(burst, {"p99": 0.5}),
    )


def test_a_cost_is_the_loss_of_rate_beside_viewers() -> None:
    figures = compared(side(20_000, 2.0, 0.5), side(18_000, 3.0, 0.6), RATE).figures
    assert figures["cost"] == figures["burst-cost"] == pytest.approx(10)
    assert figures["p50-cost"] == figures["p99-cost"] == pytest.approx(50)
    assert figures["share"] == pytest.approx(10)
    assert (figures["page"], figures["burst-page"]) == (20, 500)


def test_a_cost_below_zero_is_shown_as_it_is() -> None:
    figures = compared(side(18_000, 2.0, 0.6), side(18_900, 2.0, 0.5), RATE).figures
    assert figures["cost"] == figures["burst-cost"] == pytest.approx(-5)
    assert figures["share"] == pytest.approx(-10)


def test_rounds_that_were_measured_are_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "samples"
    sample = Sample({"cost": 1.5}, 7, {"service": 0.5}, [1.0])
    Kept(path).add("viewed", "product", 1.0, sample)
    Kept(path).add("viewed", "product", 0.1, sample)
    assert Kept(path).samples("viewed", "product", 1.0) == [sample]
    assert Kept(path).samples("viewed", "bare", 1.0) == []
    Kept(None).add("viewed", "product", 1.0, sample)


async def test_viewers_ask_for_each_page_and_renew_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.viewers.EVERY_SECONDS", 0.01)
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        viewer = Viewer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        looking = asyncio.create_task(viewer.look(0))
        await becomes(lambda: len(asked) >= 4)
        looking.cancel()
    assert [each.split()[1] for each in asked[:4]] == [b"/", b"/", b"/jobs", b"/jobs"]
    assert [b"HX-Request: true" in each for each in asked[:4]] == [False, True, False, True]
    assert not viewer.faults


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
