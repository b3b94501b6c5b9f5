"""Unique keys in Redis: the typed side of find_keys."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.scripts import Scripts


class RedisUniqueKeys:
    """Implements `KeyStore` for one shard."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, shards: int = 1) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)

    async def holders(self, keys: Sequence[tuple[str, str]]) -> Sequence[str]:
        """`find_keys.lua`."""
        rows: list[Value] = [text for pair in keys for text in pair]
        found = checked(await self.scripts.run("find_keys", rows))
        return [job_id.decode() for job_id in found]
