"""What all shards of a namespace share: how many there are."""

from __future__ import annotations

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.domain.errors import StartError


async def fix_shards(client: RedisClient, namespace: str, shards: int) -> None:
    """Fix the number at the first start.

    Raises `StartError` when it was another one, and `Unavailable`.
    """
    # One command: between two of them Redis may lose everything.
    before = await client.execute("SET", keys.shards(namespace), shards, "NX", "GET")
    if before is not None and int(before) != shards:
        msg = (
            f"The namespace {namespace} has {int(before)} shards since its first start; "
            f"SCHEDULING_SHARDS is {shards}."
        )
        raise StartError(msg)
