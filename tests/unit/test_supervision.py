"""A part that breaks is told, and starts again; what ends the process on purpose goes through."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from scheduling_srv.app import supervision
from scheduling_srv.app.supervision import isolated, supervised
from scheduling_srv.domain.errors import LeaseLost, StartError


class Part:
    """Raises its faults in turn, then ends."""

    def __init__(self, *faults: Exception, then: Callable[[], None] = lambda: None) -> None:
        self.faults = list(faults)
        self.runs = 0
        self.then = then

    async def __call__(self) -> None:
        self.runs += 1
        self.then()
        if self.faults:
            raise self.faults.pop(0)

    async def work(self, _token: str) -> None:
        await self()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Seconds that it would have waited."""
    found: list[float | None] = []

    async def wait(_event: asyncio.Event, seconds: float | None) -> None:
        found.append(seconds)

    monkeypatch.setattr(supervision, "wait", wait)
    return found


async def test_a_part_that_breaks_starts_again(pauses: list[float | None]) -> None:
    part = Part(*(TypeError(f"number {number}") for number in range(7)))
    with capture_logs() as logs:
        await supervised("part", part)
    assert part.runs == 8
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert len(logs) == 7
    assert all(line["exc_info"] and line["part"] == "part" for line in logs)


async def test_a_part_that_was_sound_for_long_starts_soon(pauses: list[float | None]) -> None:
    now = [0.0]
    part = Part(*[TypeError()] * 3, then=lambda: now.append(now[-1] + 61))
    await supervised("part", part, monotonic=lambda: now[-1])
    assert pauses == [1, 1, 1]


async def test_what_ends_the_process_goes_through() -> None:
    with pytest.raises(StartError):
        await supervised("part", Part(StartError("No.")))


async def test_a_part_is_not_started_again_when_the_process_stops() -> None:
    stopping = asyncio.Event()
    part = Part(TypeError(), then=stopping.set)
    await supervised("part", part, stopping=stopping)
    assert part.runs == 1


async def test_work_beside_emitting_ends_it_by_no_fault_of_ours(pauses: list[float | None]) -> None:
    """But what the owner has to know, it is told."""
    part = Part(KeyError("x"), LeaseLost("Another replica owns the shard by now."))
    with pytest.raises(LeaseLost):
        await isolated("part", part.work)("token")
    assert pauses == [1]
