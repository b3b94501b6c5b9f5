"""The use cases of jobs, kept to the limits of the caller (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from scheduling_srv.app.access.call import MOST_IDS, current, limits
from scheduling_srv.app.narrowing import allows
from scheduling_srv.app.requests.jobs import Jobs, ReadResult
from scheduling_srv.domain.errors import Forbidden, Violation
from scheduling_srv.domain.job import JobRequest, ReadQuery, StoredJob
from scheduling_srv.domain.limits import Limits

MOST_VIOLATIONS = 20


class LimitedJobs:
    """Implements `JobsPort`: checks jobs before `Jobs` changes them, and notes their ids.

    A caller without limits goes straight through.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def create(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Create all or none. Raises `Forbidden`, and the errors of `Jobs.create`."""
        _note_requests(requests)
        if within := limits():
            _check_requests(requests, within)
        stored = await self._jobs.create(requests)
        _note_stored(stored)
        return stored

    async def update(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Replace all or none. Raises `Forbidden`, and the errors of `Jobs.update`."""
        await self._check_replacement(requests)
        return await self._jobs.update(requests)

    async def upsert(self, requests: Sequence[JobRequest]) -> Sequence[StoredJob]:
        """Create or replace. Raises `Forbidden`, and the errors of `Jobs.upsert`."""
        await self._check_replacement(requests)
        stored = await self._jobs.upsert(requests)
        _note_stored(stored)
        return stored

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete the jobs that exist. Raises `Forbidden`, and the errors of `Jobs.delete`."""
        if call := current():
            call.note(ids, len(ids))
        within = limits()
        if within:
            await self._check_existing(ids, within)
        await self._jobs.delete(ids, within)

    async def delete_all(self) -> None:
        """Delete every job. Raises `Forbidden` for a limited caller."""
        if call := current():
            call.detail = "the whole collection"
        if within := limits():
            raise Forbidden(f"This caller may not delete all jobs: it is limited to {within}.")
        await self._jobs.delete_all()

    async def read(self, query: ReadQuery) -> ReadResult:
        """The jobs that the caller may see, in order of creation."""
        within = limits()
        if within is None:
            return await self._jobs.read(query)
        everything = query._replace(limit=0)
        total = 0
        async with aclosing(self._seen(everything, within)) as pages:
            async for page in pages:
                total += len(page)
        return ReadResult(total, _cut(self._seen(everything, within), query.limit))

    async def _seen(self, query: ReadQuery, within: Limits) -> AsyncGenerator[Sequence[StoredJob]]:
        _, pages = await self._jobs.read(query)
        async with aclosing(pages):
            async for page in pages:
                yield [job for job in page if allows(within, job)]

    async def _check_replacement(self, requests: Sequence[JobRequest]) -> None:
        _note_requests(requests)
        if within := limits():
            _check_requests(requests, within)
            await self._check_existing([each.id for each in requests if each.id], within)

    async def _check_existing(self, ids: Sequence[str], within: Limits) -> None:
        """Raise `Forbidden` if a job with one of these ids is outside of the limits."""
        async for job in self._stored(ids):
            if not allows(within, job):
                raise Forbidden(
                    f"The job {job.id.decode()} is not within the limits of this caller: {within}."
                )

    async def _stored(self, ids: Sequence[str]) -> AsyncIterator[StoredJob]:
        """Also jobs that run at once, which a Read does not show."""
        left = [*dict.fromkeys(ids)][: self._jobs.rules.max_items]  # more are refused anyway
        while left:
            found = await self._jobs.store.get(left)
            left = left[len(found) :]
            for job in found:
                if job:
                    yield job


def _check_requests(requests: Sequence[JobRequest], within: Limits) -> None:
    violations = [
        Violation(
            f"items[{place}]",
            f"Item {place}: type {each.type!r} and creator {each.creator!r} are not allowed.",
        )
        for place, each in enumerate(requests)
        if not within.allow(each.type, each.creator)
    ]
    if violations:
        sentence = f"This caller is limited to {within}. {violations[0].description}"
        raise Forbidden(sentence, violations[:MOST_VIOLATIONS])


async def _cut(
    pages: AsyncGenerator[Sequence[StoredJob]], limit: int
) -> AsyncGenerator[Sequence[StoredJob]]:
    """The first `limit` jobs; 0 is all."""
    count = 0
    async with aclosing(pages):
        async for page in pages:
            shown = page[: limit - count] if limit else page
            count += len(shown)
            yield shown
            if limit and count >= limit:
                return


def _note_requests(requests: Sequence[JobRequest]) -> None:
    if call := current():
        call.note([each.id for each in requests if each.id], len(requests))


def _note_stored(stored: Sequence[StoredJob]) -> None:
    if call := current():
        call.note([job.id.decode() for job in stored[:MOST_IDS]], len(stored))
