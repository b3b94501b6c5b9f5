"""The stage loop works ahead; the publish loop holds runs until they are due."""

import asyncio
from typing import Any

import pytest

from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.owner import emitter
from scheduling_srv.app.owner.batch import Batch
from scheduling_srv.app.owner.emitter import FEW_RUNS, MOST_AHEAD_ENTRIES, Emitter, Pace
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.replies import Backlog, Cursor, Staged, Taken
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


NOW = 1_700_000_000_000
SOON = 30.0
"""Seconds: far less than the patience of these tests, and enough for a busy machine."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that waits for its patience to end does not end in time."""
    monkeypatch.setattr(emitter, "PATIENCE_SECONDS", 100 * SOON)


class Loops:
    """A stager and a publisher that note what they do; the test says what is due."""

    def __init__(self, due: list[int]) -> None:
        self.due = due
        self.done: list[str] = []
        self.entries = 0
        """In the outbox."""
        self.published = self.taken = 0
        self.transaction = 0.01
        """Seconds."""
        self.is_busy = False
        world: Any = self
        self.emitter = Emitter(
            shard=0,
            stager=world,
            outbox=world,
            publisher=world,
            refusals=world,
            hold=Hold(world, 10),
            known=KnownRuns(),
            clock=world,
        )
        self.pace = self.emitter.pace

    # --- The stager and the outbox ----------------------------------------------------------

    async def stage(self, token: str, now: int, cursor: Cursor | None = None) -> Staged:
        del token, now
        entries = self.due.pop(0)
        self.entries += entries
        self.done.append(f"stage {entries}")
        await asyncio.sleep(0.001)
        return Staged(full=False, entries=entries, taken=self.hand_out(cursor) if cursor else None)

    async def take(self, token: str, cursor: Cursor, now: int) -> Taken:
        del token, now
        self.done.append("take")
        return self.hand_out(cursor)

    def hand_out(self, cursor: Cursor) -> Taken:
        entries, self.entries = self.entries, 0
        self.taken += entries
        return Taken(self.taken - entries, [b"C"] * entries, cursor.ahead + entries)

    async def screen(self, token: str, lineage: str, taken: Taken) -> bool:
        return False

    # --- The publisher ----------------------------------------------------------------------

    async def prepare(self) -> None:
        """Nothing precedes a batch."""

    def cursor(self, end: int) -> Cursor:
        return Cursor(self.published, "", end - self.published)

    def is_stale(self, batch: Batch) -> bool:
        return False

    def now(self) -> int:
        return NOW

    def may_wait(self, entries: list[bytes]) -> bool:
        return False

    async def publish(self, batch: Batch) -> int:
        await asyncio.sleep(self.transaction)
        entries = len(batch.taken.entries)
        self.published += entries
        self.done.append(f"publish {entries}")
        return entries

    # --- The loops --------------------------------------------------------------------------

    async def stage_all(self) -> None:
        while self.due:
            staged = await self.emitter.stage_once("", 0)
            await self.pace.after_staging(staged.entries, SOON)
        self.pace.note_looked()

    async def publish_all(self, times: int) -> None:
        for _ in range(times):
            await self.emitter.publish_once("")


async def run(loops: Loops, times: int) -> list[str]:
    async with asyncio.timeout(5):
        await asyncio.gather(loops.stage_all(), loops.publish_all(times))
    return loops.done


async def test_few_runs_are_staged_once_in_each_transaction() -> None:
    """They are in hand when it ends: no call to Redis lies between two transactions."""
    assert await run(Loops([1, 2, 3]), 4) == (
        ["stage 1", "stage 2", "publish 1", "stage 3", "publish 2", "publish 3", "take"]
    )


async def test_many_are_staged_while_others_are_published() -> None:
    """What is in hand already fills a transaction: the next calls do not take."""
    done = await run(Loops([FEW_RUNS] * 5), 2)
    assert done == [f"stage {FEW_RUNS}"] * 5 + ["publish 200", "take", "publish 600"]


