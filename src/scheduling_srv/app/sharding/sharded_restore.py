"""Restores and resets with several shards: each shard does its part, and one answers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from scheduling_srv.app import deadline
from scheduling_srv.app.commands.payloads import RestoreRequest
from scheduling_srv.app.commands.restore import dumps
from scheduling_srv.app.commands.restore_pass import Targets
from scheduling_srv.app.jobs import ANNOUNCE_TIMEOUT
from scheduling_srv.app.ports import (
    MAX_RESTORES,
    TOO_MANY_RESTORES,
    Clock,
    Receipt,
    Restores,
    Source,
)
from scheduling_srv.app.sharding.changes import shard_of_job
from scheduling_srv.app.sharding.claims import Claims
from scheduling_srv.app.sharding.shards import Shards
from scheduling_srv.domain.errors import NotAnnounced, TooMany
from scheduling_srv.domain.job import NewJob

POLL_SECONDS = 0.1
"""How often the answering shard looks whether the others have ended."""


class ShardCoordinator:
    """Implements `Coordinator`: a shard takes the jobs of its types that live in no other one."""

    def __init__(self, shard: int, restores: Sequence[Restores], claims: Claims) -> None:
        self.shard = shard
        self.restores = restores
        self.claims = claims

    @asynccontextmanager
    async def claimed(self, jobs: Sequence[NewJob]) -> AsyncIterator[Targets]:
        """Leaves out the jobs that live in another shard: they have another type by now."""
        ours = [job for job in jobs if shard_of_job(job, len(self.restores)) == self.shard]
        if not ours:
            yield ours, ""
            return
        async with self.claims.held([job.id for job in ours]) as claim:
            homes = claim.shards()
            here = [job for job in ours if homes.get(job.id, self.shard) == self.shard]
            yield here, claim.token

    async def is_last(self, text: str) -> bool:
        """Shard 0 answers."""
        if self.shard:
            return False
        for other in self.restores[1:]:
            await self._end_of(other, text)
        return True

    async def _end_of(self, other: Restores, text: str) -> None:
        while any(noted == text for _, noted in await other.pending()):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)  # another replica carries it out


class RestoreStarter:
    """Stores a restore command in all shards, last in the one that answers it."""

    def __init__(self, restores: Sequence[Restores], clock: Clock) -> None:
        self.restores = restores
        self.clock = clock

    async def start(self, request: RestoreRequest, source: Source | None) -> None:
        """As `Restorer.start`. After a crash, a command in only some shards does no harm."""
        text, (answering, *others) = dumps(request, uuid.uuid4().hex), self.restores
        if await answering.count() >= MAX_RESTORES:  # it ends last, so it has the most
            raise TooMany(TOO_MANY_RESTORES)
        for other in others:
            await other.begin(text, self.clock.now(), None, 2 * MAX_RESTORES)
        await answering.begin(text, self.clock.now(), source)


class ShardedReset:
    """The part of the store that a reset needs. The others have announced it when it answers."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards

    async def clear(
        self,
        now: int,
        source: Source | None = None,
        entries: Sequence[bytes] = (),
        *,
        announced: bool,
    ) -> Receipt:
        """All shards for a call; for a record the others have been told by the intake."""
        if source is None:
            try:
                async with asyncio.timeout(deadline.at_most(ANNOUNCE_TIMEOUT)):
                    await self._clear_others(now, announced)
            except TimeoutError as fault:
                msg = "Kafka does not answer: not all shards are reset, send it again."
                raise NotAnnounced(msg) from fault
        return await self.shards.parts[0].store.clear(now, source, entries, announced=announced)

    async def _clear_others(self, now: int, announced: bool) -> None:  # noqa: FBT001
        await self.shards.courier.settle_all()
        others = range(1, self.shards.count)
        await asyncio.gather(*(self._clear(shard, now, announced) for shard in others))

    async def _clear(self, shard: int, now: int, announced: bool) -> None:  # noqa: FBT001
        part = self.shards.parts[shard]
        receipt = await part.store.clear(now, announced=announced)
        await part.announcements.wait(receipt)
