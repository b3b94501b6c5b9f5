"""The use cases: create, read, update, upsert and delete jobs (docs/contract.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

from scheduling_srv.app import deadline
from scheduling_srv.app.accepted import count_accepted
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.budget import DELETED_IDS, is_long
from scheduling_srv.app.grouping import GroupCommit, Outcome
from scheduling_srv.app.lists import CONTENDED, DELETE, LARGE, MOVING, PATIENCE, Lists
from scheduling_srv.app.pieces import pieces
from scheduling_srv.app.ports import (
    NO_RECORD,
    Clock,
    JobStore,
    Origin,
    Page,
    Receipt,
    Refusal,
    Source,
    StoredJob,
    WriteGroup,
    WriteMode,
    Written,
)
from scheduling_srv.app.time_slice import SharedSlice
from scheduling_srv.domain import record
from scheduling_srv.domain.errors import (
    AlreadyExists,
    Contended,
    InvalidRequest,
    NotAnnounced,
    NotFound,
    Overloaded,
    RequestError,
    TooLarge,
    Violation,
)
from scheduling_srv.domain.job import JobRequest, NewJob, TriggerKind
from scheduling_srv.domain.record import Note
from scheduling_srv.domain.validation import ListCheck, Rules, check_ids
from scheduling_srv.domain.when import elapsed
from scheduling_srv.domain.zone import UTC
from scheduling_srv.runtime import points
from scheduling_srv.runtime.failpoints import reached

REPLACING = {WriteMode.CREATE: None, WriteMode.UPDATE: Note.UPDATED, WriteMode.UPSERT: Note.NONE}
"""What the jobs of a list may replace; see `check_job`."""
CHECKED_AT_ONCE = 16
"""Jobs that are checked before the clock is read. The costliest text takes half a millisecond."""
PAGE = 1_000
"""Jobs read in one store call, and made into an answer before others get their turn (3 ms)."""
LONG_READS = 4
"""Reads of more than a page that go on at once; others wait for their turn, with one page each."""
READ_CALLS = 2
"""Store calls of all Reads that are under way at once: so long do the owner's calls wait."""
READ_TIMEOUT = 60.0
"""Seconds that a Read waits for its turn; the call's own deadline may be shorter."""
BUSY = "Too many Reads are under way: send it again a little later, or select less."
ANSWER_TOO_LARGE = "The answer is too large: set a limit, or select fewer fields."
ANNOUNCE_TIMEOUT = 20.0
"""Seconds that a call waits for its announcement; its own deadline may be shorter."""


class ReadQuery(NamedTuple):
    """What to read. Empty `creator` and `ids` do not restrict; `limit` 0 means all."""

    creator: str = ""
    ids: Sequence[str] = ()
    descending: bool = False
    limit: int = 0


class ReadResult(NamedTuple):
    """What was read; `total` counts what matches before the limit."""

    total: int
    pages: AsyncGenerator[Sequence[StoredJob]]
    """To be closed; what has been looked at need not be kept."""


