"""Examines Redis for a diagnosis: its version, memory, speed and clock, and the rights it gives."""

from __future__ import annotations

import time

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.policy import number_of, parse_info
from scheduling_srv.adapters.redis.preflight import refused_commands
from scheduling_srv.app.health.server_checks import RedisServer
from scheduling_srv.domain.errors import StoreRefused

PINGS = 20
"""The median of so many says how quickly it answers."""
SECTIONS = ("server", "memory")


class RedisExamination:
    """Implements `RedisAbout`. `shown` is the key of an offset that is shown to operators."""

    def __init__(self, client: RedisClient, namespace: str, shown: str) -> None:
        self.client = client
        self.namespace = namespace
        self.shown = shown

    async def server(self) -> RedisServer:
        """Raises `StoreUnavailable`."""
        latencies = [await self._ping() for _ in range(PINGS)]
        offset, uncertainty = await self._clock()
        fields = await self._info()
        valkey = fields.get("valkey_version")
        return RedisServer(
            product="Valkey" if valkey else "Redis",
            version=valkey or fields.get("redis_version"),
            used_bytes=number_of(fields.get("used_memory")),
            limit_bytes=number_of(fields.get("maxmemory")),
            host_bytes=number_of(fields.get("total_system_memory")),
            latencies_ms=latencies,
            offset_ms=offset,
            uncertainty_ms=uncertainty,
        )

    async def lacks(self) -> list[str]:
        """Commands that are refused and only useful.

        Raises `StoreRefused` for one that is needed, and `StoreUnavailable`.
        """
        return await refused_commands(self.client, self.namespace, self.shown)

    async def _ping(self) -> float:
        """How many ms the answer takes."""
        begun = time.perf_counter()
        await self.client.execute("PING")
        return (time.perf_counter() - begun) * 1000

    async def _clock(self) -> tuple[float, float]:
        """The clock of Redis less ours, in ms, and by how much that may be wrong."""
        before = time.time()
        seconds, micros = await self.client.execute("TIME")
        after = time.time()
        there = int(seconds) + int(micros) / 1e6
        return (there - (before + after) / 2) * 1000, (after - before) * 500

    async def _info(self) -> dict[str, str]:
        """Empty if Redis forbids it."""
        try:
            answers = [await self.client.execute("INFO", section) for section in SECTIONS]
        except StoreRefused:
            return {}
        return {name: text for answer in answers for name, text in parse_info(answer).items()}
