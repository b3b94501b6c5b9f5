"""The stager and the publisher take turns while there is little to do."""

import asyncio

import pytest

from scheduling_srv.app import turns
from scheduling_srv.app.turns import AHEAD, FEW, Turns


class Loops:
    """A stager and a publisher that note what they do; the test says what is due."""

    def __init__(self, due: list[int]) -> None:
        self.turns = Turns()
        self.due = due
        self.done: list[str] = []

    async def stage(self) -> None:
        while self.due:
            entries = self.due.pop(0)
            self.done.append(f"stage {entries}")
            await self.turns.after_staging(entries)
        self.turns.nothing_due()

    async def publish(self, times: int) -> None:
        for _ in range(times):
            await self.turns.before_taking()
            self.done.append("take")
            await asyncio.sleep(0.01)  # the transaction


async def run(loops: Loops, times: int) -> list[str]:
    async with asyncio.timeout(5):
        await asyncio.gather(loops.stage(), loops.publish(times))
    return loops.done


async def test_few_runs_wait_for_the_transaction_and_go_out_together() -> None:
    """One look for each taking: nothing is staged meanwhile."""
    done = await run(Loops([1, 2, 3, 4]), 4)
    assert done == ["stage 1", "stage 2", "take", "stage 3", "take", "stage 4", "take", "take"]


async def test_many_are_staged_while_others_are_published() -> None:
    """They would only get more."""
    assert await run(Loops([FEW, FEW, FEW]), 1) == [f"stage {FEW}"] * 3 + ["take"]


async def test_nobody_waits_when_nothing_is_due() -> None:
    """A single run is published at once."""
    loops = Loops([1])
    async with asyncio.timeout(turns.PATIENCE / 2):
        await asyncio.gather(loops.stage(), loops.publish(1))
    assert loops.done == ["stage 1", "take"]


async def test_the_stager_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher may be busy with a Kafka that is away; runs time out all the same."""
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    assert await run(Loops([1, 1]), 0) == ["stage 1", "stage 1"]


async def test_the_publisher_does_not_wait_for_a_stager_that_has_ended() -> None:
    """It was cancelled while it waited: the lease was lost, and taken again."""
    loops = Loops([1])
    staging = asyncio.create_task(loops.stage())
    await asyncio.sleep(0)
    staging.cancel()
    await asyncio.gather(staging, return_exceptions=True)
    async with asyncio.timeout(turns.PATIENCE / 2):
        await loops.publish(1)


async def test_the_publisher_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stager's look may take long: Redis is slow."""
    monkeypatch.setattr(turns, "PATIENCE", 0.01)

    class Slow(Loops):
        async def stage(self) -> None:
            await self.turns.after_staging(1)
            await asyncio.sleep(1)

    loops = Slow([])
    staging = asyncio.create_task(loops.stage())
    await asyncio.sleep(0)
    async with asyncio.timeout(0.5):
        await loops.publish(1)
    staging.cancel()


async def test_the_stager_stays_a_little_ahead_of_the_publisher() -> None:
    """What a client creates now would be announced behind all that was staged before."""
    turns_ = Turns()
    staging = asyncio.create_task(turns_.after_staging(AHEAD))
    await asyncio.sleep(0)
    turns_.taken(AHEAD)
    await asyncio.sleep(0)
    assert not staging.done()
    turns_.taken(AHEAD - 1)
    async with asyncio.timeout(turns.PATIENCE / 2):
        await staging
        await turns_.after_staging(0)


async def test_what_is_due_already_does_not_wait_for_a_transaction() -> None:
    """A job that is far behind would otherwise run once a transaction, and may never catch up."""
    waiting = Turns()
    async with asyncio.timeout(turns.PATIENCE / 2):
        for _ in range(100):
            await waiting.after_staging(1, more=True)


async def test_a_look_that_finds_nothing_is_not_slowed_down_by_others() -> None:
    """What clients create fills the outbox as well; the next run may be due in a moment."""
    waiting = Turns()
    waiting.taken(10 * AHEAD)
    async with asyncio.timeout(turns.PATIENCE / 2):
        await waiting.after_staging(0)


async def test_who_leaves_holds_nobody_up() -> None:
    waiting = Turns()
    staging = asyncio.create_task(waiting.after_staging(1))
    await asyncio.sleep(0)
    waiting.leave()
    async with asyncio.timeout(turns.PATIENCE / 2):
        await staging
