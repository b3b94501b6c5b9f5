"""The shard's pub/sub channel: a nudge, never the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import structlog
from redis.exceptions import RedisError, ResponseError

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import CLOSED, RedisClient
from scheduling_srv.app.replies import Signal

log = structlog.get_logger(__name__)

RECONNECT = 0.2
"""Seconds between attempts to subscribe again."""


def parse(text: str) -> Signal:
    """A message as the scripts publish it (`outbox.lua`, `taking.lua`, `set_aside.lua`, ...)."""
    kind, _, rest = text.partition(" ")
    if kind == "published":
        lineage, _, number = rest.partition(" ")
        return Signal(kind, lineage=lineage, number=int(number) if number.isdigit() else 0)
    if kind == "refused":
        return Signal(kind, news=rest)
    return Signal(kind, due=int(rest) if rest.isdigit() else None)


class RedisSignals:
    """Implements `Signals`."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, *, name: str) -> None:
        """`name` is what others see to be connected while this listens."""
        self.client = client
        self.channel = keys.channel(namespace, shard)
        self.presence = keys.presence(namespace, shard, name)
        self.present = keys.presence(namespace, shard, "")

    async def listen(self) -> AsyncGenerator[Signal, None]:
        """All signals; after each connection first `connected`, as some may have been missed."""
        while True:
            pubsub = self.client.redis.pubsub(ignore_subscribe_messages=True)
            try:
                await pubsub.subscribe(self.channel, self.presence)
                yield Signal("connected")
                while True:
                    message = await pubsub.get_message(timeout=None)
                    if message:
                        yield parse(message["data"].decode())
            except (RedisError, OSError, RuntimeError) as fault:
                if isinstance(fault, RuntimeError) and CLOSED not in str(fault):
                    raise
                log.warning("signals lost", reason=str(fault))
                await asyncio.sleep(RECONNECT)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def replicas(self) -> Sequence[str]:
        """Names of those that are connected; none where asking is forbidden."""
        try:
            found = await self.client.execute("PUBSUB", "CHANNELS", self.present + "*")
        except ResponseError:
            return []
        return [channel.decode().removeprefix(self.present) for channel in found]
