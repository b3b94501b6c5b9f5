"""The use cases: create, read, update, upsert and delete jobs (docs/contract.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from scheduling_client.schedules.when import elapsed
from scheduling_client.schedules.zone import UTC
from scheduling_srv.app.accepted import count_accepted
from scheduling_srv.app.list_check import ListCheck
from scheduling_srv.app.ports import NO_RECORD, Clock, Origin, Page, Refusal, WriteGroup, WriteMode
from scheduling_srv.app.requests.turns import turn
from scheduling_srv.app.sharding.sharded_store import ShardedStore
from scheduling_srv.domain.errors import (
    KEY_TAKEN,
    AlreadyExists,
    InvalidRequest,
    NotFound,
    RequestError,
    StaleRevision,
    TooLarge,
    UniqueKeyTaken,
    Violation,
)
from scheduling_srv.domain.job import JobRequest, NewJob, ReadQuery, StoredJob, TriggerKind
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.validation import Rules, check_ids
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import Note
from scheduling_srv.runtime.pieces import pieces
from scheduling_srv.runtime.time_slice import SharedSlice

REPLACING = {WriteMode.CREATE: None, WriteMode.UPDATE: Note.UPDATED, WriteMode.UPSERT: Note.NONE}
"""What the jobs of a list may replace; see `check_job`."""
CHECKED_AT_ONCE = 16
"""Jobs that are checked before the clock is read. The costliest text takes half a millisecond."""
PAGE = 1_000
"""Jobs read in one store call, and made into an answer before others get their turn (3 ms)."""
LONG_READS = 4
"""Reads of more than a page that go on at once; others wait for their turn, with one page each."""
READ_CALLS = 1
"""Store calls of all Reads that are under way at once: the owner's calls wait for one."""
ANSWER_TOO_LARGE = "The answer is too large: set a limit, or select fewer fields."


class ReadResult(NamedTuple):
    """What was read; `total` counts what matches before the limit."""

    total: int
    pages: AsyncGenerator[Sequence[StoredJob]]
    """To be closed; what has been looked at need not be kept."""


class Jobs:
    """What both transports call. A call returns when its change is announced on Kafka."""

    def __init__(
        self, store: ShardedStore, clock: Clock, rules: Rules, *, most_bytes: int = 2**27
    ) -> None:
        self.store = store
        self.clock = clock
        self.rules = rules
        self.most_bytes = most_bytes
        """That jobs which are read by their ids may have, as they have to be sorted."""
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
        check = ListCheck(len(requests), self.clock.now(), self.rules, REPLACING[mode])
        if len(requests) <= CHECKED_AT_ONCE:
            check.add(requests)
        else:
            await _add_in_turns(check, requests)
        jobs = check.finish()
        if mode is WriteMode.UPDATE:
            _check_named(requests)
        named = [request.id for request in requests if request.id]
        return WriteGroup(mode, jobs, *origin, named)

    async def _write(self, mode: WriteMode, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        group = await self.prepare(mode, requests)
        stored = await self.store.write(group)
        if isinstance(stored, Refusal):
            raise refused(group.jobs, stored, self.clock.now())
        count_accepted(group.jobs)
        await self.store.announced([stored])
        self.store.check(stored, group.jobs)
        return [StoredJob(job.id.encode(), job.record) for job in group.jobs]

    async def delete(self, ids: Sequence[str], within: Limits | None = None) -> None:
        """Delete the jobs that exist. Raises `InvalidRequest`, `TooLarge`, `Unavailable`."""
        check_deletion(ids, self.rules)
        await self.store.announced(await self.store.delete(list(dict.fromkeys(ids)), within))

    async def delete_all(self) -> None:
        """Delete every job there is by now. Raises `Unavailable`."""
        await self.store.announced(await self.store.clear())

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
        async with turn(self._long_reads):
            while page.cursor and (not query.limit or count < query.limit):
                page = await self._page(query, page.cursor, query.limit - count)
                yield page.jobs
                count += len(page.jobs)

    async def _page(self, query: ReadQuery, cursor: str, left: int) -> Page:
        limit = min(left, PAGE) if left > 0 else PAGE
        async with turn(self._read_calls):
            return await self.store.page(
                query.creator, descending=query.descending, cursor=cursor, limit=limit
            )

    async def _read_ids(self, query: ReadQuery) -> ReadResult:
        ids, jobs, size = list(dict.fromkeys(query.ids)), list[StoredJob](), 0
        while ids:
            async with turn(self._read_calls):
                found = await self.store.get(ids)
            ids = ids[len(found) :]
            shown = [job for job in found if job and _is_shown(job, query.creator)]
            size += sum(len(job.record) for job in shown)
            if size > self.most_bytes:
                raise TooLarge(ANSWER_TOO_LARGE)
            jobs += shown
        jobs.sort(key=lambda job: job_record.seq(job.record), reverse=query.descending)
        return ReadResult(len(jobs), _in_pages(jobs[: query.limit] if query.limit else jobs))


async def _add_in_turns(check: ListCheck, requests: Sequence[JobRequest]) -> None:
    """Give the event loop back between pieces of a long list."""
    time_slice = SharedSlice()
    for piece in pieces(requests, CHECKED_AT_ONCE):
        check.add(piece)
        if time_slice.used:
            await time_slice.pause()


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
        sentence = str(elapsed(jobs[place].due, now, UTC))
        detail = f"Item {place} (id {job_id}): {sentence}"
        return InvalidRequest(sentence, [Violation(f"items[{place}].when", detail)])
    if refusal.reason == "stale":
        sentence = f"The job {job_id} was changed since it was read."
        return StaleRevision(sentence, [Violation("revision", sentence)])
    if refusal.reason == "unique":
        detail = f"Item {place}: {KEY_TAKEN}"
        return UniqueKeyTaken(KEY_TAKEN, [Violation(f"items[{place}].type", detail)])
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
    if not TriggerKind(job_record.kind(job.record)).is_resource:
        return False
    return not creator or job_record.creator_of(job.record) == creator
