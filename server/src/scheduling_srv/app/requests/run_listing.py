"""The use cases that read runs: pages of them, their failures, and what is upcoming."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from scheduling_srv.app.ports import Clock
from scheduling_srv.app.requests.filling import Filling, Found
from scheduling_srv.app.requests.turns import turn
from scheduling_srv.app.run_ports import ListedRun, ListedRuns, RunReading
from scheduling_srv.app.sharding.merged_pages import ENDED, FIRST, Merge, Part, Row
from scheduling_srv.domain.run import FailureGroup, JobRuns, Run, RunFilter, RunPage
from scheduling_srv.formats import page_token
from scheduling_srv.formats.page_token import PageToken

WALK = "runs"
"""In tokens: there is one order."""
LEAST_SHARE = 100
"""Runs of a page that each shard is asked for, if the page may hold so many."""
CALLS = 2
"""Store calls of these lists that are under way at once: the owner's calls wait for them."""


class RunListing:
    """Runs over all shards. Each page is one bounded call to each shard, or a few in turn."""

    def __init__(self, shards: Sequence[RunReading], clock: Clock, failures_ms: int) -> None:
        """`failures_ms`: how long failures are kept."""
        self.shards = shards
        self.clock = clock
        self.failures_ms = failures_ms
        self._calls = asyncio.Semaphore(CALLS)

    async def list(self, wanted: RunFilter, limit: int, token: str = "") -> RunPage:
        """At most `limit` runs, 1 to 1,000, the newest first in each section.

        The sections are: held by `parallel`, resting or waiting for a retry, running, ended. Raises
        `InvalidRequest` for a token of another request, and `Unavailable`.
        """
        filling = Filling(limit)
        digest = page_token.digest_of(WALK, *_plain(wanted))
        at = PageToken(digest, WALK, [FIRST] * len(self.shards))
        if token:
            at = page_token.unpack(token, digest, len(self.shards), [WALK])

        async def go_on(at: PageToken, left: int) -> Found[Run]:
            return await self._find(wanted, at, left)

        found = await filling.fill(await go_on(at, limit), go_on)
        return RunPage(found.items, found.token)

    async def _find(self, wanted: RunFilter, at: PageToken, limit: int) -> Found[Run]:
        share = min(limit, max(LEAST_SHARE, 2 * limit // len(self.shards)))
        async with turn(self._calls):
            pages = await asyncio.gather(
                *(
                    _nothing() if cursor == ENDED else shard.runs(wanted, cursor, share)
                    for shard, cursor in zip(self.shards, at.cursors, strict=True)
                )
            )
        merge = Merge([_part(page) for page in pages], at.cursors)
        runs = [each.run for each in merge.take(limit)]
        return Found(runs, None if merge.ended else at._replace(cursors=merge.cursors))

    async def failures(self, job_type: str, limit: int) -> Sequence[FailureGroup]:
        """The most frequent errors of a type, or of all types. Raises `Unavailable`."""
        since = self.clock.now() - self.failures_ms
        async with turn(self._calls):
            found = await asyncio.gather(
                *(shard.failures(job_type, since) for shard in self.shards)
            )
        groups = [group for each in found for group in each]
        groups.sort(key=lambda group: (-group.number, -group.last))
        return groups[:limit]

    async def of_jobs(self, ids: Sequence[str]) -> Mapping[str, JobRuns]:
        """Id -> counters, last run and open runs, of jobs that exist. Raises `Unavailable`."""
        async with turn(self._calls):
            found = await asyncio.gather(*(shard.job_runs(ids) for shard in self.shards))
        return {job_id: runs for each in found for job_id, runs in each.items()}


async def _nothing() -> None:
    """The page of a shard that has ended."""


def _plain(wanted: RunFilter) -> Sequence[object]:
    """The same for equal filters."""
    sets = [sorted(each) for each in (wanted.states, wanted.outcomes, wanted.origins)]
    times = (wanted.nominal_from, wanted.nominal_until)
    return wanted.job_id, wanted.type, sets, times, wanted.error


def _part(page: ListedRuns | None) -> Part[ListedRun] | None:
    if page is None:
        return None
    return Part([Row(_order(each.place), each.place, each) for each in page.runs], page.cursor)


def _order(place: str) -> tuple[int, int]:
    """Runs of a section with equal scores stand in the order of their shard."""
    section, score, _ = place.split(" ")
    return int(section), -int(score)
