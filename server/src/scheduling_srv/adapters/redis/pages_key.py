"""The key that signs the cookies of the admin pages: one for all replicas of a namespace."""

from __future__ import annotations

import secrets

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.namespace import NOTE

KEY_BYTES = 32


class PagesKey:
    """Implements `SharedKey`. A Redis that loses it ends all sessions, and nothing else."""

    def __init__(self, client: RedisClient, namespace: str) -> None:
        self._client = client
        self._name = keys.pages_key(namespace)

    async def read(self) -> bytes:
        """The key; makes it if there is none. Raises `Unavailable`."""
        made = secrets.token_hex(KEY_BYTES).encode()
        before: bytes | None = await self._client.execute("EVAL", NOTE, 1, self._name, made)
        return bytes.fromhex((before or made).decode())
