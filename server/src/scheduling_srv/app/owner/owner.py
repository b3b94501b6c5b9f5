"""Owns a shard: holds its lease, recovers it, and runs its emitter until the lease is lost.

Whatever is in doubt, the owner recovers under the same lease; other replicas stand by in `run`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from scheduling_srv.app.calls import cancel, cancel_all, raise_first
from scheduling_srv.app.owner.balance import Holdings
from scheduling_srv.app.owner.emitter import Emitter
from scheduling_srv.app.owner.refusals import Refusals
from scheduling_srv.app.owner.standby import StandBy
from scheduling_srv.app.ports import Clock, Lease
from scheduling_srv.app.recovery.recovery import Recovery
from scheduling_srv.app.replies import Signal
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.supervision import Work
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import (
    Diverged,
    Fenced,
    LeaseLost,
    NewerData,
    PublishFailed,
    RecordRefused,
    SchedulingError,
    StoreUnavailable,
    Unavailable,
)
from scheduling_srv.formats.position_record import Position
from scheduling_srv.runtime.states import Kind, State

log = structlog.get_logger(__name__)

RETRY_PAUSE_SECONDS = 0.5
"""Between attempts to recover."""
RECOVERING = "The owner of the shard recovers it from Redis and Kafka."
"""Why nothing is emitted once Redis answers again."""
GONE = "This replica does not own the shard any more."


class Owner:
    """Of one shard, in each replica. One replica at a time has the lease; the others stand by."""

    def __init__(
        self,
        *,
        name: str,
        shard: int = 0,
        lease: Lease,
        standby: StandBy,
        holdings: Holdings,
        recovery: Recovery,
        refusals: Refusals,
        emitter: Emitter,
        beside: Sequence[Work] = (),
        clock: Clock,
        rules: ShardRules,
    ) -> None:
        """`beside` is work that the owner does while it emits, until it is cancelled."""
        self.name = name
        self.shard = shard
        self.lease = lease
        self.standby = standby
        self.holdings = holdings
        self.recovery = recovery
        self.refusals = refusals
        self.emitter = emitter
        self.beside = beside
        self.clock = clock
        self.rules = rules
        self._problem = "The schedule has not been recovered yet."
        self._emits = State("not emitting", "emitting again", kind=Kind.EFFECT, shard=shard)
        self._store_was_away = False
        """The reason why nothing is emitted is that Redis did not answer."""
        self._released = asyncio.Event()
        self._stopping = asyncio.Event()
        self._leaving = asyncio.Event()

    @property
    def owning(self) -> bool:
        """Whether this replica has the lease, as far as it knows."""
        return self.shard in self.holdings

    @property
    def emitting(self) -> bool:
        """Whether due runs are emitted here."""
        return self.emitter.emitting

    @property
    def is_behind(self) -> bool:
        """Whether more runs are due here than go out at once."""
        return self.emitter.is_behind

    @property
    def problem(self) -> str:
        """Why they are not; empty: they are, or another replica owns the shard."""
        return self._problem or self.emitter.problem

    def notice(self, signal: Signal) -> None:
        """Something happened in the store: wake the part that it concerns."""
        if signal.kind == "released":
            self._released.set()
        else:
            self.emitter.notice(signal)

    def stop(self) -> None:
        """Finish what was begun, then give the lease back; `run` returns."""
        self._stopping.set()
        self._released.set()
        self.leave()

    def leave(self) -> None:
        """Finish what was begun, then give the lease back: others may have it."""
        self._leaving.set()

    async def run(self) -> None:
        """Own the shard whenever no other replica does, until stopped."""
        await self.standby.prepare()
        while not self._stopping.is_set():
            try:
                if seconds := self.holdings.courtesy_seconds():
                    await self._pause(seconds)
                self._released.clear()  # what is heard during the call counts
                token = await self.lease.acquire(self.name, dead=self.standby.dead)
                if token:
                    await self._own(token)
                else:
                    self._problem = ""
                    await self._stand_by()
            except Unavailable as fault:
                if isinstance(fault, NewerData) and self._problem != str(fault):
                    log.warning("the stored data is newer than this version", reason=str(fault))
                self._problem = str(fault)
                self.standby.forget()
                await self._pause(RETRY_PAUSE_SECONDS)

    async def _stand_by(self) -> None:
        await self.standby.prepare()
        await wait(self._released, await self.standby.look() / 1000)

    async def _own(self, token: str) -> None:
        log.info("lease taken", token=token)
        self.holdings.add(self.shard)
        self._problem = ""  # Redis answers: a reason of before may not hold
        if not self._stopping.is_set():
            self._leaving.clear()
        keeper = asyncio.create_task(self._keep(token))
        work = asyncio.create_task(self._work_until_lost(token))
        try:
            await asyncio.wait((keeper, work), return_when=asyncio.FIRST_COMPLETED)
            await cancel(work)
            await cancel(keeper)
            ended = [task for task in (keeper, work) if not task.cancelled()]
            del keeper, work  # see `raise_first`
            raise_first(ended)
        except LeaseLost as fault:
            log.warning("lease lost", reason=str(fault))
        finally:
            self._emits.ends(GONE)
            self.emitter.end(GONE)
            await self._release(token)
            self.holdings.discard(self.shard)

    async def _release(self, token: str) -> None:
        try:
            await self.lease.release(token)
            log.info("lease given back")
        except SchedulingError as fault:
            log.info("lease not given back: it will end by itself", reason=str(fault))

    async def _keep(self, token: str) -> None:
        """Renew the lease three times in its span, and when it begins or ends to emit.

        A Redis that is away has one span to return.
        """
        last = time.monotonic()
        while True:
            self.emitter.changed.clear()
            try:
                await self.lease.renew(token, emitting=self.emitting)
                last = time.monotonic()
            except Unavailable:
                if time.monotonic() - last > self.rules.lease / 1000:
                    raise
            await wait(self.emitter.changed, self.rules.lease / 3000)

    async def _work_until_lost(self, token: str) -> None:
        """Recover and work; whatever is in doubt, recover again."""
        refusal: RecordRefused | None = None
        fenced = False  # under this lease, so by no replica that shares our Redis
        while not self._leaving.is_set():
            recovered = False
            try:
                await self._recover(token, refusal, fenced=fenced)
                recovered, fenced = True, False
                await self._emit(token)
            except NewerData:
                raise  # a replica of a later version may have the lease
            except (Diverged, PublishFailed, Unavailable) as fault:
                self._halt(str(fault))
                self._store_was_away = type(fault) is StoreUnavailable
                refusal = fault if isinstance(fault, RecordRefused) else None
                fenced = fenced or isinstance(fault, Fenced)
                if not (refusal and recovered):
                    await self._pause(RETRY_PAUSE_SECONDS)

    async def _recover(self, token: str, refusal: RecordRefused | None, *, fenced: bool) -> None:
        began = self.clock.now()
        # Opening the producers fences the current owner of the shard: only the owner may do so.
        await self.lease.renew(token, emitting=False)
        if self._store_was_away:  # it answers: another reason holds now
            self._store_was_away = False
            self._halt(RECOVERING)
        careful = refusal is not None
        position, lineage = await self.recovery.run_once(token, careful=careful, fenced=fenced)
        if refusal:
            position = await self._settle(token, position, lineage, refusal)
        self.emitter.begin(position, lineage)
        self._problem = ""
        await self.lease.renew(token, emitting=self.emitting)
        self._emits.forget()
        log.info("emitting", position=position.number, recovered_ms=self.clock.now() - began)

    async def _settle(
        self, token: str, position: Position, lineage: str, refusal: RecordRefused
    ) -> Position:
        """Set aside what Kafka refuses, before anything is staged."""
        settled = await self.refusals.settle(token, position, lineage)
        if not settled.refused:
            if refusal.too_large:
                self.refusals.shrink_batches()
            await self._pause(RETRY_PAUSE_SECONDS)
        await self.lease.renew(token, emitting=False)
        await self.refusals.reopen()
        return settled.position

    def _halt(self, problem: str) -> None:
        self.emitter.halt()
        self._problem = problem
        self._emits.fails(problem)

    async def _emit(self, token: str) -> None:
        """Emit, and work beside it, until the shard is left. Raises what ends one of them."""
        tasks: list[asyncio.Future[None]] = [
            asyncio.create_task(self.emitter.run(token, self._leaving)),
            *(asyncio.ensure_future(work(token)) for work in self.beside),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._leaving.is_set():
                await asyncio.wait(tasks[:1])
                done = set(tasks[:1])
            ended = [*done]
            done.clear()
            raise_first(ended)
        finally:
            await cancel_all(tasks)  # the lease may be lost meanwhile: none may go on under it
            tasks.clear()  # see `raise_first`

    async def _pause(self, seconds: float) -> None:
        await wait(self._stopping, seconds)
