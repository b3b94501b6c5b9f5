"""Notes about dead letters: which were replayed, and which are hidden."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.jobs import bounds
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.letter_ports import Noted, Replay, Replayed
from scheduling_srv.app.ports import Receipt
from scheduling_srv.domain.dead_letter import LetterId
from scheduling_srv.domain.errors import FormatTooOld, Overloaded

OLD_FORMAT = "The stored data has an earlier format, which keeps no notes about dead letters."
FULL = "Too many announcements wait for Kafka: send it again a little later."
OLD_NOTES = 100
"""Notes that one call looks at, whether Kafka still has their letters."""


class _Outbox(NamedTuple):
    limit: int
    bytes: int


class RedisLetters:
    """Implements `LetterNotes`. Shard 0 has the notes."""

    def __init__(
        self,
        client: RedisClient,
        namespace: str,
        shards: int,
        *,
        outbox_limit: int,
        outbox_bytes: int,
    ) -> None:
        self.scripts = Scripts(client, namespace, 0, shards)
        self.base = keys.prefix(namespace, 0)
        self.outbox = _Outbox(outbox_limit, outbox_bytes)
        self._count = 0
        """Letters that are noted as replayed, as far as it is known."""

    async def noted(self, topic_id: str, ids: Sequence[LetterId]) -> Sequence[Noted]:
        """`letters.lua`."""
        reply = checked(await self.scripts.run("letters", _members(topic_id, ids)))
        self._count, *flags = reply
        pairs = zip(flags[::2], flags[1::2], strict=True)
        return [Noted(replayed == b"1", hidden == b"1") for replayed, hidden in pairs]

    async def replay(self, topic_id: str, letters: Sequence[Replay]) -> Replayed:
        """`replay.lua`."""
        rows: list[Value] = []
        for letter in letters:
            rows += (letter.id.name, letter.low, letter.id.offset, letter.entry)
        reply = await self.scripts.run(
            "replay",
            rows,
            topic=topic_id,
            start=secrets.randbelow(max(1, self._count - OLD_NOTES)),
            bounds=bounds(*self.outbox),
        )
        if reply[0] == b"full":
            raise Overloaded(FULL)
        _refuse_old(reply)
        number, lineage, count = checked(reply)
        return Replayed(Receipt(lineage.decode(), number), count)

    async def hide(self, topic_id: str, ids: Sequence[LetterId], now: int) -> int:
        """`hide.lua`."""
        reply = await self.scripts.run("hide", _members(topic_id, ids), now=now)
        _refuse_old(reply)
        (count,) = checked(reply)
        return int(count)


def _members(topic_id: str, ids: Sequence[LetterId]) -> list[str]:
    return [f"{each.name} {topic_id}" for each in ids]


def _refuse_old(reply: Sequence[object]) -> None:
    if reply[0] == b"old":
        raise FormatTooOld(OLD_FORMAT)
