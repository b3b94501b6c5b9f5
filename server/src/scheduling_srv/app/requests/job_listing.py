"""The use cases of lists: pages of jobs, their number, and jobs by their ids (scheduling.v1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from scheduling_srv.app.ports import JobIndex, ListedJob, ListedPage, Walk
from scheduling_srv.app.requests.filling import Filling, Found
from scheduling_srv.app.requests.turns import turn
from scheduling_srv.app.sharding.merged_pages import ENDED, FIRST, Merge, Part, Row
from scheduling_srv.domain.job_filter import JobFilter, ListOrder
from scheduling_srv.formats import page_token
from scheduling_srv.formats.page_token import PageToken

MOST_JOBS = 1_000
"""Jobs of a page."""
LEAST_SHARE = 100
"""Jobs of a page that each shard is asked for, if the page may hold so many."""
CALLS = 2
"""Store calls of all lists that are under way at once, and as many by ids: the owner's calls wait
for them. Jobs that are asked for by their ids do not wait for lists."""
LARGE_BYTES = 500_000
"""Of records: a page that has so many is not filled further."""
WALKS = {
    ListOrder.CREATED: Walk.CREATED,
    ListOrder.NEWEST: Walk.NEWEST,
    ListOrder.NEXT_DUE: Walk.NEXT_DUE,
}


Pages: TypeAlias = Sequence[ListedPage | None]
"""One of each shard; None: the shard has ended, or has no such index yet."""


class ListedJobs(NamedTuple):
    """A page of a list."""

    jobs: Sequence[ListedJob]
    next_token: str
    """For the next page; empty: this was the last one. A page before it may be empty."""
    total: int | None = None
    """Number of all matches, with the first page; None: only a walk over all jobs could tell."""


class JobListing:
    """Lists over all shards. Each page is one bounded call to each shard, or a few in turn."""

    def __init__(
        self, shards: Sequence[JobIndex], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.shards = shards
        self.monotonic = monotonic
        self._calls = asyncio.Semaphore(CALLS)
        self._calls_by_id = asyncio.Semaphore(CALLS)

    async def page(
        self, wanted: JobFilter, order: ListOrder, limit: int, token: str = ""
    ) -> ListedJobs:
        """At most `limit` jobs, 1 to 1,000. With an id prefix they come in the order of their ids.

        A job that exists during the whole walk and keeps its place is shown once. Raises
        `InvalidRequest` for a token of another request, and `Unavailable`.
        """
        filling = Filling(limit, self.monotonic)
        digest = page_token.digest_of(plain(wanted), order)
        if token:
            at = page_token.unpack(token, digest, len(self.shards), [*Walk])
            pages, total = await self._pages(at, wanted, limit), None
        else:
            at = PageToken(digest, WALKS[order], [FIRST] * len(self.shards))
            at, pages = await self._first(at, wanted, limit)
            total = _total(pages)

        async def go_on(following: PageToken, left: int) -> Found[ListedJob]:
            return _merged(following, await self._pages(following, wanted, left), left)

        found = await filling.fill(_merged(at, pages, limit), go_on, _is_large)
        return ListedJobs(found.items, found.token, total)

    async def _first(
        self, begin: PageToken, wanted: JobFilter, limit: int
    ) -> tuple[PageToken, Pages]:
        """The first pages, and where they begin: a prefix is read by ids if these are indexed."""
        if wanted.id_prefix:
            by_id = begin._replace(walk=Walk.ID)
            pages = await self._pages(by_id, wanted, limit)
            if all(pages):
                return by_id, pages
        return begin, await self._pages(begin, wanted, limit)

    async def count(self, wanted: JobFilter) -> int | None:
        """How many jobs match; None: only a walk over all jobs could tell. Raises `Unavailable`."""
        walk = Walk.ID if wanted.id_prefix else Walk.CREATED
        async with turn(self._calls):
            pages = await asyncio.gather(
                *(shard.page(walk, wanted, FIRST, 0) for shard in self.shards)
            )
        return _total(pages)

    async def show(self, ids: Sequence[str]) -> Sequence[ListedJob]:
        """The jobs that exist, in the order of the ids, each once. Raises `Unavailable`."""
        wanted = list(dict.fromkeys(ids))
        found: dict[bytes, ListedJob] = {}
        for shard in self.shards:
            left = wanted
            while left:
                async with turn(self._calls_by_id):
                    done, jobs = await shard.show(left)
                found |= {each.job.id: each for each in jobs}
                left = left[done:]
        return [found[each.encode()] for each in wanted if each.encode() in found]

    async def _pages(self, at: PageToken, wanted: JobFilter, limit: int) -> Pages:
        """None for a shard that has ended, and for one without the index."""
        share = min(limit, max(LEAST_SHARE, 2 * limit // len(self.shards)))  # more is read in vain
        async with turn(self._calls):
            return await asyncio.gather(
                *(
                    _nothing()
                    if cursor == ENDED
                    else shard.page(Walk(at.walk), wanted, cursor, share)
                    for shard, cursor in zip(self.shards, at.cursors, strict=True)
                )
            )


async def _nothing() -> None:
    """The page of a shard that has ended."""


def plain(wanted: JobFilter) -> Sequence[object]:
    """The same for equal filters, in every process."""
    labels, states = sorted(wanted.labels.items()), sorted(wanted.states)
    dues = (wanted.due_from, wanted.due_until)
    return wanted.type, wanted.creator, labels, wanted.id_prefix, states, dues


def _merged(at: PageToken, pages: Pages, limit: int) -> Found[ListedJob]:
    merge = Merge([_part(Walk(at.walk), page) for page in pages], at.cursors)
    jobs = list(merge.take(limit))
    return Found(jobs, None if merge.ended else at._replace(cursors=merge.cursors))


def _is_large(jobs: Sequence[ListedJob]) -> bool:
    return sum(len(each.job.record) for each in jobs) >= LARGE_BYTES


def _total(pages: Pages) -> int | None:
    totals = [page.total if page else None for page in pages]
    known = [total for total in totals if total is not None]
    return sum(known) if len(known) == len(pages) else None


def _part(walk: Walk, page: ListedPage | None) -> Part[ListedJob] | None:
    if page is None:
        return None
    rows = [Row(_order(walk, each.place), each.place, each) for each in page.jobs]
    return Part(rows, page.cursor)


def _order(walk: Walk, place: str) -> Any:  # noqa: ANN401 - each walk has places of its own
    if walk is Walk.ID:
        return place.encode()
    numbers = [int(text) for text in place.split()]
    return [-number for number in numbers] if walk is Walk.NEWEST else numbers
