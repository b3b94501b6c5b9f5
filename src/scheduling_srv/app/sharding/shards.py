"""Several shards as one store: what belongs where, and in which order (docs/decisions/0004)."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.budget import DELETED_IDS
from scheduling_srv.app.lists import Lists
from scheduling_srv.app.ports import (
    Clock,
    InputStore,
    JobStore,
    Page,
    Receipt,
    Refusal,
    Source,
    Transfers,
    WriteGroup,
    WriteMode,
)
from scheduling_srv.app.replies import Held
from scheduling_srv.app.sharding.changes import plan_delete, plan_write, shard_of_job
from scheduling_srv.app.sharding.claims import Claim, Claims
from scheduling_srv.app.sharding.courier import Courier
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.domain.job import StoredJob, TriggerKind
from scheduling_srv.formats.changes import Change
from scheduling_srv.formats.job_record import Note, has_note
from scheduling_srv.formats.job_record import seq as seq_of

CURSOR = ","
"""Between the shards' cursors."""
ENDED = "-"
"""Cursor of a shard that has no further jobs."""
LEAST_SHARE = 100
"""Jobs of a page that each shard is asked for, if the page may hold so many."""
NOWHERE = -1
"""In place of the shard of a job that does not exist."""


@dataclass(frozen=True, slots=True)
class Part:
    """One shard, as calls see it."""

    store: JobStore
    inputs: InputStore
    transfers: Transfers
    announcements: Announcements
    lists: Lists | None = None
    """What is too long for one call goes this way, if it concerns this shard alone."""


class Decided(NamedTuple):
    """A change that is stored, in the shard where it begins."""

    change: Change
    receipt: Receipt
    floor: int
    """See `Announcements.wait`."""


