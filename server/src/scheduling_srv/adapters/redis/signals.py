"""The shard's pub/sub channel: a nudge, never the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.app.replies import Signal
from scheduling_srv.domain.errors import StoreRefused, Unavailable
from scheduling_srv.formats.versions import READS
from scheduling_srv.runtime.states import STATES, State, States

RECONNECT_SECONDS = 0.2
"""Seconds between attempts to subscribe again; twice as long after each that fails."""
LONGEST_RECONNECT_SECONDS = 5.0
"""Longest pause between two attempts."""


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

    def __init__(
        self,
        client: RedisClient,
        namespace: str,
        shard: int,
        *,
        name: str,
        states: States = STATES,
    ) -> None:
        """Other replicas see `name` as connected while this listens."""
        self.client = client
        self.states = states
        self.channel = keys.channel(namespace, shard)
        self.presence = keys.presence(namespace, shard, name)
        self.alive = keys.alive(namespace, client.database, name)
        self.reads = keys.reads(namespace, shard, READS, name)
        self.present = keys.presence(namespace, shard, "")

    async def listen(self) -> AsyncGenerator[Signal, None]:
        """All signals; after each connection first `connected`, as some may have been missed."""
        pause = RECONNECT_SECONDS
        names = "changes in Redis are not heard of", "changes in Redis are heard of again"
        state = State(*names, states=self.states)
        while True:
            try:
                channels = self.channel, self.reads, self.presence, self.alive
                async with self.client.subscription(*channels) as heard:
                    pause = RECONNECT_SECONDS
                    state.works()
                    yield Signal("connected")
                    while True:
                        yield parse((await heard.message()).decode())
            except Unavailable as fault:
                state.fails(str(fault))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RECONNECT_SECONDS)

    async def replicas(self) -> Sequence[str]:
        """Names of those that are connected; none where asking is forbidden."""
        try:
            found = await self.client.execute("PUBSUB", "CHANNELS", self.present + "*")
        except StoreRefused:
            return []
        return [channel.decode().removeprefix(self.present) for channel in found]
