"""One call of a Read looks at a bounded part of the store, and the Read misses nothing."""

import pytest

from scheduling_srv.adapters.redis import jobs
from scheduling_srv.app.ports import Page
from tests.store.shard import Shard, once

JOBS, EVERY, LOOKS = 1_000, 170, 100


async def pages(shard: Shard, creator: str, *, descending: bool) -> list[Page]:
    found = [await shard.jobs.page(creator, descending=descending, cursor="", limit=1_000)]
    while cursor := found[-1].cursor:
        page = await shard.jobs.page(creator, descending=descending, cursor=cursor, limit=1_000)
        found.append(page)
    return found


@pytest.mark.parametrize("descending", [False, True])
async def test_a_creator_with_few_jobs_is_looked_for_in_pieces(
    shard: Shard, descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list of the order of creation holds one of its jobs at most."""
    monkeypatch.setattr(jobs, "MOST_LOOKS", LOOKS)
    creators = ["rare" if number % EVERY == 0 else "often" for number in range(JOBS)]
    await shard.create(*[once(f"j{n:04}", creator=who) for n, who in enumerate(creators)])
    expected = [f"j{n:04}" for n in range(0, JOBS, EVERY)]
    found = await pages(shard, "rare", descending=descending)
    ids = [job.id.decode() for page in found for job in page.jobs]
    assert ids == sorted(expected, reverse=descending)
    assert {page.total for page in found} == {len(expected)}
    # Lists without a job of that creator are not looked at: six or seven of eight remain.
    assert len(found) >= 6 * 128 // LOOKS
    often = await pages(shard, "often", descending=descending)
    assert max(len(page.jobs) for page in often) <= LOOKS + 128  # to the end of a list
    assert sum(len(page.jobs) for page in often) == JOBS - len(expected)


async def test_a_page_that_comes_to_the_end_says_so(shard: Shard) -> None:
    await shard.create(*[once(f"j{number}") for number in range(3)])
    page = await shard.jobs.page("", descending=False, cursor="", limit=3)
    assert (len(page.jobs), page.cursor) == (3, "")
