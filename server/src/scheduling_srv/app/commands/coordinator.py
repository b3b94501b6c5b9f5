"""A restore in 1 to n shards: each shard puts its own jobs back, and the first one answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from scheduling_srv.app.commands.restore_pass import Targets
from scheduling_srv.app.ports import Restores
from scheduling_srv.app.sharding.changes import shard_of_job
from scheduling_srv.app.sharding.claims import Claim, Claims
from scheduling_srv.domain.errors import NotAnnounced
from scheduling_srv.domain.job import NewJob

POLL_SECONDS = 0.1
"""Pause between two looks at what other shards have not ended yet."""
LEAVING_SECONDS = 10.0
"""How long removals in other shards may take to get to Kafka. Then the restore begins again."""
NOT_REMOVED = "Kafka does not answer: jobs of the restore are leaving other shards."


class ShardCoordinator:
    """Implements `Coordinator`: a shard takes the jobs of its types that live in no other one.

    One shard takes all of them, and claims nothing.
    """

    def __init__(self, shard: int, restores: Sequence[Restores], claims: Claims) -> None:
        self.shard = shard
        self.restores = restores
        self.claims = claims

    @asynccontextmanager
    async def claimed(self, jobs: Sequence[NewJob]) -> AsyncIterator[Targets]:
        """Leaves out the jobs that live in another shard: they have another type by now.

        Raises `Unavailable`.
        """
        if len(self.restores) == 1:
            yield jobs, ""
            return
        ours = [job for job in jobs if shard_of_job(job, len(self.restores)) == self.shard]
        if not ours:
            yield ours, ""
            return
        async with self._claim([job.id for job in ours]) as claim:
            homes = claim.shards()
            here = [job for job in ours if homes.get(job.id, self.shard) == self.shard]
            yield here, claim.token

    @asynccontextmanager
    async def _claim(self, ids: Sequence[str]) -> AsyncIterator[Claim]:
        """Waits for jobs that are leaving another shard: they are put back after their removal."""
        gives_up_at = time.monotonic() + LEAVING_SECONDS
        while True:
            async with self.claims.held(ids) as claim:
                if {*claim.leaving.values()} <= {self.shard}:
                    yield claim
                    return
            if time.monotonic() > gives_up_at:
                raise NotAnnounced(NOT_REMOVED)
            await asyncio.sleep(POLL_SECONDS)

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