class Jobs:
    """What both transports call. A call returns when its change is announced on Kafka."""

    def __init__(
        self,
        store: JobStore,
        announcements: Announcements,
        clock: Clock,
        rules: Rules,
        *,
        wait_for_announcement: bool = True,
        most_bytes: int = 2**27,
        lists: Lists | None = None,
    ) -> None:
        """`lists` applies what is too long for one call; without it nothing is."""
        self.store = store
        self.announcements = announcements
        self.clock = clock
        self.rules = rules
        self.wait_for_announcement = wait_for_announcement
        self.lists = lists
        self.most_bytes = most_bytes
        """That jobs which are read by their ids may have, as they have to be sorted."""
        gathering = announcements.gathering if wait_for_announcement else None
        self.commits = GroupCommit(store, clock, gathering)
        self._long_reads = asyncio.Semaphore(LONG_READS)
        self._read_calls = asyncio.Semaphore(READ_CALLS)

    async def create(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Create all or none. Raises `RequestError` and `Unavailable`."""
        return await self._write(WriteMode.CREATE, requests)

    async def update(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Replace all or none. Raises `RequestError` and `Unavailable`."""
        return await self._write(WriteMode.UPDATE, requests)

    async def upsert(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Create or replace. Raises `RequestError` and `Unavailable`."""
        return await self._write(WriteMode.UPSERT, requests)

    async def prepare(
        self, mode: WriteMode, requests: Sequence[JobRequest], origin: Origin = NO_RECORD
    ) -> WriteGroup:
        """Check a list of jobs, from either transport."""
        if not requests:
            sentence = f"Missing items in {mode} request."
            raise InvalidRequest(sentence, [Violation("items", sentence)])
        now, time_slice = self.clock.now(), SharedSlice()
        check = ListCheck(len(requests), now, self.rules, REPLACING[mode])
        for piece in pieces(requests, CHECKED_AT_ONCE):
            check.add(piece)
            if time_slice.used:
                await time_slice.pause()
        jobs = check.finish()
        if mode is WriteMode.UPDATE:
            _check_named(requests)
        group = WriteGroup(mode, jobs, *origin)
        if self.lists and is_long(group):
            return replace(group, named=[request.id for request in requests if request.id])
        return group

    async def _write(self, mode: WriteMode, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        group = await self.prepare(mode, requests)
        floor = self.announcements.number
        receipt, refusal = await self._store(group)
        if refusal:
            raise refused(group.jobs, refusal, self.clock.now())
        count_accepted(group.jobs)
        await self.announced(receipt, floor)
        self.announcements.check(receipt, floor, (job.id for job in group.jobs))
        return [StoredJob(job.id.encode(), job.record) for job in group.jobs]

    async def _store(self, group: WriteGroup) -> Outcome:
        """In one call, together with others, or in pieces."""
        if self.lists and is_long(group):
            return await self._store_long(self.lists, group)
        async for _ in self._ways():
            outcome = await self.commits.write(group)
            reason = outcome[1].reason if outcome[1] else ""
            if reason == LARGE and self.lists:
                return await self._store_long(self.lists, group)
            if reason != MOVING:
                return outcome
        raise AssertionError  # `_ways` does not end

    async def _store_long(
        self, lists: Lists, group: WriteGroup, source: Source | None = None
    ) -> Outcome:
        named = group.mode is not WriteMode.CREATE or bool(group.named)
        return await lists.write(group.mode, group.jobs, source, named=named)

    async def write_from(self, groups: Sequence[WriteGroup], source: Source) -> Written:
        """Write the groups of records; of long ones only the first is looked at.

        As `JobStore.write`, but no group is refused because a long list is in its way.
        """
        first, own = groups[0], groups[0].own(source)
        if self.lists and is_long(first):
            return _written(await self._store_long(self.lists, first, own))
        async for _ in self._ways():
            written = await self.store.write(groups, self.clock.now(), source)
            last = written.refusals[-1]
            if not last or last.reason not in {MOVING, LARGE}:
                return written
            if len(written.refusals) > 1:
                return Written(written.receipt, written.refusals[:-1])
            if last.reason == LARGE and self.lists:
                return _written(await self._store_long(self.lists, first, own))
        raise AssertionError  # `_ways` does not end

    async def _ways(self) -> AsyncIterator[None]:
        """Attempts of a call that a long list may be in the way of.

        Between them that list comes to its end. Raises `Contended` when it does not.
        """
        ends = time.monotonic() + deadline.at_most(PATIENCE)
        while True:
            yield
            if not self.lists or time.monotonic() >= ends:
                raise Contended(CONTENDED)
            await self.lists.settle()

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete the jobs that exist. Raises `InvalidRequest`, `TooLarge`, `Unavailable`."""
        check_deletion(ids, self.rules)
        floor, receipt = self.announcements.number, Receipt("", 0)
        left = list(dict.fromkeys(ids))
        while left:  # each id by itself: a caller that is not answered sends all of them again
            receipt, done = await self._delete(left[:DELETED_IDS], None)
            left = left[done:]
        await self.announced(receipt, floor)

    async def delete_from(self, ids: Sequence[str], source: Source) -> Receipt:
        """The same without waiting, for a record: all of it, and its position, in one step.

        Otherwise a record that is read again would delete a job which somebody has created since.
        """
        check_deletion(ids, self.rules)
        ids = list(dict.fromkeys(ids))
        if len(ids) <= DELETED_IDS or not self.lists:
            receipt, done = await self._delete(ids, source)
            if done or not self.lists:
                return receipt
        jobs = [NewJob(job_id, 0, b"") for job_id in ids]
        receipt, _ = await self.lists.write(DELETE, jobs, source)
        return receipt

    async def _delete(self, ids: Sequence[str], source: Source | None) -> tuple[Receipt, int]:
        async for _ in self._ways():
            await reached(points.DELETE_CALL)
            try:
                done = await self.store.delete(ids, self.clock.now(), source)
            except Contended:
                continue
            await reached(points.DELETE_DONE)
            return done
        raise AssertionError  # `_ways` does not end

    async def delete_all(self) -> None:
        """Delete every job there is by now. Raises `Unavailable`."""
        floor = self.announcements.number
        await self.announced(await self.delete_all_from(), floor)

    async def delete_all_from(self, source: Source | None = None) -> Receipt:
        """The same without waiting, for a record."""
        return await self.store.clear(self.clock.now(), source, announced=True)

    async def read(self, query: ReadQuery) -> ReadResult:
        """Jobs in order of creation. Reads take turns. Raises `TooLarge`, `Unavailable`."""
        check_ids(query.ids, self.rules)
        if query.ids:
            return await self._read_ids(query)
        first = await self._page(query, "", query.limit)
        return ReadResult(first.total, self._pages(query, first))

    async def _pages(self, query: ReadQuery, page: Page) -> AsyncGenerator[Sequence[StoredJob]]:
        yield page.jobs
        count = len(page.jobs)
        if not page.cursor or count == query.limit:
            return
        async with _turn(self._long_reads):
            while page.cursor and (not query.limit or count < query.limit):
                page = await self._page(query, page.cursor, query.limit - count)
                yield page.jobs
                count += len(page.jobs)

    async def _page(self, query: ReadQuery, cursor: str, left: int) -> Page:
        limit = min(left, PAGE) if left > 0 else PAGE
        async with _turn(self._read_calls):
            return await self.store.page(
                query.creator, descending=query.descending, cursor=cursor, limit=limit
            )

    async def _read_ids(self, query: ReadQuery) -> ReadResult:
        ids, jobs, size = list(dict.fromkeys(query.ids)), list[StoredJob](), 0
        while ids:
            async with _turn(self._read_calls):
                found = await self.store.get(ids)
            ids = ids[len(found) :]
            shown = [job for job in found if job and _is_shown(job, query.creator)]
            size += sum(len(job.record) for job in shown)
            if size > self.most_bytes:
                raise TooLarge(ANSWER_TOO_LARGE)
            jobs += shown
        jobs.sort(key=lambda job: record.seq(job.record), reverse=query.descending)
        return ReadResult(len(jobs), _in_pages(jobs[: query.limit] if query.limit else jobs))

    async def announced(self, receipt: Receipt, floor: int = 0) -> None:
        """Wait until what stands before the receipt is on Kafka. Raises `Unavailable`.

        `floor`: see `Announcements.wait`.
        """
        await reached(points.WRITE_WAIT)
        if not self.wait_for_announcement:
            return
        try:
            async with asyncio.timeout(deadline.at_most(ANNOUNCE_TIMEOUT)):
                await self.announcements.wait(receipt, floor)
        except TimeoutError as fault:
            msg = "Kafka does not answer: the change is stored and will be announced."
            raise NotAnnounced(msg) from fault


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore) -> AsyncIterator[None]:
    """Wait for a place, in order. Raises `Overloaded` when the caller's deadline comes first."""
    try:
        async with asyncio.timeout(deadline.at_most(READ_TIMEOUT)):
            await turns.acquire()
    except TimeoutError as fault:
        raise Overloaded(BUSY) from fault
    try:
        yield
    finally:
        turns.release()


def _written(outcome: Outcome) -> Written:
    receipt, refusal = outcome
    return Written(receipt, [refusal])


async def _in_pages(jobs: Sequence[StoredJob]) -> AsyncGenerator[Sequence[StoredJob]]:
    for start in range(0, len(jobs), PAGE):
        yield jobs[start : start + PAGE]


def check_deletion(ids: Sequence[str], rules: Rules) -> None:
    """Raises `InvalidRequest`, `TooLarge`."""
    if not ids:
        sentence = "No arguments provided for delete operation"
        raise InvalidRequest(sentence, [Violation("ids", sentence)])
    check_ids(ids, rules)


def refused(jobs: Sequence[NewJob], refusal: Refusal, now: int) -> RequestError:
    """What the store's refusal at the instant `now` means to the client."""
    job_id, place = jobs[refusal.place].id, refusal.place
    if refusal.reason == "exists":
        sentence = f"A job with the id {job_id} already exists."
        return AlreadyExists(
            sentence, [Violation(f"items[{place}].id", f"Item {place}: {sentence}")]
        )
    if refusal.reason == "elapsed":
        fault = elapsed(jobs[place].due, now, UTC)
        detail = f"Item {place} (id {job_id}): {fault}"
        fault.violations = (Violation(f"items[{place}].when", detail),)
        return fault
    sentence = f"There is no job with the id {job_id}."
    return NotFound(sentence, [Violation(f"items[{place}].id", f"Item {place}: {sentence}")])


def _check_named(requests: Sequence[JobRequest]) -> None:
    for index, request in enumerate(requests):
        if not request.id:
            sentence = "Job id not specified."
            raise InvalidRequest(
                sentence, [Violation(f"items[{index}].id", f"Item {index}: {sentence}")]
            )


def _is_shown(job: StoredJob, creator: str) -> bool:
    if record.kind(job.record) == TriggerKind.NOW:
        return False
    return not creator or record.creator_of(job.record) == creator
