"""Emits the runs of a shard: one loop stages due runs, one takes the outbox to Kafka in batches.

While few runs are due, the loops wait for each other, so that one transaction publishes all runs
that were staged during the one before; while many are due, both go on, and staging stays a little
ahead (docs/decisions/0006).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from scheduling_srv.app.calls import cancel_all, raise_first
from scheduling_srv.app.owner.batch import Batch, BatchPublisher
from scheduling_srv.app.owner.refusals import Refusals
from scheduling_srv.app.owner.stager import Stager, StageResult
from scheduling_srv.app.ports import ExactClock, Outbox
from scheduling_srv.app.replies import Backlog, Cursor, Signal, Staged, Taken
from scheduling_srv.app.waiting import Alarm, wait
from scheduling_srv.domain.errors import Diverged, StoreFull
from scheduling_srv.formats.position_record import Position
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.states import Kind, State

FEW_RUNS = 200
"""The next staging call waits for the publisher after one that staged fewer."""
MOST_AHEAD_ENTRIES = 1_000
"""Staging waits while the outbox holds so many that nobody has taken: a transaction."""
MOST_AHEAD_BYTES = 8_000_000
"""The same in bytes: a transaction of large jobs has few entries."""
PATIENCE_SECONDS = 0.1
"""Neither loop waits longer for the other."""
PUBLISH_LOOK_SECONDS = 1.0
"""The publish loop looks so often without being called."""
FULL_LOOK_MS = 500
"""The stage loop looks so often whether a full Redis has room again."""
LONGEST_SLEEP_SECONDS = 2.0
"""Then the stage loop looks at the clock again: an operator may have set it."""
NEVER = 1 << 62
"""An instant that does not come."""


class Pace:
    """How the two loops wait for each other. It knows how much of the outbox nobody has taken."""

    def __init__(self) -> None:
        self._left = Backlog()
        self._gathers = False
        """Whether the stage loop waits until the publish loop takes the few runs it has staged."""
        self._may_stage = asyncio.Event()
        self._may_take = asyncio.Event()

    def note_staged(self, entries: int, size: int) -> None:
        """More entries are in the outbox."""
        self._left = Backlog(self._left.entries + entries, self._left.size + size)

    def note_taken(self, left: Backlog) -> None:
        """A batch was taken; `left` are the entries that nobody has taken."""
        self._left = left
        if not _is_far_ahead(left) and not self._gathers:
            self._may_stage.set()

    def note_looked(self) -> None:
        """The stage loop has staged all that is due: the publish loop need not wait."""
        self._may_take.set()

    async def after_staging(self, entries: int, *, more: bool = False) -> None:
        """The stage loop: return when the batch under way has ended, or enough was taken.

        `more`: something else is due already. A job that is late runs once in each call.
        """
        self._may_take.set()
        few = entries < FEW_RUNS and not more
        if entries and (few or _is_far_ahead(self._left)):
            self._may_stage.clear()
            self._gathers = few
            try:
                await wait(self._may_stage, PATIENCE_SECONDS)
            finally:
                self._gathers = False

    async def before_taking(self) -> None:
        """The publish loop: let a stage loop that gathers look once more."""
        if self._gathers:
            self._may_take.clear()
            self._may_stage.set()
            await wait(self._may_take, PATIENCE_SECONDS)

    def before_offered(self) -> None:
        """The publish loop has a batch already. If more is left, there is nothing to gather for."""
        if self._left.entries:
            self._may_stage.set()

    def end(self) -> None:
        """Neither loop waits for the other any more."""
        self._may_stage.set()
        self._may_take.set()


class Emitter:
    """Of one shard. `begin` after each recovery, then `run`."""

    def __init__(
        self,
        *,
        shard: int,
        stager: Stager,
        outbox: Outbox,
        publisher: BatchPublisher,
        refusals: Refusals,
        clock: ExactClock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shard = shard
        self.stager = stager
        self.outbox = outbox
        self.publisher = publisher
        self.refusals = refusals
        self.clock = clock
        self.monotonic = monotonic
        self.pace = Pace()
        self.emitting = False
        self.problem = ""
        """Why nothing is staged; empty: it is, or the owner knows why not."""
        self._offered: Batch | None = None
        """Taken in a staging call: the publish loop need not ask."""
        self._taking = asyncio.Lock()
        """A loop holds it while it takes or publishes a batch. The stage loop never waits for it:
        its cursor would be out of date."""
        self._publishing = False
        """Whether the publish loop has the lock, or waits for it."""
        self._sleep_until = NEVER
        self._due = asyncio.Event()
        self._work = asyncio.Event()
        self._waiting = metrics.Part(metrics.OUTBOX)
        self._alarm = Alarm(f"alarm-{shard}")
        self._stages = State("due runs wait", "due runs go on", kind=Kind.CHANGE, shard=shard)

    # --- For the owner ------------------------------------------------------------------------

    def begin(self, position: Position, lineage: str) -> None:
        """Go on from where recovery has found Kafka to be."""
        self._offered = None
        self.publisher.begin(position, lineage)
        self._note("", emitting=True)

    def halt(self) -> None:
        """Nothing is emitted until `begin`: the owner is in doubt."""
        self._note("", emitting=False)

    def end(self, why: str) -> None:
        """This replica does not emit the shard any more."""
        self.halt()
        self._stages.ends(why)

    def notice(self, signal: Signal) -> None:
        """Something happened in the store: wake the loops that it concerns."""
        if signal.kind not in {"work", "connected"}:
            return
        self._work.set()
        due = 0 if signal.kind == "connected" else signal.due
        if due is not None and due < self._sleep_until:
            self._sleep_until = due
            self._due.set()

    async def run(self, token: str, leaving: asyncio.Event) -> None:
        """Emit until `leaving` is set and all that was staged is published.

        Raises `Diverged`, `LeaseLost`, `PublishFailed` and `Unavailable`: then recover.
        """
        loops = self._stage(token, leaving), self._publish(token, leaving), self._follow()
        tasks = [asyncio.create_task(loop) for loop in loops]
        stop = asyncio.create_task(leaving.wait())
        try:
            done, _ = await asyncio.wait((*tasks, stop), return_when=asyncio.FIRST_COMPLETED)
            if stop in done:
                self._wake()
                await asyncio.wait(tasks[:2])
                done = set(tasks[:2])
            ended = [task for task in done if task is not stop]
            done.clear()
            raise_first(ended)
        finally:
            await cancel_all((*tasks, stop))
            tasks.clear()  # see `raise_first`

    def _wake(self) -> None:
        self._due.set()
        self._work.set()
        self.pace.end()

    def _note(self, problem: str, *, emitting: bool) -> None:
        self.emitting, self.problem = emitting, problem
        metrics.note_owner(self.shard, emits=emitting)

    # --- The stage loop -----------------------------------------------------------------------

    async def _stage(self, token: str, leaving: asyncio.Event) -> None:
        await self._apply_inputs(leaving)
        while not leaving.is_set():
            self._sleep_until = NEVER  # signals during the call count
            began = self.clock.now()
            result = await self._stage_round(token, began)
            self._sleep_until = min(self._sleep_until, result.sleep_until)
            if result.entries:
                self._work.set()
            if not leaving.is_set():
                more = result.sleep_until <= began
                await self.pace.after_staging(result.entries, more=more)
            await self._sleep(leaving)
        self.pace.end()

    async def _apply_inputs(self, leaving: asyncio.Event) -> None:
        """Apply the events that were sent while there was no owner, before overdue runs."""
        tasks = [
            asyncio.create_task(self.stager.apply_inputs()),
            asyncio.create_task(leaving.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            raise_first([task for task in tasks[:1] if task.done()])
        finally:
            await cancel_all(tasks)
            tasks.clear()  # see `raise_first`

    async def _stage_round(self, token: str, now: int) -> StageResult:
        """Stage, plan and expire. A full Redis ends no loop: publishing and answers make room."""
        try:
            staged = await self.stage_once(token, now)
            result = await self.stager.finish(token, now, staged)
        except StoreFull as fault:
            if str(fault) != self.problem:
                self._stages.fails(str(fault))
            self._note(str(fault), emitting=False)
            return StageResult(0, self.clock.now() + FULL_LOOK_MS)
        self._stages.works()
        self._note("", emitting=True)
        return result

    async def stage_once(self, token: str, now: int) -> Staged:
        """One staging call. It takes a batch as well if the publish loop is at rest."""
        at, cursor = self._now(), self._cursor_at_rest()
        if cursor is None:
            staged = await self.stager.stage(token, now)
            self.pace.note_staged(staged.entries, staged.size)
            return staged
        async with self._taking:
            staged = await self.stager.stage(token, now, cursor)
            if staged.taken:
                self.offer(Batch(at, cursor, staged.taken))
        self.pace.note_looked()
        return staged

    def _cursor_at_rest(self) -> Cursor | None:
        return None if self._publishing or self._offered else self.publisher.cursor()

    def offer(self, batch: Batch) -> None:
        """The publish loop publishes it next, unless it may wait for more."""
        self._note_taken(batch)
        if batch.taken.entries and not self._is_for_later(batch.taken):
            self._offered = batch
            self._work.set()

    async def _sleep(self, leaving: asyncio.Event) -> None:
        if self._sleep_until > self.clock.now():
            self.pace.note_looked()
        while (left := self.clock.until(self._sleep_until)) > 0 and not leaving.is_set():
            self._due.clear()
            await self._alarm.wait(self._due, min(left, LONGEST_SLEEP_SECONDS))

    # --- The publish loop ---------------------------------------------------------------------

    async def _publish(self, token: str, leaving: asyncio.Event) -> None:
        """Publish until `leaving`, and then until nothing is left."""
        while True:
            self._work.clear()
            stopping = leaving.is_set()
            if await self.publish_once(token):
                continue
            if stopping and self.publisher.settled:
                return
            await wait(self._work, PUBLISH_LOOK_SECONDS)

    async def publish_once(self, token: str) -> int:
        """Publish a batch, at the pace of the stage loop; returns how many entries it had."""
        if self._offered:
            self.pace.before_offered()
        else:
            await self.pace.before_taking()
        self._publishing = True
        try:
            async with self._taking:
                return await self._publish_next(token)
        finally:
            self._publishing = False

    async def _publish_next(self, token: str) -> int:
        await self.publisher.prepare()
        if (cursor := self.publisher.cursor()) is None:
            return 0
        batch, self._offered = self._offered or await self._take(token, cursor), None
        if batch.taken.after != cursor.published + cursor.ahead:
            raise Diverged("What was taken does not follow what was published.")
        if await self.refusals.screen(token, cursor.lineage, batch.taken):
            return 1  # other entries stand there now
        if batch.taken.entries and self._is_for_later(batch.taken):
            return 0
        ahead = self._cursor_ahead(batch)
        if ahead is None:
            return await self.publisher.publish(batch)
        return await self._publish_and_take(token, batch, ahead)

    def _cursor_ahead(self, batch: Batch) -> Cursor | None:
        """From where to take during the publication of `batch`, if more waits already."""
        if batch.taken.waiting <= len(batch.taken.entries):
            return None
        return self.publisher.cursor(under_way=batch)

    async def _publish_and_take(self, token: str, batch: Batch, cursor: Cursor) -> int:
        """Take the next batch while Kafka commits; that trims what was published before."""
        published, ahead = await asyncio.gather(
            self.publisher.publish(batch), self._take(token, cursor), return_exceptions=True
        )
        if isinstance(published, BaseException):
            raise published
        if isinstance(ahead, BaseException):
            raise ahead
        entries = ahead.taken.entries
        if entries and not self.publisher.may_wait(entries):
            self._offered = ahead  # else the next round asks again: there may be more by then
        return published

    async def _take(self, token: str, cursor: Cursor) -> Batch:
        at = self._now()
        batch = Batch(at, cursor, await self.outbox.take(token, cursor, self.clock.now()))
        self._note_taken(batch)
        return batch

    def _note_taken(self, batch: Batch) -> None:
        self._waiting.set(batch.taken.waiting)
        self.pace.note_taken(batch.taken.left(batch.cursor.ahead))

    def _is_for_later(self, taken: Taken) -> bool:
        return taken.waiting == len(taken.entries) and self.publisher.may_wait(taken.entries)

    def _now(self) -> float:
        return self.monotonic() * 1000

    async def _follow(self) -> None:
        """The transactions that a publisher owes for earlier batches."""
        while True:
            try:
                await self.publisher.follow()
            finally:
                self._work.set()  # runs may have waited for it, or the publish loop has to end


def _is_far_ahead(left: Backlog) -> bool:
    return left.entries >= MOST_AHEAD_ENTRIES or left.size >= MOST_AHEAD_BYTES