async def test_one_call_takes_at_a_time() -> None:
    """Two would take the same entries."""
    loops = Loops([1, 1])
    one = asyncio.create_task(loops.emitter.stage_once("", 0))
    await asyncio.sleep(0)
    assert (await loops.emitter.stage_once("", 0)).taken is None
    assert (await one).taken
    loops.entries += 5
    await loops.publish_all(2)
    assert loops.done == ["stage 1", "stage 1", "take", "publish 2", "publish 5"]


async def test_the_stager_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher may be busy with a Kafka that is away; runs time out all the same."""
    monkeypatch.setattr(emitter, "PATIENCE_SECONDS", 0.01)
    assert await run(Loops([1, 1]), 0) == ["stage 1", "stage 1"]


async def test_the_publisher_does_not_wait_for_a_stager_that_has_ended() -> None:
    """It was cancelled while it waited: the lease was lost, and taken again."""
    loops = Loops([1])
    staging = asyncio.create_task(loops.stage_all())
    await asyncio.sleep(0)
    staging.cancel()
    await asyncio.gather(staging, return_exceptions=True)
    async with asyncio.timeout(SOON):
        await loops.publish_all(1)


async def test_the_publisher_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stager's look may take long: Redis is slow."""
    monkeypatch.setattr(emitter, "PATIENCE_SECONDS", 0.01)

    class Slow(Loops):
        async def stage_all(self) -> None:
            await self.pace.after_staging(1, SOON)
            await asyncio.sleep(100 * SOON)

    loops = Slow([])
    staging = asyncio.create_task(loops.stage_all())
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        await loops.publish_all(1)
    staging.cancel()


async def test_the_stager_stays_a_little_ahead_of_the_publisher() -> None:
    """What a client creates now would be announced behind all that was staged before."""
    loops = Loops([MOST_AHEAD_ENTRIES, MOST_AHEAD_ENTRIES])
    staging = asyncio.create_task(loops.stage_all())
    await asyncio.sleep(0)
    loops.pace.note_taken(Backlog(MOST_AHEAD_ENTRIES))
    await asyncio.sleep(0)
    assert loops.done == [f"stage {MOST_AHEAD_ENTRIES}"]
    loops.pace.note_taken(Backlog(MOST_AHEAD_ENTRIES - 1))
    async with asyncio.timeout(SOON):
        while len(loops.done) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    loops.pace.note_taken(Backlog())
    await staging


async def test_what_was_handed_out_with_the_call_is_not_ahead() -> None:
    """The stager goes on at once."""
    loops = Loops([MOST_AHEAD_ENTRIES, MOST_AHEAD_ENTRIES])
    async with asyncio.timeout(SOON):
        await loops.emitter.stage_once("", 0)
        await loops.pace.after_staging(MOST_AHEAD_ENTRIES)


async def test_what_is_due_already_does_not_wait_for_a_transaction() -> None:
    """A job that is far behind would otherwise run once a transaction, and may never catch up."""
    waiting = Pace()
    async with asyncio.timeout(SOON):
        for _ in range(100):
            await waiting.after_staging(1, 0)


async def test_a_look_that_finds_nothing_is_not_slowed_down_by_others() -> None:
    """What clients create fills the outbox as well; the next run may be due in a moment."""
    loops = Loops([])
    loops.pace.note_taken(Backlog(10 * MOST_AHEAD_ENTRIES))
    async with asyncio.timeout(SOON):
        await loops.pace.after_staging(0)


async def test_who_leaves_holds_nobody_up() -> None:
    waiting = Pace()
    staging = asyncio.create_task(waiting.after_staging(1, SOON))
    await asyncio.sleep(0)
    waiting.end()
    async with asyncio.timeout(SOON):
        await staging


async def test_it_is_behind_while_more_is_due_than_goes_out_at_once() -> None:
    loops = Loops([MOST_AHEAD_ENTRIES + 1])
    emits, found = loops.emitter, list[bool]()
    emits._note("", emitting=True)
    found.append(emits.is_behind)
    await emits._stage_alone("", 0)
    found.append(emits.is_behind)
    await loops.publish_all(1)
    found.append(emits.is_behind)
    loops.is_busy = True
    found.append(emits.is_behind)
    emits.halt()
    found.append(emits.is_behind)
    assert found == [False, True, False, True, False], "who emits nothing is not waited for"
