"""What all shards of a namespace share: how many there are."""

from __future__ import annotations

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.domain.errors import StartError


async def check_shards(client: RedisClient, namespace: str, shards: int) -> None:
    """Raises `StartError` when another number is known to Redis, and `Unavailable`."""
    before = await client.execute("GET", keys.shards(namespace))
    _check(namespace, before, shards)


async def fix_shards(client: RedisClient, namespace: str, shards: int) -> None:
    """Fix the number at the first start.

    Raises `StartError` when it was another one, and `Unavailable`.
    """
    # One command: between two of them Redis may lose everything.
    before = await client.execute("SET", keys.shards(namespace), shards, "NX", "GET")
    _check(namespace, before, shards)


def _check(namespace: str, before: bytes | None, shards: int) -> None:
    if before is not None and int(before) != shards:
        msg = (
            f"The namespace {namespace} has {int(before)} shards since its first start; "
            f"SCHEDULING_SHARDS is {shards}."
        )
        raise StartError(msg)