class Shards:
    """Reads as the one store would answer, and decides about changes."""

    def __init__(
        self, parts: Sequence[Part], claims: Claims, courier: Courier, clock: Clock
    ) -> None:
        self.parts = parts
        self.claims = claims
        self.courier = courier
        self.clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.parts)

    # --- Deciding -----------------------------------------------------------------------------

    def only(self, group: WriteGroup) -> int | None:
        """The one shard that may write the group without asking the others."""
        if group.named:
            return None
        shards = {shard_of_job(job, self.count) for job in group.jobs}
        return shards.pop() if len(shards) == 1 else None

    async def write(
        self, group: WriteGroup, *, at: int | None = None, source: Source | None = None
    ) -> Decided | Refusal:
        """Decide about a list, and store what was decided in the shard `at`, or where it is best.

        Raises `Unavailable`, and with a source `StaleSource`.
        """
        if not group.named:
            change = plan_write(group.jobs, {}, self.count, at)
            decided = await self._commit(change, None, source)
            assert decided  # noqa: S101 - it claims nothing
            return decided
        while True:
            async with self.claims.held(group.named) as claim:
                if refusal := _refusal(group, claim) or await self._elapsed(group, claim):
                    return refusal
                change = plan_write(group.jobs, claim.shards(), self.count, at)
                decided = await self._commit(change, claim, source)
            if decided:
                return decided

    async def _elapsed(self, group: WriteGroup, claim: Claim) -> Refusal | None:
        """The first one-time job in the past that is not one which was due then before."""
        places: dict[int, list[int]] = {}
        for place, job in enumerate(group.jobs):
            if has_note(job.record, Note.ELAPSED):
                home = claim.homes.get(job.id)
                places.setdefault(home.shard if home else NOWHERE, []).append(place)
        refused = places.pop(NOWHERE, [])
        for shard, asked in places.items():
            jobs = [group.jobs[place] for place in asked]
            found = await self.parts[shard].transfers.may_have_elapsed(jobs)
            refused += [place for place, may in zip(asked, found, strict=True) if not may]
        return Refusal("elapsed", min(refused)) if refused else None

    async def delete(self, ids: Sequence[str]) -> Sequence[Decided]:
        """Delete the jobs that exist, each shard by itself, and no more than a call may at once."""
        left, last = list(dict.fromkeys(ids)), dict[int, Decided]()
        while left:
            for decided in await self._delete(left[:DELETED_IDS]):
                last[decided.change.shard] = decided
            left = left[DELETED_IDS:]
        return list(last.values())

    async def _delete(self, ids: Sequence[str]) -> Sequence[Decided]:
        while True:
            async with self.claims.held(ids) as claim:
                changes: dict[int, list[str]] = {}
                for job_id, home in claim.homes.items():
                    changes.setdefault(home.shard, []).append(job_id)
                done = await asyncio.gather(
                    *(
                        self._commit(Change(shard, removed), claim, None)
                        for shard, removed in changes.items()
                    )
                )
            decided = [each for each in done if each]
            if len(decided) < len(done):
                continue
            if len(claim.homes) < len(claim.ids):
                # Somebody may have deleted them, and not have announced it yet.
                others = [shard for shard in range(self.count) if shard not in changes]
                decided += await asyncio.gather(*(self.end_of(shard) for shard in others))
            return decided

    async def delete_from(self, ids: Sequence[str], at: int, source: Source) -> Decided:
        """The same for a record: decided in one shard, so that it happens once."""
        while True:
            async with self.claims.held(list(dict.fromkeys(ids))) as claim:
                decided = await self._commit(plan_delete(claim.shards(), at), claim, source)
            if decided:
                return decided

    async def clear(self) -> Sequence[Decided]:
        """Delete every resource. What is on its way comes to its end before."""
        await self.courier.settle_all()
        while True:
            cleared = await asyncio.gather(*(self._clear(shard) for shard in range(self.count)))
            if not await self.courier.settle_all():
                return cleared

    async def end_of(self, shard: int) -> Decided:
        """The end of a shard's outbox as it is now."""
        part = self.parts[shard]
        floor = part.announcements.number
        return Decided(Change(shard), await part.inputs.append([], self.clock.now()), floor)

    def follow(self, decided: Decided) -> None:
        """Deliver what follows, without anybody waiting for it."""
        if decided.change.then:
            task = asyncio.create_task(self._follow(decided))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _follow(self, decided: Decided) -> None:
        with suppress(Unavailable):  # the owner's courier does it later
            await self.courier.settle_change(decided.change)

    async def _clear(self, shard: int) -> Decided:
        part = self.parts[shard]
        floor = part.announcements.number
        receipt = await part.store.clear(self.clock.now(), announced=True)
        return Decided(Change(shard), receipt, floor)

    async def _commit(
        self, change: Change, claim: Claim | None, source: Source | None
    ) -> Decided | None:
        part = self.parts[change.shard]
        floor = part.announcements.number
        receipt = await part.transfers.commit(
            change, self.clock.now(), Held(claim.token, claim.ids) if claim else None, source
        )
        return Decided(change, receipt, floor) if receipt else None

    # --- Reading ------------------------------------------------------------------------------

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        """From whichever shard has them: the first of these ids, as many as all have come to."""
        answers = await asyncio.gather(*(part.store.get(ids) for part in self.parts))
        return [next((job for job in jobs if job), None) for jobs in zip(*answers, strict=False)]

    async def page(self, creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        """The pages of all shards, merged by creation number."""
        cursors = cursor.split(CURSOR) if cursor else [""] * self.count
        share = min(limit, max(LEAST_SHARE, 2 * limit // self.count))  # more would be read in vain
        calls = (
            part.store.page(creator, descending=descending, cursor=at, limit=share)
            for part, at in zip(self.parts, cursors, strict=True)
            if at != ENDED
        )
        answers = iter(await asyncio.gather(*calls))
        pages = [None if at == ENDED else next(answers) for at in cursors]
        merge = _Merge(pages, cursors, descending=descending)
        jobs = list(merge.jobs(limit))
        total = sum(page.total for page in pages if page)
        ended = all(at == ENDED for at in merge.cursors)
        return Page(total, "" if ended else CURSOR.join(merge.cursors), jobs)


class _Merge:
    """Takes jobs from the pages in order, as long as it is known which one comes next."""

    def __init__(
        self, pages: Sequence[Page | None], cursors: Sequence[str], *, descending: bool
    ) -> None:
        self.pages = pages
        self.cursors = [at if page else ENDED for page, at in zip(pages, cursors, strict=True)]
        self.places = [0] * len(pages)
        self.sign = -1 if descending else 1
        self._heads: list[tuple[int, int]] = []
        """A heap of the next creation number of each shard, signed, and the shard."""
        self._complete = True

    def jobs(self, limit: int) -> Iterator[StoredJob]:
        for shard in range(len(self.pages)):
            self._look(shard)
        for _ in range(limit):
            if not self._complete or not self._heads:
                return
            signed, shard = heapq.heappop(self._heads)
            page = self.pages[shard]
            assert page  # noqa: S101 - it had a head
            yield page.jobs[self.places[shard]]
            self.places[shard] += 1
            self.cursors[shard] = str(self.sign * signed)
            self._look(shard)

    def _look(self, shard: int) -> None:
        """At the next job of the shard: another one may only be taken when it is known."""
        page, place = self.pages[shard], self.places[shard]
        if page is None:
            return
        if place < len(page.jobs):
            seq = seq_of(page.jobs[place].record)
            heapq.heappush(self._heads, (self.sign * seq, shard))
        elif page.cursor:
            self.cursors[shard] = page.cursor
            self._complete = False
        else:
            self.cursors[shard] = ENDED


def _refusal(group: WriteGroup, claim: Claim) -> Refusal | None:
    """What the one store would find (`lua/lib/writing.lua`)."""
    for place, job in enumerate(group.jobs):
        home = claim.homes.get(job.id)
        if group.mode is WriteMode.CREATE and home:
            return Refusal("exists", place)
        if group.mode is WriteMode.UPDATE and (not home or home.kind == TriggerKind.NOW):
            return Refusal("missing", place)
    return None
