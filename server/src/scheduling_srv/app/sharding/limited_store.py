"""The store of all shards with a quota of living jobs before it (docs/security.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from scheduling_srv.app.ports import Clock, Refusal, WriteGroup
from scheduling_srv.app.sharding.live_jobs import LiveJobs
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.sharded_store import ShardedStore, Stored


class LimitedStore(ShardedStore):
    """Lists of calls and of records are admitted before they are written."""

    def __init__(
        self,
        shards: Sequence[ShardPorts],
        clock: Clock,
        *,
        wait_for_announcement: bool = True,
        stage_ahead: int = 0,
        most_jobs: int,
    ) -> None:
        """`most_jobs`: living jobs of one creator."""
        super().__init__(
            shards, clock, wait_for_announcement=wait_for_announcement, stage_ahead=stage_ahead
        )
        self.live_jobs = LiveJobs(most_jobs, self._living, self.get)

    async def write(self, group: WriteGroup) -> Stored | Refusal:
        """As `ShardedStore.write`. Raises `OverQuota` as well."""
        added = await self.live_jobs.admit(group)
        try:
            return await super().write(group)
        finally:
            self.live_jobs.release(added)

    async def admit(self, group: WriteGroup, settle: Callable[[], Awaitable[None]]) -> None:
        """See `ShardedStore.admit`."""
        self.live_jobs.release(await self.live_jobs.admit(group, settle))

    async def _living(self, creator: str) -> int:
        page = await self.page(creator, descending=False, cursor="", limit=1)
        return page.total
