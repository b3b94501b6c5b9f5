"""All shards are one store: pages are one list, in order of creation (docs/contract.md)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.ports import Page, WriteGroup, WriteMode
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.app.sharding.claims import Claim
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.sharded_store import ShardedStore
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.limits import Limits
from tests.store.shard import once


def stored(seq: int) -> StoredJob:
    made = once(f"job-{seq}")
    return StoredJob(made.id.encode(), seq.to_bytes(6, "little") + made.record[6:])


class Store:
    """A shard with jobs of these numbers; it hands out at most `fit` at once.

    It looks at no more than `looks` entries of each call, of which every second is somebody else's.
    """

    def __init__(self, seqs: Sequence[int], fit: int, looks: int = 1_000) -> None:
        self.seqs, self.fit, self.looks = sorted(seqs), fit, looks

    async def page(self, creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        del creator
        order = self.seqs[::-1] if descending else self.seqs
        sign = -1 if descending else 1
        left = [seq for seq in order if not cursor or sign * seq > sign * int(cursor)]
        last = int(cursor) if cursor else (1_000 if descending else 0)
        found = [seq for seq in left if abs(seq - last) * 2 <= self.looks][: min(limit, self.fit)]
        if found or not left:
            end = str(found[-1]) if found else ""
        else:
            end = str(last + sign * (self.looks // 2))
        return Page(len(self.seqs), end, [stored(seq) for seq in found])

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        there = {f"job-{seq}": stored(seq) for seq in self.seqs}
        return [there.get(each) for each in ids[: self.fit]]


def sharded(*stores: Any) -> ShardedStore:
    nothing: Any = None
    ports = [ShardPorts(store, nothing, nothing, Announcements(), nothing) for store in stores]
    return ShardedStore(ports, nothing)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@pytest.mark.parametrize("fit", [1, 3, 100])
@pytest.mark.parametrize("looks", [4, 2_000])
@pytest.mark.parametrize(
    "lists", [([1, 4, 7, 8, 9], [2, 3, 5], [6]), ([], [1, 2], []), ([], [], []), ([5], [1], [3])]
)
async def test_pages_are_merged_whatever_fits(
    lists: tuple[list[int], ...], fit: int, looks: int, limit: int, descending: bool
) -> None:
    all_shards = sharded(*(Store(seqs, fit, looks) for seqs in lists))
    expected = sorted((seq for seqs in lists for seq in seqs), reverse=descending)
    seen: list[str] = []
    cursor = ""
    for _ in range(2_000):
        page = await all_shards.page("", descending=descending, cursor=cursor, limit=limit)
        assert cursor or page.total == len(expected)
        assert len(page.jobs) <= limit
        seen += [job.id.decode() for job in page.jobs]
        cursor = page.cursor
        if not cursor:
            break
    assert seen == [f"job-{seq}" for seq in expected]
    assert not cursor


async def test_ids_are_found_wherever_they_are() -> None:
    all_shards = sharded(Store([1, 4], 2), Store([2], 3))
    found = await all_shards.get(["job-2", "job-9", "job-4"])
    assert [job and job.id for job in found] == [b"job-2", None]


async def test_jobs_of_others_are_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that no shard has may be on its way."""
    all_shards = sharded(Store([1, 4], 2), Store([2], 1))
    claimed: list[str] = []

    @asynccontextmanager
    async def held(ids: Sequence[str]) -> AsyncIterator[Claim]:
        claimed.extend(ids)
        yield Claim("", ids, {}, {}, [])

    monkeypatch.setattr(all_shards.claims, "held", held)
    ids = ["job-2", "job-9", "job-4"]
    await all_shards.delete(ids, Limits(types=frozenset({"mail"})))
    assert claimed == ["job-9"]
    claimed.clear()
    await all_shards.delete(ids, Limits(types=frozenset({"t"})))
    assert claimed == ids


async def test_the_pages_of_one_shard_are_its_own() -> None:
    """Nothing is merged, and no cursor is taken apart."""
    one = Store([3, 1], 1)
    page = await sharded(one).page("", descending=False, cursor="1", limit=5)
    assert page == await one.page("", descending=False, cursor="1", limit=5)
    assert page.cursor == "3"


@pytest.mark.parametrize(
    ("count", "named", "types", "owner"),
    [
        (1, ["a"], ["t", "u"], 0),
        (3, [], ["t", "t"], shard_of("t", 3)),
        (3, ["a"], ["t", "t"], None),
        (3, [], ["t", "u", "v", "w"], None),
    ],
)
def test_one_shard_owns_a_list_that_no_other_can_know(
    count: int, named: list[str], types: list[str], owner: int | None
) -> None:
    group = WriteGroup(WriteMode.CREATE, [once(name, type=name) for name in types], named=named)
    assert sharded(*[Store([], 1)] * count).owner_of(group) == owner
