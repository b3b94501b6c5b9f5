"""The interval logs in Redis: the typed side of `intervals.lua`."""

from __future__ import annotations

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.domain.intervals import IntervalLogs
from scheduling_srv.formats.interval_logs import (
    read_farewell,
    read_outage,
    read_owned,
    read_pause,
)


class RedisIntervals:
    """Implements `IntervalReading` for one shard."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, shards: int = 1) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)

    async def intervals(self, job_id: str, job_type: str) -> IntervalLogs:
        """`intervals.lua`."""
        reply = checked(await self.scripts.run("intervals", job=job_id, type=job_type))
        outages, owners, pauses, gone = reply
        return IntervalLogs(
            [read_outage(text) for text in outages],
            [read_owned(text) for text in owners],
            [read_pause(text) for text in pauses],
            [read_farewell(text) for text in gone],
        )
