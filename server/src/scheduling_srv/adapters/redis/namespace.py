"""Shared by all shards of a namespace: their number, and the deployment id."""

from __future__ import annotations

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.app.deployments.deployment import Identity, random_id
from scheduling_srv.domain.errors import StartError
from scheduling_srv.domain.texts import counted

NOTE = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET')"
"""A full Redis refuses a plain SET, even one that changes nothing. Then no replica could start or
take over, and make room."""
STORE = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1])"
LISTENERS = """#!lua flags=allow-oom
return redis.call('PUBLISH', ARGV[1], 'seen') - redis.call('PUBLISH', ARGV[2], 'seen')"""
"""How many clients listen to a channel. Those that listen to all channels, as operators may, also
hear the second one, which no replica has."""


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


class RedisHome:
    """Implements `Home`. The value is the deployment id, a space, and the fingerprint."""

    def __init__(self, client: RedisClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.key = keys.deployment(namespace)

    async def read(self) -> Identity | None:
        """The identity of this deployment, if Redis has it. Raises `Unavailable`."""
        stored: bytes | None = await self.client.on_primary("GET", self.key)
        return _identity(stored) if stored else None

    async def note(self, identity: Identity) -> Identity:
        """Store it unless there is one; returns the stored one. Raises `Unavailable`."""
        before: bytes | None = await self.client.execute(
            "EVAL", NOTE, 1, self.key, " ".join(identity)
        )
        return _identity(before) if before else identity

    async def replace(self, identity: Identity) -> None:
        """Store it in any case. Raises `Unavailable`."""
        await self.client.execute("EVAL", STORE, 1, self.key, " ".join(identity))

    async def is_here(self, name: str) -> bool:
        """Whether the replica is connected to this database of Redis. Raises `Unavailable`.

        It needs no right that the service does without otherwise, and no key.
        """
        database = self.client.database
        channels = (keys.alive(self.namespace, database, each) for each in (name, random_id()))
        return int(await self.client.execute("EVAL", LISTENERS, 0, *channels)) > 0


def _identity(stored: bytes) -> Identity:
    deployment, _, fingerprint = stored.decode().partition(" ")
    return Identity(deployment, fingerprint)
