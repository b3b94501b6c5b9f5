"""Notes about the topics on Kafka, and writing the store's content to the journal again."""

from __future__ import annotations

from typing import Any

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.replies import owned
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.recovery.refill import OUTBOX_MOST, Extent, Piece, Seen
from scheduling_srv.domain.errors import StoreNotReady
from scheduling_srv.domain.validation import RECORD_ROOM
from scheduling_srv.formats.kafka_records import Topic

FIELDS = {Topic.JOURNAL: "journal", Topic.POSITION: "position_log"}
"""Topic -> field of the meta hash."""


class RedisRefill:
    """Implements `RefillStore` for one shard."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, shards: int = 1) -> None:
        self.client = client
        self.scripts = Scripts(client, namespace, shard, shards)
        self.base = keys.prefix(namespace, shard)

    async def logs_seen(self) -> Seen:
        """See `RefillStore`; the notes are in the meta hash."""
        names = (*FIELDS.values(), "refill")
        found = await self.client.on_primary("HMGET", self.base + "meta", *names)
        journal, position, refilling = (_text(each) for each in found)
        living = [
            int(await self.client.on_primary("HLEN", self.base + name))
            for name in ("jobs", "parcels")
        ]
        return Seen(Extent.parse(journal), Extent.parse(position), refilling, sum(living))

    async def note_log(
        self, token: str, topic: Topic, extent: Extent, now: int | None = None
    ) -> None:
        """`note_log.lua`."""
        owned(
            await self.scripts.run(
                "note_log",
                token=token,
                field=FIELDS[topic],
                log=str(extent),
                now="" if now is None else now,
            )
        )

    async def refill(self, token: str, extent: Extent, now: int, count: int, most: int) -> Piece:
        """`refill.lua`."""
        state, *numbers = owned(
            await self.scripts.run(
                "refill",
                token=token,
                log=str(extent),
                now=now,
                count=count,
                most_entries=OUTBOX_MOST,
                most=most,
                room=RECORD_ROOM,
            )
        )
        if state == b"not ready":
            raise StoreNotReady("The schedule is being recovered from Kafka.")
        return Piece(state.decode(), *numbers)


def _text(found: Any) -> str:  # noqa: ANN401 - bytes or None
    return found.decode() if found else ""
