"""Long lists in Redis: the typed side of list_keep, list_decide, list_apply and list_drop."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.jobs import bounds, origin
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import Receipt, Refusal, Source
from scheduling_srv.app.replies import Piece
from scheduling_srv.app.shard_rules import DEFAULTS
from scheduling_srv.domain.job import NewJob

REFUSED = frozenset({b"gone", b"large", b"moving", b"exists", b"missing", b"elapsed"})


class RedisLists:
    """Implements `ListStore` for one shard."""

    def __init__(
        self,
        client: RedisClient,
        namespace: str,
        shard: int,
        shards: int = 1,
        *,
        outbox_limit: int,
        outbox_bytes: int = DEFAULTS.outbox_bytes,
    ) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)
        self.outbox_limit = outbox_limit
        self.outbox_bytes = outbox_bytes

    async def keep(
        self, token: str, piece: Piece, jobs: Sequence[NewJob], lasts: int
    ) -> Receipt | Refusal:
        """`list_keep.lua`."""
        outbox = bounds(self.outbox_limit, self.outbox_bytes)
        rows: list[Value] = []
        for job in jobs:
            rows += (job.id, job.due, job.record)
        reply = await self.scripts.run(
            "list_keep",
            rows,
            token=token,
            piece=piece.number,
            lasts=lasts,
            bounds=outbox,
            mode=piece.mode,
            named=int(piece.named),
        )
        if reply[0] in REFUSED:
            place = reply[1] - 1 if len(reply) > 1 else 0
            return Refusal(reply[0].decode(), place)
        number, lineage = checked(reply)
        return Receipt(lineage.decode(), number)

    async def decide(
        self, token: str, pieces: int, now: int, source: Source | None = None
    ) -> Receipt | None:
        """`list_decide.lua`."""
        named = {"now": now, **origin(source), "token": token, "pieces": pieces}
        reply = await self.scripts.run("list_decide", **named)
        if reply[0] == b"gone":
            return None
        number, lineage = checked(reply)
        return Receipt(lineage.decode(), number)

    async def apply(self, token: str, now: int) -> tuple[Receipt, int] | None:
        """`list_apply.lua`."""
        reply = await self.scripts.run("list_apply", now=now, token=token)
        if reply[0] == b"gone":
            return None
        number, lineage, left = checked(reply)
        return Receipt(lineage.decode(), number), left

    async def drop(self, token: str, *, own: bool) -> str:
        """`list_drop.lua`."""
        state: bytes = checked(await self.scripts.run("list_drop", token=token, own=int(own)))[0]
        return state.decode()

    async def tokens(self) -> Sequence[str]:
        """`lists.lua`."""
        return [token.decode() for token in checked(await self.scripts.run("lists"))]
