"""Inputs are applied before time moves on, within a limit."""

import asyncio

import pytest
from structlog.testing import capture_logs

from scheduling_srv.app.owner.catch_up import CatchUp
from scheduling_srv.domain.errors import LogUnavailable, StaleSource
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000


class Topic:
    """Reads as it is told: an instant, or an error."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = [*answers]
        self.asked = 0

    async def prepare(self) -> None:
        pass

    async def read(self) -> int:
        self.asked += 1
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_staging_waits_until_all_is_read() -> None:
    catch_up = CatchUp(
        inputs=Topic(StaleSource("Moved."), LogUnavailable("Away."), NOW), limit_ms=60_000
    )
    await catch_up.before_staging()
    assert catch_up.read_at == NOW
    assert catch_up.covers(NOW)
    assert not catch_up.covers(NOW + 1)


async def test_giving_up_is_logged_and_nothing_counts_as_read() -> None:
    catch_up = CatchUp(inputs=Topic(), limit_ms=20)
    with capture_logs() as lines:
        await catch_up.before_staging()
    assert [line["log_level"] for line in lines] == ["warning"]
    assert lines[0]["waited_ms"] == 20
    assert not catch_up.covers(1)


async def test_what_was_read_by_an_earlier_owner_says_nothing() -> None:
    catch_up = CatchUp(inputs=Topic(NOW), limit_ms=20)
    await catch_up.before_staging()
    await catch_up.before_staging()
    assert not catch_up.covers(NOW)


async def test_it_reads_only_for_a_run_that_waits_for_it() -> None:
    topic = Topic(NOW, NOW + 10)
    catch_up = CatchUp(inputs=topic, limit_ms=20)
    await catch_up.before_staging()
    loop = asyncio.create_task(catch_up.run("token"))
    await asyncio.sleep(0)
    assert catch_up.covers(NOW)
    assert topic.asked == 1
    assert not catch_up.covers(NOW + 5)
    async with asyncio.timeout(10):
        while not catch_up.covers(NOW + 5):  # noqa: ASYNC110 - it does not know that it is watched
            await asyncio.sleep(0)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert topic.asked == 2
