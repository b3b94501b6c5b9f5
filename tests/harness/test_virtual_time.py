import asyncio
import time

import pytest

from tests.harness.virtual_time import VIRTUAL_TIME

HOUR = 3600


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


async def test_a_time_out_of_an_hour_is_over_at_once() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(HOUR):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() - began >= HOUR


async def test_tasks_wake_in_the_order_of_their_times() -> None:
    woken: list[int] = []

    async def sleep(hours: int) -> None:
        await asyncio.sleep(hours * HOUR)
        woken.append(hours)

    await asyncio.gather(*map(sleep, (3, 1, 2)))
    assert woken == [1, 2, 3]


async def test_the_clock_stands_still_while_a_thread_works() -> None:
    async with asyncio.timeout(0.001):
        await asyncio.to_thread(time.sleep, 0.05)
