"""Sessions of the admin pages that have ended before their time, for all replicas."""

from __future__ import annotations

import time
from collections.abc import Callable

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient

MOST = 10_000
"""Sessions that are kept; those that end first make room."""
SIGN_OUT = """#!lua flags=allow-oom
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[4])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
return redis.call('PEXPIRE', KEYS[1], 1000 * (last - ARGV[3]))"""
"""ARGV: the session, when it ends, now, and how many are kept; times in epoch seconds."""


class RedisSignedOut:
    """Implements `SignedOutStore`. A Redis that loses it lets copies of cookies live on."""

    def __init__(
        self, client: RedisClient, namespace: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._name = keys.pages_signed_out(namespace)
        self._clock = clock

    async def add(self, session: str, until: int) -> None:
        """Raises `Unavailable`."""
        now = int(self._clock())
        if until > now:
            await self._client.execute("EVAL", SIGN_OUT, 1, self._name, session, until, now, MOST)

    async def has(self, session: str) -> bool:
        """Raises `Unavailable`."""
        return await self._client.execute("ZSCORE", self._name, session) is not None
