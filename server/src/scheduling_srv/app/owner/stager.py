"""Moves due runs into the outbox at their instant, and keeps the schedule going after that.

After each staging call it plans cron jobs that have run, and expires runs that got no answer.
"""

from __future__ import annotations

from typing import NamedTuple

from scheduling_srv.app.ended import note_ended
from scheduling_srv.app.given_up import note_given_up
from scheduling_srv.app.owner.catch_up import CatchUp
from scheduling_srv.app.owner.planner import Planner
from scheduling_srv.app.ports import Schedule
from scheduling_srv.app.replies import Cursor, Staged
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.runtime import metrics

SAFETY_LOOK_MS = 2_000
"""It looks so often without being called: signals may be lost."""
FULL_PAUSE_MS = 50
"""The pause while the outbox is full: Kafka is slow or away."""
EXPIRE_RUNS = 500
"""So many time out in one call."""
INPUTS_LOOK_MS = 200
"""It looks so often whether runs may expire whose inputs were not read yet."""


class StageResult(NamedTuple):
    """One round."""

    entries: int
    """Entries that were put into the outbox."""
    sleep_until: int
    """Epoch ms of the next round, unless something earlier comes up."""


class Stager:
    """Of one shard, for its emitter."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        planner: Planner,
        catch_up: CatchUp,
        rules: ShardRules,
    ) -> None:
        self.schedule = schedule
        self.planner = planner
        self.catch_up = catch_up
        self.rules = rules
        self.limit = rules.stage_limit
        self.wake_ahead = rules.stage_ahead // 2
        """Milliseconds between a look and the run that it is for: a staging call, and some more.

        The call stages further ahead than that: else there would be one call for each run.
        """
        self._busy = False
        """More was due than one call stages: nothing is gained by looking ahead."""

    @property
    def is_busy(self) -> bool:
        """Whether more was due at the last look than one call stages."""
        return self._busy

    async def apply_inputs(self) -> None:
        """Apply waiting events, before anything is staged."""
        await self.catch_up.before_staging()

    async def stage(self, token: str, now: int, cursor: Cursor | None = None) -> Staged:
        """Stage what is due by `now` and soon after, as `Schedule.stage` does."""
        lead = 0 if self._busy else self.rules.stage_ahead
        staged = await self.schedule.stage(token, now, self.limit, cursor, lead)
        # Each call costs a write to disk: make fewer.
        busy = self._busy = staged.entries >= self.limit
        self.limit = self.rules.most_staged if busy else self.rules.stage_limit
        return staged

    async def finish(self, token: str, now: int, staged: Staged) -> StageResult:
        """Plan and expire after a staging call. Raises `LeaseLost` and `StoreUnavailable`."""
        if staged.full:
            return StageResult(0, now + FULL_PAUSE_MS)
        wants_plans = staged.unplanned or not self.planner.begun
        if wants_plans and await self.planner.run_once(token):
            return StageResult(staged.entries, now)
        wake = self._wake(now, staged)
        expiry = _expiry(staged, self.rules.completion_timeout)
        if expiry is not None and expiry <= now:
            if not self.catch_up.covers(expiry):
                return StageResult(staged.entries, _first(now + INPUTS_LOOK_MS, wake))
            await self._expire(token, now)
            return StageResult(staged.entries, now)
        return StageResult(staged.entries, _first(now + SAFETY_LOOK_MS, wake, expiry))

    def _wake(self, now: int, staged: Staged) -> int | None:
        """When to look for the next run: ahead of its time, unless this call has looked at it."""
        if staged.next_due is None:
            return None
        ahead = staged.next_due - self.wake_ahead
        return ahead if ahead > now or self._busy else staged.next_due

    async def _expire(self, token: str, now: int) -> None:
        as_of = min(now, self.catch_up.read_at)
        expired = await self.schedule.expire(token, as_of, EXPIRE_RUNS)
        metrics.RUNS_EXPIRED.inc(expired.expired)
        note_given_up(expired.given_up)
        note_ended(expired.ended, "timed-out")


def _first(*instants: int | None) -> int:
    return min(instant for instant in instants if instant is not None)


def _expiry(staged: Staged, timeout: int) -> int | None:
    """When the first run may count as failed."""
    if staged.oldest_start is None:
        return staged.deadline
    return _first(staged.oldest_start + timeout, staged.deadline)
