"""Pauses in Redis: the typed side of pause, resume and paused_types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.caller_limits import within_argument
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import Bulk, Receipt
from scheduling_srv.domain.errors import FormatTooOld, TooMany
from scheduling_srv.domain.limits import Limits

TOO_MANY_TYPES = "1,000 types are paused already: no further one can be."
OLD_FORMAT = "The stored data has an earlier format, which has no pauses."


class RedisPauses:
    """Implements `PauseStore` for one shard."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, shards: int = 1) -> None:
        self.client = client
        self.scripts = Scripts(client, namespace, shard, shards)
        self.base = keys.prefix(namespace, shard)

    async def pause(
        self, names: Sequence[str], note: str, *, types: bool, within: Limits | None = None
    ) -> Bulk:
        """`pause.lua`."""
        named = {"note": note, "kind": _kind(types=types), "within": within_argument(within)}
        reply = await self.scripts.run("pause", names, **named)
        if reply[0] == b"many":
            raise TooMany(TOO_MANY_TYPES)
        if reply[0] == b"old":
            raise FormatTooOld(OLD_FORMAT)
        return _bulk(checked(reply))

    async def resume(
        self, names: Sequence[str], now: int, *, types: bool, within: Limits | None = None
    ) -> Bulk:
        """`resume.lua`, as often as its budget takes."""
        named: dict[str, Value] = {"now": now, "kind": _kind(types=types)}
        named["within"] = within_argument(within)
        reply, resumed = checked(await self.scripts.run("resume", names, **named)), 0
        total = _bulk(reply)
        while (resumed := resumed + reply[-1]) < len(names):
            reply = checked(await self.scripts.run("resume", names[resumed:], **named))
            total = _together(total, _bulk(reply))
        return total

    async def pauses(
        self, ids: Sequence[str], types: Sequence[str]
    ) -> tuple[Sequence[bytes | None], Sequence[bytes | None]]:
        """From both hashes."""
        return await self._notes("paused", ids), await self._notes("paused_types", types)

    async def _notes(self, key: str, names: Sequence[str]) -> Sequence[bytes | None]:
        if not names:
            return []
        found: Sequence[bytes | None] = await self.client.on_primary(
            "HMGET", self.base + key, *names
        )
        return found

    async def paused_types(self) -> Mapping[str, bytes]:
        """`paused_types.lua`."""
        found = checked(await self.scripts.run("paused_types", []))
        return {name.decode(): note for name, note in zip(found[::2], found[1::2], strict=True)}


def _kind(*, types: bool) -> str:
    return "type" if types else "job"


def _bulk(reply: Sequence[Any]) -> Bulk:
    number, lineage, matched, changed = reply[:4]
    return Bulk(Receipt(lineage.decode(), number), matched, changed)


def _together(first: Bulk, later: Bulk) -> Bulk:
    """Of two calls. If Redis has lost the first one, the wait for its receipt tells that."""
    is_same_store = first.receipt.lineage == later.receipt.lineage
    receipt = later.receipt if is_same_store else first.receipt
    return Bulk(receipt, first.matched + later.matched, first.changed + later.changed)
