"""Read: lists of creation numbers, of all jobs and of each creator (lua/lib/order.lua)."""

import random

import pytest

from scheduling_srv.app.ports import WriteGroup, WriteMode
from tests.store.shard import NOW, Shard, once

CREATORS = ("ann", "bob", "")


async def listed(shard: Shard, creator: str, *, descending: bool, limit: int) -> list[str]:
    """All pages of that size, one behind the other."""
    found, cursor, total = list[str](), "", None
    while True:
        page = await shard.jobs.page(creator, descending=descending, cursor=cursor, limit=limit)
        total = page.total if total is None else total
        found += [job.id.decode() for job in page.jobs]
        assert len(page.jobs) <= limit
        if not page.cursor:
            assert total == len(found)
            return found
        cursor = page.cursor


@pytest.mark.parametrize("seed", range(3))
async def test_pages_are_those_of_a_simple_list(shard: Shard, seed: int) -> None:
    """However the living jobs lie in the lists: dense, sparse, or not at all."""
    rng = random.Random(seed)
    living: dict[str, str] = {}
    for number in range(4):
        jobs = {f"{number}-{n}": rng.choice(CREATORS[:2]) for n in range(rng.choice((40, 300)))}
        for start in range(0, len(jobs), 70):
            piece = [*jobs.items()][start : start + 70]
            await shard.create(*(once(job_id, creator=creator) for job_id, creator in piece))
        living |= jobs
        doomed = [job_id for job_id in living if rng.random() < rng.choice((0.2, 0.99))]
        await shard.delete(*doomed)
        for job_id in doomed:
            del living[job_id]
    for creator in (*CREATORS, "nobody"):
        wanted = [job_id for job_id, whose in living.items() if creator in {"", whose}]
        limit = rng.choice((1, 7, 1000))
        assert await listed(shard, creator, descending=False, limit=limit) == wanted
        assert await listed(shard, creator, descending=True, limit=limit) == wanted[::-1]
    await shard.delete(*living)
    assert await listed(shard, "", descending=False, limit=5) == []
    assert await shard.keys() == ["meta", "outbox"]


async def test_creators_that_look_alike_are_told_apart(shard: Shard) -> None:
    """The lists hold two bytes of a creator's hash; so many creators share some of them."""
    creators = [f"creator-{number}" for number in range(700)]
    for start in range(0, len(creators), 100):
        names = creators[start : start + 100]
        await shard.create(*(once(f"of-{name}", creator=name) for name in names))
    for name in creators[::7]:
        page = await shard.jobs.page(name, descending=False, cursor="", limit=10)
        assert (page.total, [job.id.decode() for job in page.jobs]) == (1, [f"of-{name}"])


async def test_what_one_call_creates_and_replaces_is_listed_once(shard: Shard) -> None:
    """A call gathers what it lists; what it takes out again must not stay."""
    groups = [
        WriteGroup(WriteMode.CREATE, [once("a", creator="me")]),
        WriteGroup(WriteMode.UPDATE, [once("a", creator="you")]),
    ]
    await shard.jobs.write(groups, NOW)
    assert await listed(shard, "me", descending=False, limit=5) == []
    assert await listed(shard, "you", descending=False, limit=5) == ["a"]
