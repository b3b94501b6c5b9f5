"""The stager and the publisher take turns while there is little to do."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from scheduling_srv.app.owner import turns
from scheduling_srv.app.owner.turns import AHEAD, FEW, Turns
from scheduling_srv.app.replies import Backlog, Cursor, Staged, Taken
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


SOON = 30.0
"""Seconds: far less than the patience of these tests, and enough for a busy machine."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that waits for its patience to end does not end in time."""
    monkeypatch.setattr(turns, "PATIENCE", 100 * SOON)


class Loops:
    """A stager and a publisher that note what they do; the test says what is due."""

    def __init__(self, due: list[int]) -> None:
        self.handed_out: Callable[[Backlog], None]
        self.turns = turns_of(self)
        self.due = due
        self.done: list[str] = []
        self.entries = 0
        """In the outbox."""
        self.given: Taken | None = None
        self.takes = False
        """Whether the stager may take for the publisher."""

    # --- The schedule -----------------------------------------------------------------------

    async def stage(self, token: str, now: int, limit: int, cursor: Cursor | None = None) -> Staged:
        del token, now, limit
        entries = self.due.pop(0)
        self.entries += entries
        self.done.append(f"stage {entries}")
        if not cursor:
            return Staged(full=False, entries=entries)
        self.done.append("take")
        await asyncio.sleep(0.01)
        return Staged(full=False, entries=entries, taken=self.take())

    def take(self) -> Taken:
        entries, self.entries = self.entries, 0
        return Taken(0, [b"Q"] * entries, entries)

    # --- The publisher ----------------------------------------------------------------------

    @property
    def offered(self) -> bool:
        return self.given is not None

    def cursor(self) -> Cursor | None:
        return Cursor(0, "") if self.takes else None

    def offer(self, taken: Taken, cursor: Cursor) -> None:
        del cursor
        self.given = taken
        self.handed_out(Backlog())

    async def run_once(self, token: str) -> int:
        del token
        if not self.given:
            self.done.append("take")
        taken, self.given = self.given or self.take(), None
        self.handed_out(Backlog())
        await asyncio.sleep(0.01)  # the transaction
        self.done.append(f"publish {len(taken.entries)}")
        return len(taken.entries)

    # --- What the owner does ----------------------------------------------------------------

    async def stage_all(self) -> None:
        while self.due:
            staged = await self.turns.stage("", 0, 500)
            await self.turns.after_staging(staged.entries)
        self.turns.nothing_due()

    async def publish(self, times: int) -> None:
        for _ in range(times):
            await self.turns.publish("")


def turns_of(world: Any) -> Turns:
    return Turns(world, world)


async def run(loops: Loops, times: int) -> list[str]:
    async with asyncio.timeout(5):
        await asyncio.gather(loops.stage_all(), loops.publish(times))
    return loops.done


async def test_few_runs_wait_for_the_transaction_and_go_out_together() -> None:
    """One look for each taking: nothing is staged meanwhile."""
    done = [each for each in await run(Loops([1, 2, 3, 4]), 4) if each != "take"]
    assert done == [
        "stage 1",
        "stage 2",
        "publish 3",
        "stage 3",
        "publish 3",
        "stage 4",
        "publish 4",
        "publish 0",
    ]


async def test_a_publisher_at_rest_gets_what_the_staging_call_has_taken() -> None:
    """One call instead of two; it does not ask for itself meanwhile, nor have the stager look."""
    loops = Loops([1, 2])
    loops.takes = True
    assert await run(loops, 3) == (
        ["stage 1", "take", "publish 1", "stage 2", "take", "publish 2", "take", "publish 0"]
    )


async def test_nothing_is_taken_for_a_publisher_that_is_busy() -> None:
    """It would be published twice."""
    loops = Loops([1])
    loops.takes = True
    loops.entries = 5
    publishing = asyncio.create_task(loops.publish(1))
    await asyncio.sleep(0)
    assert (await loops.turns.stage("", 0, 500)).taken is None
    await publishing
    assert loops.done == ["take", "stage 1", "publish 5"]


