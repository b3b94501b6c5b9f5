"""The use cases where there are several shards (docs/decisions/0004)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scheduling_srv.app import deadline
from scheduling_srv.app.accepted import count_accepted
from scheduling_srv.app.budget import is_long
from scheduling_srv.app.grouping import GroupCommit
from scheduling_srv.app.jobs import ANNOUNCE_TIMEOUT, Jobs, check_deletion, refused
from scheduling_srv.app.ports import (
    NO_RECORD,
    Clock,
    Origin,
    Receipt,
    Refusal,
    Source,
    WriteGroup,
    WriteMode,
)
from scheduling_srv.app.sharding.shards import Decided, Shards
from scheduling_srv.domain.errors import NotAnnounced
from scheduling_srv.domain.job import JobRequest, StoredJob
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats.changes import Change


class ShardedJobs(Jobs):
    """Lists of one shard with ids of ours go the short way; all others are decided first."""

    def __init__(
        self,
        shards: Shards,
        clock: Clock,
        rules: Rules,
        *,
        wait_for_announcement: bool = True,
        **more: Any,  # noqa: ANN401 - as `Jobs` has it
    ) -> None:
        store: Any = shards  # what reading needs of it
        super().__init__(
            store,
            shards.parts[0].announcements,
            clock,
            rules,
            wait_for_announcement=wait_for_announcement,
            **more,
        )
        self.shards = shards
        self.short = [GroupCommit(part.store, clock) for part in shards.parts]

    async def prepare(
        self, mode: WriteMode, requests: Sequence[JobRequest], origin: Origin = NO_RECORD
    ) -> WriteGroup:
        """Also says which ids are the client's."""
        given = [request.id for request in requests if request.id]
        return replace(await super().prepare(mode, requests, origin), named=given)

    async def _write(self, mode: WriteMode, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        group = await self.prepare(mode, requests)
        floors = [part.announcements.number for part in self.shards.parts]
        shard = self.shards.only(group)
        if shard is None:
            outcome = await self.shards.write(group)
            if isinstance(outcome, Refusal):
                raise refused(group.jobs, outcome, self.clock.now())
            decided = [outcome]
        else:
            part = self.shards.parts[shard]
            floor = part.announcements.number
            if part.lists and is_long(group):
                receipt, _ = await part.lists.write(group.mode, group.jobs, named=False)
            else:
                receipt, _ = await self.short[shard].write(group)
            decided = [Decided(Change(shard), receipt, floor)]
        count_accepted(group.jobs)
        await self.all_announced(decided)
        self._check(group, floors)
        return [StoredJob(job.id.encode(), job.record) for job in group.jobs]

    def _check(self, group: WriteGroup, floors: Sequence[int]) -> None:
        """Raises `FailedPrecondition` if a shard could not announce its part.

        `floors`: how far each had published before the call.
        """
        ids = [job.id for job in group.jobs]
        for part, floor in zip(self.shards.parts, floors, strict=True):
            now = part.announcements
            now.check(Receipt(now.lineage, now.number), floor, ids)

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete the jobs that exist."""
        check_deletion(ids, self.rules)
        await self.all_announced(await self.shards.delete(ids))

    async def delete_all(self) -> None:
        """Delete every job there is by now."""
        try:
            async with asyncio.timeout(deadline.at_most(ANNOUNCE_TIMEOUT)):
                decided = await self.shards.clear()
        except TimeoutError as fault:
            msg = "Kafka does not answer: jobs are on their way to other shards, send it again."
            raise NotAnnounced(msg) from fault
        await self.all_announced(decided)

    async def delete_from(self, ids: Sequence[str], source: Source | None = None) -> Receipt:
        """Not here: see `entrances/sharded_intake.py`."""
        raise NotImplementedError

    async def all_announced(self, decided: Sequence[Decided]) -> None:
        """Wait until all of it is on Kafka, what other shards have to do included."""
        try:
            async with asyncio.timeout(deadline.at_most(ANNOUNCE_TIMEOUT)):
                await asyncio.gather(*(self._announced(each) for each in decided))
        except TimeoutError as fault:
            msg = "Kafka does not answer: the change is stored and will be announced."
            raise NotAnnounced(msg) from fault

    async def _announced(self, decided: Decided) -> None:
        change, receipt, floor = decided
        # What goes on in other shards has to be told: until then a Read would miss it.
        if self.wait_for_announcement or change.then:
            await self.shards.parts[change.shard].announcements.wait(receipt, floor)
        await self.shards.courier.settle_change(change)
