"""An asynchronous test that hangs is ended, whatever clock its loop has."""

import asyncio

import pytest

from tests.harness.bounded import bounded
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(params=[("asyncio", {"use_uvloop": True}), VIRTUAL_TIME], ids=["real", "virtual"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


async def hang() -> None:
    await asyncio.Event().wait()


async def test_what_hangs_is_ended() -> None:
    with pytest.raises(TimeoutError, match="did not end within 0.05 s"):
        await bounded(hang, 0.05)()
    await asyncio.sleep(0)  # the task goes on


async def test_what_ends_is_left_alone() -> None:
    async def answer() -> int:
        return 7

    assert await bounded(answer)() == 7


async def test_a_cancellation_of_another_one_stays_one() -> None:
    task = asyncio.ensure_future(bounded(hang)())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
