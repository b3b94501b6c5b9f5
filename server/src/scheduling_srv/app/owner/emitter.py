"""Emits the runs of a shard: one loop stages them, one takes the outbox to Kafka in batches.

The stage loop stages and takes runs shortly before they are due; the publish loop holds each run
until its time (docs/decisions/0028). While many are due, staging stays a little ahead of
publishing (docs/decisions/0006).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from scheduling_srv.app.calls import cancel_all, raise_first
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.owner.batch import Batch, BatchPublisher
from scheduling_srv.app.owner.hand import Hand, rest_of
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.owner.refusals import Refusals
from scheduling_srv.app.owner.stager import Stager, StageResult
from scheduling_srv.app.ports import ExactClock, Outbox
from scheduling_srv.app.replies import Backlog, Cursor, Signal, Staged
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
TAKE_BELOW_ENTRIES = 500
"""Entries in hand from which on no more are taken: half a transaction."""
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

    async def after_staging(self, entries: int, seconds: float = PATIENCE_SECONDS) -> None:
        """The stage loop: return when the batch under way has ended, or enough was taken.

        While few runs are due, return after `seconds` at the latest: then another one is due.
        """
        self._may_take.set()
        few = entries < FEW_RUNS and seconds > 0
        if entries and (few or _is_far_ahead(self._left)):
            self._may_stage.clear()
            self._gathers = few
            try:
                limit = min(seconds, PATIENCE_SECONDS) if few else PATIENCE_SECONDS
                await wait(self._may_stage, limit)
            finally:
                self._gathers = False

    async def before_taking(self) -> None:
        """The publish loop: let a stage loop that gathers look once more."""
        if self._gathers:
            self._may_take.clear()
            self._may_stage.set()
            await wait(self._may_take, PATIENCE_SECONDS)

    def before_publishing(self) -> None:
        """The publish loop has a batch already. The stage loop prepares the one after it."""
        self._may_stage.set()

    @property
    def left(self) -> int:
        """Entries of the outbox that nobody has taken, as far as is known."""
        return self._left.entries

    @property
    def is_far_ahead(self) -> bool:
        """Whether the outbox holds a transaction that nobody has taken."""
        return _is_far_ahead(self._left)

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
        hold: Hold,
        known: KnownRuns,
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
        """It emits, and not only means to."""
        self.changed = asyncio.Event()
        """Set whenever `emitting` changes."""
        self._has_looked = self._has_shown = False
        """Since the last recovery it has staged once, and it has emitted (see `_show`)."""
        self.problem = ""
        """Why nothing is staged; empty: it is, or the owner knows why not."""
        self._hold = hold
        self._known = known
        self._hand = Hand(MOST_AHEAD_ENTRIES, hold)
        self._end = 0
        """Number of the last entry that was taken."""
        self._trimmed = 0
        """Number of the last entry that is trimmed, as far as this owner has seen to it."""
        self._taking = asyncio.Lock()
        """Held during a call that takes: `_end` holds for one call."""
        self._sleep_until = NEVER
        self._due = asyncio.Event()
        self._work = asyncio.Event()
        self._waiting = metrics.Part(metrics.OUTBOX)
        self._alarm = Alarm(f"alarm-{shard}")
        self._release = Alarm(f"release-{shard}")
        self._stages = State("due runs wait", "due runs go on", kind=Kind.CHANGE, shard=shard)

    @property
    def is_behind(self) -> bool:
        """Whether more is due or stored than goes out at once: other work should wait."""
        return self.emitting and (self.stager.is_busy or self.pace.is_far_ahead)

    # --- For the owner ------------------------------------------------------------------------

    def begin(self, position: Position, lineage: str) -> None:
        """Go on from where recovery has found Kafka to be."""
        self._hand.clear()
        self._hold.begin()
        self._end = self._trimmed = position.number
        self.publisher.begin(position, lineage)
        self._has_looked = self._has_shown = False
        self._note("", emitting=False)

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
        if due is not None and due - self.stager.wake_ahead < self._sleep_until:
            self._sleep_until = due - self.stager.wake_ahead
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
        if emitting != self.emitting:
            self.changed.set()
        self.emitting, self.problem = emitting, problem
        metrics.note_owner(self.shard, emits=emitting)

    def _show_if_settled(self) -> None:
        """It emits as well if nothing was due, and nothing is left to publish."""
        if self._has_shown or not self._has_looked:
            return
        if self.pace.left <= 0 and self._is_settled():
            self._show()

    def _show(self) -> None:
        """It emits: an outage can end unseen, but health says so only after the first batch."""
        self._has_shown = True
        self._note(self.problem, emitting=not self.problem)

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
                await self.pace.after_staging(result.entries, self.clock.until(result.sleep_until))
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
        self._has_looked = True
        self._note("", emitting=self._has_shown)
        self._show_if_settled()
        return result

    async def stage_once(self, token: str, now: int) -> Staged:
        """One staging call. It also takes, unless enough is in hand or another call takes."""
        if self._taking.locked():
            return await self._stage_alone(token, now)
        async with self._taking:
            if (cursor := self._cursor()) is None:
                return await self._stage_alone(token, now)
            at = self._now()
            staged = await self.stager.stage(token, now, cursor)
            if staged.taken:
                self._add(Batch(at, cursor, staged.taken))
                self._work.set()
        self.pace.note_looked()
        return staged

    async def _stage_alone(self, token: str, now: int) -> Staged:
        staged = await self.stager.stage(token, now)
        self.pace.note_staged(staged.entries, staged.size)
        return staged

    def _cursor(self) -> Cursor | None:
        """From where to take; None: enough is in hand, or nothing may be taken."""
        if self._hand.entries >= TAKE_BELOW_ENTRIES:
            return None
        return self.publisher.cursor(self._end)

    def _add(self, batch: Batch) -> None:
        """Take a batch in hand."""
        if batch.taken.after != self._end:
            raise Diverged("What was taken does not follow what was published.")
        self._end += len(batch.taken.entries)
        self._trimmed = batch.cursor.published
        self._known.forget(self._trimmed)
        self._hand.add(batch._replace(taken=self._known.leave_out(batch.taken)))
        self._waiting.set(batch.taken.waiting)
        self.pace.note_taken(batch.taken.left(batch.cursor.ahead))

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
            self._show_if_settled()
            if stopping and self._is_settled():
                return
            await self._until_work()

    def _is_settled(self) -> bool:
        return not self._hand.is_held and self.publisher.is_settled(self._trimmed)

    async def _until_work(self) -> None:
        """Wait for news, or until the run in hand may go."""
        if (opens := self._hand.opens()) is None:
            await wait(self._work, PUBLISH_LOOK_SECONDS)
        elif (left := self.clock.until(opens)) > 0:
            await self._release.wait(self._work, min(left, PUBLISH_LOOK_SECONDS))

    async def publish_once(self, token: str) -> int:
        """Publish what is due in hand; returns how many entries, 0: nothing may go now.

        If nothing is in hand it takes first. While it publishes it takes what follows.
        """
        await self.publisher.prepare()
        batch = self._hand.due()
        if batch is None or self._may_wait(batch):
            self._put_back(batch)
            if not self._hand.is_held:
                await self.pace.before_taking()
                await self._take_unless_due(token)
            batch = self._hand.due()
        if batch is None or self._may_wait(batch):
            self._put_back(batch)
            return 0
        self.pace.before_publishing()
        return await self._publish_batch(token, batch)

    def _may_wait(self, batch: Batch) -> bool:
        return not self._hand.entries and self.publisher.may_wait(batch.taken.entries)

    def _put_back(self, batch: Batch | None) -> None:
        if batch:
            self._hand.put_back(batch)

    async def _take_unless_due(self, token: str) -> None:
        """Take, unless a call under way has taken something that may go."""
        before = self._end
        async with self._taking:
            if self._end == before and (cursor := self.publisher.cursor(before)):
                await self._take(token, cursor)

    async def _publish_batch(self, token: str, batch: Batch) -> int:
        if self.publisher.is_stale(batch) or await self._is_screened(token, batch):
            await self._forget(batch)
            return 1  # take it again: other entries may stand there now
        if not self.pace.left or self._taking.locked():
            return await self._publish_front(batch)
        taken, published = await asyncio.gather(
            self._take_more(token), self._publish_front(batch), return_exceptions=True
        )
        if isinstance(published, BaseException):
            raise published
        if isinstance(taken, BaseException):
            raise taken
        return published

    async def _take_more(self, token: str) -> None:
        """Take while Kafka commits; that trims what was published before."""
        async with self._taking:
            if cursor := self._cursor():
                await self._take(token, cursor)

    async def _is_screened(self, token: str, batch: Batch) -> bool:
        return await self.refusals.screen(token, batch.cursor.lineage, batch.taken)

    async def _forget(self, batch: Batch) -> None:
        async with self._taking:
            self._hand.clear()
            self._end = batch.taken.after

    async def _publish_front(self, batch: Batch) -> int:
        """The publisher may publish less than all of it: the rest stays in hand."""
        published = await self.publisher.publish(batch)
        if published and not self._has_shown:
            self._show()
        self._put_back(rest_of(batch, published))
        return published

    async def _take(self, token: str, cursor: Cursor) -> None:
        at = self._now()
        self._add(Batch(at, cursor, await self.outbox.take(token, cursor, self.clock.now())))

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
