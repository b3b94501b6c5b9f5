"""Work gives the loop back when its slice is used up."""

import asyncio

from scheduling_srv.app.time_slice import SLICE_MS, TimeSlice


async def turns_of_others(times: list[float]) -> int:
    """How often another task runs while the clock shows these times in milliseconds."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    clock = iter(times)
    slice_ = TimeSlice(lambda: next(clock) / 1000)
    task = asyncio.create_task(other())
    for _ in times[1:]:
        try:
            await slice_.yield_if_used()
        except StopIteration:
            break
    task.cancel()
    return turns


async def test_nobody_else_runs_within_a_slice() -> None:
    assert await turns_of_others([0, 1, 2, SLICE_MS - 1]) == 0


async def test_others_run_after_a_slice() -> None:
    assert await turns_of_others([0, SLICE_MS + 1, SLICE_MS + 1, SLICE_MS + 2]) == 1
