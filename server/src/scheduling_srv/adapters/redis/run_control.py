"""Changes of single runs in Redis: the typed side of extend and cancel."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.run_control_ports import Cancelled
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import FormatTooOld
from scheduling_srv.domain.run_control import Extension, RunName

OLD_FORMAT = "The stored data has an earlier format, which does not know the runs of a job."


class RedisRunControl:
    """Implements `RunControlStore` for one shard."""

    def __init__(
        self, client: RedisClient, namespace: str, shard: int, rules: ShardRules, shards: int = 1
    ) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)
        self.rules = rules

    async def extend(self, asked: Extension, now: int) -> int | None:
        """`extend.lua`."""
        extension: Value = "" if asked.length is None else asked.length
        (deadline,) = checked(
            await self.scripts.run(
                "extend",
                now=now,
                instance=asked.instance,
                occurrence=asked.occurrence,
                extension=extension,
                timeout=self.rules.completion_timeout,
            )
        )
        return int(deadline) if deadline else None

    async def cancel(self, runs: Sequence[RunName], now: int, *, dry_run: bool) -> Cancelled:
        """`cancel.lua`."""
        rows: list[Value] = [value for run in runs for value in run]
        reply = await self.scripts.run("cancel", rows, now=now, dry=int(dry_run))
        if reply[0] == b"old":
            raise FormatTooOld(OLD_FORMAT)
        number, lineage, looked_at, found = checked(reply)
        return Cancelled(Receipt(lineage.decode(), number), looked_at, found)
