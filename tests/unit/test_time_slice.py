"""Work gives the loop back when its slice is used up."""

import asyncio

import pytest

from scheduling_srv.runtime.time_slice import (
    LONG_SLICE_MS,
    SHORT_SLICES,
    SLICE_MS,
    SharedSlice,
    TimeSlice,
)


@pytest.mark.parametrize(("after_ms", "turns"), [(SLICE_MS / 2, 0), (SLICE_MS * 2, 1)])
async def test_others_run_when_the_slice_is_used_up(after_ms: float, turns: int) -> None:
    ran, now = 0, 0.0

    async def other() -> None:
        nonlocal ran
        ran += 1

    time_slice = TimeSlice(lambda: now)
    task = asyncio.create_task(other())
    now = after_ms / 1000
    await time_slice.yield_if_used()
    assert ran == turns
    await task


async def test_a_slice_begins_anew_after_others_ran() -> None:
    now = 0.0
    time_slice = TimeSlice(lambda: now)
    now = 2 * SLICE_MS / 1000
    await time_slice.yield_if_used()
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await time_slice.yield_if_used()
    assert not ran.is_set()


async def test_long_work_of_clients_leaves_the_loop_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    shared = SharedSlice()
    for _ in range(SHORT_SLICES + 1):
        await shared.pause()
    assert slept == [0] * (SHORT_SLICES - 1) + [LONG_SLICE_MS / 1000] * 2
