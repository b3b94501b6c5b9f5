"""Moves due runs into the outbox, at their instant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from scheduling_srv.app.ended import note_ended
from scheduling_srv.app.given_up import note_given_up
from scheduling_srv.app.owner.catch_up import CatchUp
from scheduling_srv.app.owner.planner import Planner
from scheduling_srv.app.ports import Clock, Schedule
from scheduling_srv.app.replies import Staged
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.runtime import metrics, points
from scheduling_srv.runtime.failpoints import reached

SAFETY_LOOK = 2_000
"""Milliseconds after which it looks although nobody called: signals may be lost."""
FULL_PAUSE = 50
"""Milliseconds to wait when Kafka is behind."""
EXPIRE_LIMIT = 500
"""Runs that time out in one call."""
INPUTS_LOOK_MS = 200
"""After so long it looks again whether runs may expire: the inputs before were not read yet."""


StageCall: TypeAlias = Callable[[str, int, int], Awaitable[Staged]]
"""`Schedule.stage` with a token, the time and a limit, or what calls it."""


class StageResult(NamedTuple):
    """One round."""

    entries: int
    """Entries that were put into the outbox."""
    sleep_until: int
    """Epoch ms of the next round, unless something earlier comes up."""


class Stager:
    """The loop that makes jobs run. The owner's."""

    def __init__(
        self,
        schedule: Schedule,
        planner: Planner,
        clock: Clock,
        rules: ShardRules,
        catch_up: CatchUp,
    ) -> None:
        self.catch_up = catch_up
        self.schedule = schedule
        self.planner = planner
        self.clock = clock
        self.rules = rules
        self.limit = rules.stage_limit

    async def run_once(self, token: str, stage: StageCall) -> StageResult:
        """Stage what is due by now. Raises `LeaseLost`, `Diverged` and `StoreUnavailable`."""
        now = self.clock.now()
        await reached(points.STAGE_CALL)
        staged = await stage(token, now, self.limit)
        await reached(points.STAGE_DONE)
        busy = staged.entries >= self.limit  # each call costs a write to disk: make fewer
        self.limit = self.rules.most_staged if busy else self.rules.stage_limit
        if staged.full:
            return StageResult(0, now + FULL_PAUSE)
        wants_plans = staged.unplanned or not self.planner.begun
        if wants_plans and await self.planner.run_once(token):
            return StageResult(staged.entries, now)
        expiry = _expiry(staged.oldest_start, self.rules.completion_timeout)
        if expiry is not None and expiry <= now:
            if not self.catch_up.covers(expiry):
                return StageResult(staged.entries, _first(now + INPUTS_LOOK_MS, staged.next_due))
            await reached(points.EXPIRE_CALL)
            as_of = min(now, self.catch_up.read_at)
            expired = await self.schedule.expire(token, as_of, EXPIRE_LIMIT)
            await reached(points.EXPIRE_DONE)
            metrics.RUNS_EXPIRED.inc(expired.expired)
            note_given_up(expired.given_up)
            note_ended(expired.ended, "timed-out")
            return StageResult(staged.entries, now)
        return StageResult(staged.entries, _first(now + SAFETY_LOOK, staged.next_due, expiry))


def _first(*instants: int | None) -> int:
    return min(instant for instant in instants if instant is not None)


def _expiry(oldest_start: int | None, timeout: int) -> int | None:
    return None if oldest_start is None else oldest_start + timeout
