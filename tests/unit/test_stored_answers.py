"""SCHEDULING_ACKNOWLEDGE=stored: answers that wait for runs staged ahead (docs/decisions/0028)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.ports import Receipt, WriteGroup, WriteMode, Written
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.sharded_store import COMMIT_SECONDS, ShardedStore, Stored
from tests.harness.virtual_time import VIRTUAL_TIME
from tests.store.shard import NOW, once

AHEAD_MS = 10
LONGEST_SECONDS = AHEAD_MS / 1000 + COMMIT_SECONDS
LINEAGE = "content:server"


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


class World:
    """A store that takes everything; the test says when Kafka has it."""

    def __init__(self, ahead: int = AHEAD_MS) -> None:
        store: Any = self
        self.announcements = Announcements()
        self.announcements.published(LINEAGE, 0)
        ports = ShardPorts(store, store, store, self.announcements, store)
        self.shards = ShardedStore([ports], store, wait_for_announcement=False, stage_ahead=ahead)

    def now(self) -> int:
        return NOW

    async def write(self, groups: Sequence[WriteGroup], *_: object) -> Written:
        return Written(Receipt(LINEAGE, 1), [None] * len(groups))

    async def delete(self, ids: Sequence[str], *_: object) -> tuple[Receipt, int]:
        return Receipt(LINEAGE, 1), len(ids)

    async def clear(self, *_: object, announced: bool) -> Receipt:
        return Receipt(LINEAGE, 1)

    async def append(self, *_: object) -> Receipt:
        return Receipt(LINEAGE, 1)

    async def change(self, what: str) -> Sequence[Stored]:
        if what == "delete":
            return await self.shards.delete(["a"])
        if what == "delete all":
            return await self.shards.clear()
        if what == "reset":
            return [await self.shards.reset([])]
        stored = await self.shards.write(WriteGroup(WriteMode(what), [once("a")], named=["a"]))
        assert isinstance(stored, Stored)
        return [stored]

    async def waits(self, what: str, published_after: float | None = None) -> float:
        """Seconds until the answer."""
        changes = await self.change(what)
        loop = asyncio.get_running_loop()
        if published_after is not None:
            loop.call_later(published_after, self.announcements.published, LINEAGE, 1)
        began = loop.time()
        await self.shards.announced(changes)
        return loop.time() - began


ENDING = ["update", "upsert", "delete", "delete all", "reset"]


@pytest.mark.parametrize("what", ENDING)
async def test_what_may_end_a_job_is_answered_after_the_runs_before_it(what: str) -> None:
    """They lie before its announcement in the outbox."""
    assert await World().waits(what, published_after=0.007) == pytest.approx(0.007, abs=0.001)


@pytest.mark.parametrize("what", ENDING)
async def test_it_does_not_wait_for_a_kafka_that_is_away(what: str) -> None:
    assert await World().waits(what) == pytest.approx(LONGEST_SECONDS, abs=0.001)


async def test_a_creation_does_not_wait() -> None:
    assert await World().waits("create") == 0


@pytest.mark.parametrize("what", ENDING)
async def test_nothing_waits_where_nothing_is_staged_ahead(what: str) -> None:
    assert await World(0).waits(what) == 0
