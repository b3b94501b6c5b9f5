"""What all shards of a namespace share: how many there are."""

from __future__ import annotations

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.domain.errors import StartError
from scheduling_srv.domain.texts import counted

NOTE = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET')"
"""A plain SET is refused by a Redis that is full, also where it changes nothing: then nobody could
take over, or start, and make room."""


async def check_shards(client: RedisClient, namespace: str, shards: int) -> None:
    """Raises `StartError` when another number is known to Redis, and `Unavailable`."""
    before = await client.on_primary("GET", keys.shards(namespace))
    _check(namespace, before, shards)


async def fix_shards(client: RedisClient, namespace: str, shards: int) -> None:
    """Fix the number at the first start.

    Raises `StartError` when it was another one, and `Unavailable`.
    """
    _check(namespace, await note_shards(client, namespace, shards), shards)


async def note_shards(client: RedisClient, namespace: str, shards: int) -> bytes | None:
    """Note the number if there is none; returns the one that was there. Raises `Unavailable`."""
    # One command: between two of them Redis may lose everything.
    answer: bytes | None = await client.execute("EVAL", NOTE, 1, keys.shards(namespace), shards)
    return answer


def _check(namespace: str, before: bytes | None, shards: int) -> None:
    if before is not None and int(before) != shards:
        msg = (
            f"The namespace {namespace} has {counted(int(before), 'shard')} since its first start; "
            f"SCHEDULING_SHARDS is {shards}. Set it to {int(before)}, or begin another"
            " SCHEDULING_NAMESPACE."
        )
        raise StartError(msg)
