"""Changes the jobs of one shard: short lists go together, long ones in pieces."""

from __future__ import annotations

import time
from collections.abc import Sequence

from scheduling_srv.app import deadline
from scheduling_srv.app.budget import DELETED_IDS, is_long
from scheduling_srv.app.grouping import GroupCommit, Outcome
from scheduling_srv.app.lists import CONTENDED, DELETE, LARGE, MOVING, PATIENCE_SECONDS, Lists
from scheduling_srv.app.ports import Clock, Receipt, Source, WriteGroup, Written
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.domain.errors import Contended
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.limits import Limits


class ShardWriter:
    """Of one shard. All ids and jobs that it is given belong there."""

    def __init__(self, ports: ShardPorts, clock: Clock, *, gathers: bool) -> None:
        """`gathers`: a call for a few jobs waits for others while Kafka would make it wait."""
        self.store = ports.store
        self.lists = ports.lists
        self.clock = clock
        gathering = ports.announcements.gathering if gathers else None
        self.commits = GroupCommit(ports.store, clock, gathering)

    async def write(self, group: WriteGroup) -> Outcome:
        """Write the list of a call, together with others or in pieces. Raises `Unavailable`."""
        if is_long(group):
            return await self._write_long(group)
        attempts, write = _Attempts(self.lists), self.commits.write
        while True:
            outcome = await write(group)
            reason = outcome[1].reason if outcome[1] else ""
            if reason == LARGE:
                if len(group.jobs) > 1:
                    return await self._write_long(group)
                write = self._write_alone
            elif reason == MOVING:
                await attempts.again()
            else:
                return outcome

    async def write_from(self, groups: Sequence[WriteGroup], source: Source) -> Written:
        """Write the groups of records; of long ones only the first is looked at.

        As `JobStore.write`, but no group is refused because a long list is in its way.
        """
        first, own = groups[0], groups[0].own(source)
        if is_long(first):
            return _written(await self._write_long(first, own))
        attempts = _Attempts(self.lists)
        while True:
            written = await self.store.write(groups, self.clock.now(), source)
            last = written.refusals[-1]
            if not last or last.reason not in {MOVING, LARGE}:
                return written
            if len(written.refusals) > 1:
                return Written(written.receipt, written.refusals[:-1])
            if last.reason == LARGE:
                return _written(await self._write_long(first, own))
            await attempts.again()

    async def _write_alone(self, group: WriteGroup) -> Outcome:
        """Write a single job that others had no room for: alone it is never too large.

        A list in pieces would not ask for the creation number that an Update has read.
        """
        written = await self.store.write([group], self.clock.now())
        return written.receipt, written.refusals[0]

    async def _write_long(self, group: WriteGroup, source: Source | None = None) -> Outcome:
        return await self.lists.write(group.mode, group.jobs, source, named=bool(group.named))

    async def delete(self, ids: Sequence[str], within: Limits | None = None) -> Receipt:
        """Delete the jobs that exist, some at a time: a caller without an answer asks again."""
        receipt, left = Receipt("", 0), ids
        while left:
            receipt, done = await self._delete(left[:DELETED_IDS], None, within)
            left = left[done:]
        return receipt

    async def delete_from(self, ids: Sequence[str], source: Source) -> Receipt:
        """The same for a record: all of it, and its position, in one step.

        Otherwise a record that is read again would delete a job that was created since.
        """
        if len(ids) <= DELETED_IDS:
            receipt, done = await self._delete(ids, source)
            if done:
                return receipt
        jobs = [NewJob(job_id, 0, b"") for job_id in ids]
        receipt, _ = await self.lists.write(DELETE, jobs, source)
        return receipt

    async def _delete(
        self, ids: Sequence[str], source: Source | None, within: Limits | None = None
    ) -> tuple[Receipt, int]:
        attempts = _Attempts(self.lists)
        while True:
            try:
                return await self.store.delete(ids, self.clock.now(), source, within)
            except Contended:
                await attempts.again()


class _Attempts:
    """Attempts of a call that a long list may be in the way of.

    No async generator: asyncio closes one that is left early in a task, which each call would pay.
    """

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self._ends = time.monotonic() + deadline.at_most(PATIENCE_SECONDS)

    async def again(self) -> None:
        """Let that list come to its end. Raises `Contended` when it does not in time."""
        if time.monotonic() >= self._ends:
            raise Contended(CONTENDED)
        await self.lists.settle()


def _written(outcome: Outcome) -> Written:
    receipt, refusal = outcome
    return Written(receipt, [refusal])
