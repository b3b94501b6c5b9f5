"""A shard as a test clock drives it: `agenda.lua` and `looked.lua` (docs/decisions/0035)."""

from __future__ import annotations

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.replies import Agenda, Cursor, Staged
from scheduling_srv.formats.outbox_entries import SILENT


class RedisAgenda:
    """Implements `AgendaStore` for one shard."""

    def __init__(
        self, client: RedisClient, namespace: str, shard: int, *, shards: int, timeout: int
    ) -> None:
        """`timeout`: ms after which a run without an answer has failed."""
        self.scripts = Scripts(client, namespace, shard, shards)
        self.timeout = timeout

    async def look(self, now: int) -> Agenda:
        """`agenda.lua`."""
        found = checked(await self.scripts.run("agenda", now=now, timeout=self.timeout))
        busy, instant, unanswered, letters = found
        return Agenda(
            busy=bool(busy) or not SILENT.issuperset(letters),
            next=int(instant) if instant else None,
            unanswered=unanswered,
        )


class SteadySchedule(RedisSchedule):
    """An owner whose clock jumps, and who has missed nothing."""

    async def stage(
        self, token: str, now: int, limit: int, cursor: Cursor | None = None, lead: int = 0
    ) -> Staged:
        """`looked.lua`, then `stage.lua`."""
        await self.scripts.run("looked", now=now)
        return await super().stage(token, now, limit, cursor, lead)