async def test_a_cursor_is_never_one_of_before_a_publication() -> None:
    """Found by review: the stager asked for it, and then waited for the publisher's turn."""
    loops = Loops([0, 0])
    loops.takes = True

    async def look_twice() -> Staged:
        await loops.turns.stage("", 0, 500)
        loops.given = None  # nothing was there
        return await loops.turns.stage("", 0, 500)

    looking = asyncio.create_task(look_twice())
    await asyncio.sleep(0)
    publishing = asyncio.create_task(loops.turns.publish(""))
    assert (await looking).taken is None
    await publishing
    assert loops.done == ["stage 0", "take", "stage 0", "take", "publish 0"]


async def test_few_do_not_wait_for_each_other_while_the_publisher_has_more_than_enough() -> None:
    """A client creates many jobs: there is always something to publish."""
    loops = Loops([1, 1, 1])
    staging = asyncio.create_task(loops.stage_all())
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        for _ in range(3):
            loops.given = Taken(0, [b"C"], 2)
            loops.handed_out(Backlog(1))
            await loops.turns.publish("")
    assert [each for each in loops.done if each == "stage 1"] == ["stage 1"] * 3
    staging.cancel()


async def test_many_are_staged_while_others_are_published() -> None:
    """They would only get more."""
    done = await run(Loops([FEW, FEW, FEW]), 1)
    assert done == [f"stage {FEW}"] * 3 + ["take", f"publish {3 * FEW}"]


async def test_nobody_waits_when_nothing_is_due() -> None:
    """A single run is published at once."""
    loops = Loops([1])
    async with asyncio.timeout(SOON):
        await asyncio.gather(loops.stage_all(), loops.publish(1))
    assert loops.done == ["stage 1", "take", "publish 1"]


async def test_the_stager_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher may be busy with a Kafka that is away; runs time out all the same."""
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    assert await run(Loops([1, 1]), 0) == ["stage 1", "stage 1"]


async def test_the_publisher_does_not_wait_for_a_stager_that_has_ended() -> None:
    """It was cancelled while it waited: the lease was lost, and taken again."""
    loops = Loops([1])
    staging = asyncio.create_task(loops.stage_all())
    await asyncio.sleep(0)
    staging.cancel()
    await asyncio.gather(staging, return_exceptions=True)
    async with asyncio.timeout(SOON):
        await loops.publish(1)


async def test_the_publisher_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stager's look may take long: Redis is slow."""
    monkeypatch.setattr(turns, "PATIENCE", 0.01)

    class Slow(Loops):
        async def stage_all(self) -> None:
            await self.turns.after_staging(1)
            await asyncio.sleep(100 * SOON)

    loops = Slow([])
    staging = asyncio.create_task(loops.stage_all())
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        await loops.publish(1)
    staging.cancel()


async def test_the_stager_stays_a_little_ahead_of_the_publisher() -> None:
    """What a client creates now would be announced behind all that was staged before."""
    loops = Loops([AHEAD, AHEAD])
    staging = asyncio.create_task(loops.stage_all())
    await asyncio.sleep(0)
    loops.handed_out(Backlog(AHEAD))
    await asyncio.sleep(0)
    assert loops.done == [f"stage {AHEAD}"]
    loops.handed_out(Backlog(AHEAD - 1))
    async with asyncio.timeout(SOON):
        while len(loops.done) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    loops.handed_out(Backlog())
    await staging


async def test_what_was_handed_out_with_the_call_is_not_ahead() -> None:
    """The stager goes on at once."""
    loops = Loops([AHEAD, AHEAD])
    loops.takes = True
    async with asyncio.timeout(SOON):
        await loops.turns.stage("", 0, AHEAD)
        await loops.turns.after_staging(AHEAD)


async def test_what_is_due_already_does_not_wait_for_a_transaction() -> None:
    """A job that is far behind would otherwise run once a transaction, and may never catch up."""
    waiting = Loops([]).turns
    async with asyncio.timeout(SOON):
        for _ in range(100):
            await waiting.after_staging(1, more=True)


async def test_a_look_that_finds_nothing_is_not_slowed_down_by_others() -> None:
    """What clients create fills the outbox as well; the next run may be due in a moment."""
    loops = Loops([])
    loops.handed_out(Backlog(10 * AHEAD))
    async with asyncio.timeout(SOON):
        await loops.turns.after_staging(0)


async def test_who_leaves_holds_nobody_up() -> None:
    waiting = Loops([]).turns
    staging = asyncio.create_task(waiting.after_staging(1))
    await asyncio.sleep(0)
    waiting.leave()
    async with asyncio.timeout(SOON):
        await staging
