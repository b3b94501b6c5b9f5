"""Owning a shard: take the lease, recover, then stage and publish until the lease is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from scheduling_srv.app.calls import raise_first
from scheduling_srv.app.owner.at_least_once import AtLeastOnce
from scheduling_srv.app.owner.catch_up import CatchUp
from scheduling_srv.app.owner.publisher import OutboxPublisher
from scheduling_srv.app.owner.refusals import Refusals
from scheduling_srv.app.owner.stager import Stager, StageResult
from scheduling_srv.app.owner.standby import Prepare, StandBy
from scheduling_srv.app.owner.turns import Turns
from scheduling_srv.app.ports import ExactClock, Lease
from scheduling_srv.app.recovery.recovery import Recovery
from scheduling_srv.app.replies import Signal
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.waiting import Alarm, wait
from scheduling_srv.domain.errors import (
    Diverged,
    LeaseLost,
    PublishFailed,
    RecordRefused,
    SchedulingError,
    StoreFull,
    StoreUnavailable,
    Unavailable,
)
from scheduling_srv.formats.position_record import Position
from scheduling_srv.runtime import metrics, points
from scheduling_srv.runtime.failpoints import reached
from scheduling_srv.runtime.states import Kind, State

log = structlog.get_logger(__name__)

RETRY_PAUSE = 0.5
"""Seconds between attempts to recover."""
FULL_LOOK = 500
"""Milliseconds after which the stager looks whether Redis has room again."""
PUBLISH_LOOK = 1.0
"""Seconds after which the publisher looks without being called."""

LONGEST_SLEEP = 2.0
"""Seconds after which the stager looks at the clock again: an operator may have set it."""
CANCEL_AGAIN = 5.0
"""Seconds after which a part that was told to end is told so again: nothing may hang for ever."""
RECOVERING = "The owner of the shard recovers it from Redis and Kafka."
"""Why nothing is emitted once Redis answers again."""

NEVER = 1 << 62
"""An instant that does not come."""

Extra = Callable[[str], Awaitable[None]]
"""Further work of the owner, given its token; runs until it is cancelled."""


class Owner:
    """The loops of the one replica that emits a shard's runs. Others stand by in `run`."""

    def __init__(
        self,
        *,
        name: str,
        lease: Lease,
        recovery: Recovery,
        stager: Stager,
        publisher: OutboxPublisher | AtLeastOnce,
        clock: ExactClock,
        rules: ShardRules,
        refusals: Refusals,
        catch_up: CatchUp,
        extras: tuple[Extra, ...] = (),
        prepare: Sequence[Prepare] = (),
        shard: int = 0,
        held_back: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`held_back` says how many seconds to leave a free lease to others."""
        self.name = name
        self.shard = shard
        self.held_back = held_back
        self.lease = lease
        self.recovery = recovery
        self.refusals = refusals
        self.stager = stager
        self.publisher = publisher
        self.clock = clock
        self.rules = rules
        self.catch_up = catch_up
        self.extras = (catch_up.run, *extras)
        self.standby = StandBy(lease, clock, rules, prepare)
        self.turns = Turns(stager.schedule, publisher)
        self.owning = False
        self.emitting = False
        self.problem = "The schedule has not been recovered yet."
        self._emits = State("not emitting", "emitting again", kind=Kind.EFFECT, shard=shard)
        self._store_was_away = False
        """The reason why nothing is emitted is that Redis did not answer."""
        self._stages = State("due runs wait", "due runs go on", kind=Kind.CHANGE, shard=shard)
        self._sleep_until = NEVER
        self._alarm = Alarm(f"alarm-{shard}")
        self._due = asyncio.Event()
        self._work = asyncio.Event()
        publisher.wake = self._work.set
        self._released = asyncio.Event()
        self._stopping = asyncio.Event()
        self._leaving = asyncio.Event()

    def notice(self, signal: Signal) -> None:
        """Something happened in the store: wake whom it concerns."""
        if signal.kind in {"work", "connected"}:
            self._work.set()
            due = 0 if signal.kind == "connected" else signal.due
            if due is not None and due < self._sleep_until:
                self._sleep_until = due
                self._due.set()
        elif signal.kind == "released":
            self._released.set()

    def stop(self) -> None:
        """Finish what was begun, then give the lease back; `run` returns."""
        self._stopping.set()
        self._released.set()
        self.leave()

    def leave(self) -> None:
        """Finish what was begun, then give the lease back: others may have it."""
        for event in (self._leaving, self._due, self._work):
            event.set()
        self.turns.leave()

    async def run(self) -> None:
        """Own the shard whenever no other replica does, until stopped."""
        await self.standby.prepare()
        while not self._stopping.is_set():
            try:
                if seconds := self.held_back():
                    await self._pause(seconds)
                self._released.clear()  # what is heard during the call counts
                token = await self.lease.acquire(self.name, dead=self.standby.dead)
                if token:
                    await self._own(token)
                else:
                    self.problem = ""
                    await self._stand_by()
            except Unavailable as fault:
                self.problem = str(fault)
                self.standby.forget()
                await self._pause(RETRY_PAUSE)

    async def _stand_by(self) -> None:
        await self.standby.prepare()
        await wait(self._released, await self.standby.look() / 1000)

    async def _own(self, token: str) -> None:
        log.info("lease taken", token=token)
        self.owning, self.problem = True, ""  # Redis answers: a reason of before may not hold
        if not self._stopping.is_set():
            self._leaving.clear()
        keeper = asyncio.create_task(self._keep(token))
        work = asyncio.create_task(self._work_until_lost(token))
        try:
            await asyncio.wait((keeper, work), return_when=asyncio.FIRST_COMPLETED)
            await _cancel(work)
            await _cancel(keeper)
            ended = [task for task in (keeper, work) if not task.cancelled()]
            del keeper, work  # see `raise_first`
            raise_first(ended)
        except LeaseLost as fault:
            log.warning("lease lost", reason=str(fault))
        finally:
            self._set_emitting(emitting=False, problem=self.problem)
            for state in (self._emits, self._stages):
                state.ends("This replica does not own the shard any more.")
            await self._release(token)
            self.owning = False

    async def _release(self, token: str) -> None:
        try:
            await reached(points.LEASE_RELEASE)
            await self.lease.release(token)
            log.info("lease given back")
            await reached(points.LEASE_RELEASED)
        except SchedulingError as fault:
            log.info("lease not given back: it will end by itself", reason=str(fault))

    async def _keep(self, token: str) -> None:
        """Renew the lease three times in its span; a Redis that is away has one span to return."""
        last = time.monotonic()
        while True:
            try:
                await self.lease.renew(token, emitting=self.emitting)
                await reached(points.LEASE_RENEWED)
                last = time.monotonic()
            except Unavailable:
                if time.monotonic() - last > self.rules.lease / 1000:
                    raise
            await asyncio.sleep(self.rules.lease / 3000)

    async def _work_until_lost(self, token: str) -> None:
        """Recover and work; whatever is in doubt, recover again."""
        refusal: RecordRefused | None = None
        while not self._leaving.is_set():
            recovered = False
            try:
                await self._recover(token, refusal)
                recovered = True
                await self._loops(token)
            except (Diverged, PublishFailed, Unavailable) as fault:
                self._set_emitting(emitting=False, problem=str(fault))
                self._emits.fails(str(fault))
                self._store_was_away = type(fault) is StoreUnavailable
                refusal = fault if isinstance(fault, RecordRefused) else None
                if not (refusal and recovered):
                    await self._pause(RETRY_PAUSE)

    async def _recover(self, token: str, refusal: RecordRefused | None) -> None:
        await reached(points.LEASE_TAKEN)
        began = self.clock.now()
        # Opening the producers fences the current owner of the shard: only the owner may do so.
        await self.lease.renew(token, emitting=False)
        if self._store_was_away:  # it answers: another reason holds now
            self._store_was_away = False
            self._set_emitting(emitting=False, problem=RECOVERING)
            self._emits.fails(RECOVERING)
        position, lineage = await self.recovery.run_once(token, careful=refusal is not None)
        if refusal:
            position = await self._settle(token, position, lineage, refusal)
        self.publisher.begin(position, lineage)
        self._set_emitting(emitting=True, problem="")
        await self.lease.renew(token, emitting=True)
        self._emits.forget()
        log.info("emitting", position=position.number, recovered_ms=self.clock.now() - began)

    async def _settle(
        self, token: str, position: Position, lineage: str, refusal: RecordRefused
    ) -> Position:
        """Set aside what Kafka refuses, before anything is staged."""
        settled = await self.refusals.settle(token, position, lineage)
        if not settled.refused:
            if refusal.too_large:
                self.refusals.publisher.shrink_batches()
            await self._pause(RETRY_PAUSE)
        self.publisher.screen = self.refusals.screen
        await self.lease.renew(token, emitting=False)
        await self.refusals.reopen()
        return settled.position

    async def _loops(self, token: str) -> None:
        tasks = [
            asyncio.create_task(self._stage(token)),
            asyncio.create_task(self._publish(token)),
            *(asyncio.ensure_future(extra(token)) for extra in self.extras),
        ]
        stop = asyncio.create_task(self._leaving.wait())
        try:
            done, _ = await asyncio.wait((*tasks, stop), return_when=asyncio.FIRST_COMPLETED)
            if stop in done:
                await asyncio.wait(tasks[:2])
                done = set(tasks[:2])
            ended = [task for task in done if task is not stop]
            done.clear()
            raise_first(ended)
        finally:
            await _end((*tasks, stop))
            tasks.clear()  # see `raise_first`

    async def _stage(self, token: str) -> None:
        await self._apply_inputs()
        while not self._leaving.is_set():
            self._sleep_until = NEVER  # what is heard during the call counts
            began = self.clock.now()
            result = await self._stage_once(token)
            self._sleep_until = min(self._sleep_until, result.sleep_until)
            if result.entries:
                self._work.set()
            if not self._leaving.is_set():
                more = result.sleep_until <= began
                await self.turns.after_staging(result.entries, more=more)
            await self._sleep()
        self.turns.leave()

    async def _apply_inputs(self) -> None:
        """Apply the events that were sent while there was no owner, before overdue runs."""
        leaving = asyncio.create_task(self._leaving.wait())
        reading = asyncio.create_task(self.catch_up.before_staging())
        try:
            await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            await _end((reading, leaving))

    async def _stage_once(self, token: str) -> StageResult:
        """What makes room in a full Redis has to go on meanwhile: answers, and the publisher."""
        try:
            result = await self.stager.run_once(token, self.turns.stage)
        except StoreFull as fault:
            self._note_emitting(str(fault))
            return StageResult(0, self.clock.now() + FULL_LOOK)
        self._note_emitting("")
        return result

    def _note_emitting(self, problem: str) -> None:
        if not problem:
            self._stages.works()
        elif problem != self.problem:
            self._stages.fails(problem)
        self._set_emitting(emitting=not problem, problem=problem)

    def _set_emitting(self, *, emitting: bool, problem: str) -> None:
        self.emitting, self.problem = emitting, problem
        metrics.note_owner(self.shard, emits=emitting)

    async def _sleep(self) -> None:
        if self._sleep_until > self.clock.now():
            self.turns.nothing_due()
        while (left := self.clock.until(self._sleep_until)) > 0 and not self._leaving.is_set():
            self._due.clear()
            await self._alarm.wait(self._due, min(left, LONGEST_SLEEP))

    async def _publish(self, token: str) -> None:
        """Publish until stopped, and then until nothing is left."""
        while True:
            self._work.clear()
            stopping = self._leaving.is_set()
            entries = await self.turns.publish(token)
            if entries == 0:
                if stopping and self.publisher.settled:
                    return
                await wait(self._work, PUBLISH_LOOK)

    async def _pause(self, seconds: float) -> None:
        await wait(self._stopping, seconds)


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel all of them, and return when they have ended, also if this is cancelled meanwhile.

    The lease may be lost while a loop ends for another reason: none may go on under it.
    """
    for task in tasks:
        task.cancel()
    try:
        for task in tasks:
            await _cancel(task)
    except asyncio.CancelledError:
        for task in tasks:
            await _cancel(task)
        raise


async def _cancel(task: asyncio.Future[Any]) -> None:
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN)
    if not task.cancelled():
        task.exception()  # asyncio would log it as lost: what ended the others is what counts
