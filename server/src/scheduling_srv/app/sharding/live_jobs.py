"""A quota of living jobs for each creator, over all replicas and shards (docs/security.md).

The store knows how many jobs of a creator live. It is asked when a count is old, or when there
seems to be no room. In between this replica adds what it admits. So a creator exceeds its quota at
most by what other replicas admit within `FRESH_SECONDS`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from scheduling_srv.app.ports import WriteGroup, WriteMode
from scheduling_srv.domain.errors import InvalidRequest, OverQuota, Violation
from scheduling_srv.domain.job import NewJob, StoredJob, TriggerKind
from scheduling_srv.formats import job_record

FRESH_SECONDS = 1.0
"""How long a count is believed."""
MOST_CREATORS = 10_000
"""Creators whose counts are remembered."""
RETRY_SECONDS = 60.0
"""What a refused caller is told. Only the end or the deletion of jobs makes room."""

Count = Callable[[str], Awaitable[int]]
"""How many jobs of a creator live."""
Get = Callable[[Sequence[str]], Awaitable[Sequence[StoredJob | None]]]
"""The jobs with the first of these ids, as many as come at once."""


@dataclass(slots=True)
class _Known:
    """A count, and when the store was asked for it."""

    jobs: int
    at: float


class LiveJobs:
    """Admits lists of jobs. Jobs that run at once live for a moment only: they do not count."""

    def __init__(
        self, most: int, count: Count, get: Get, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._count = count
        self._get = get
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        """By creator; the one that was counted least recently comes first."""
        self._under_way = Counter[str]()
        """Jobs that were admitted, and of which it is not known whether the store has them."""

    async def admit(
        self, group: WriteGroup, settle: Callable[[], Awaitable[None]] | None = None
    ) -> Mapping[str, int]:
        """Jobs by creator that are under way from now on, until `release`.

        `settle` returns when the store has the jobs that were admitted before. Raises `OverQuota`,
        and `InvalidRequest` for a job without a creator.
        """
        wanted = _by_creator(group.jobs)
        for creator, jobs in wanted.items():
            if not self._has_room(creator, len(jobs)):
                if settle:
                    await settle()
                await self._look(creator, jobs, group.mode)
        added = {creator: len(jobs) for creator, jobs in wanted.items()}
        self._under_way.update(added)
        return added

    def release(self, added: Mapping[str, int]) -> None:
        """The store has these jobs by now, or never will."""
        self._under_way.subtract(added)
        for creator in added:
            if not self._under_way[creator]:
                del self._under_way[creator]

    def _has_room(self, creator: str, jobs: int) -> bool:
        known = self._known.get(creator)
        if known is None or self._monotonic() - known.at > FRESH_SECONDS:
            return False
        if known.jobs + jobs > self._most:
            return False
        known.jobs += jobs
        return True

    async def _look(self, creator: str, jobs: Sequence[NewJob], mode: WriteMode) -> None:
        """Ask the store. Raises `OverQuota`."""
        at, living = self._monotonic(), await self._count(creator)
        living += self._under_way[creator]
        new = len(jobs)
        if living + new > self._most and mode is not WriteMode.CREATE:
            new -= await self._replaced(creator, jobs)
        if new and living + new > self._most:
            raise OverQuota(
                f"{creator} has {living} jobs, and may have {self._most} (SCHEDULING_QUOTA_JOBS):"
                " delete some, or wait until some have ended.",
                RETRY_SECONDS,
                subject=f"creator:{creator}",
            )
        self._known.pop(creator, None)
        while len(self._known) >= MOST_CREATORS:
            del self._known[next(iter(self._known))]
        self._known[creator] = _Known(living + new, at)

    async def _replaced(self, creator: str, jobs: Sequence[NewJob]) -> int:
        """How many of these jobs replace one of the same creator."""
        left, replaced = [job.id for job in jobs], 0
        while left:
            found = await self._get(left)
            left = left[len(found) :]
            replaced += sum(_is_of(creator, job) for job in found if job)
        return replaced


def _is_of(creator: str, job: StoredJob) -> bool:
    return _counts(job.record) and job_record.creator_of(job.record) == creator


def _counts(record: bytes) -> bool:
    return TriggerKind(job_record.kind(record)).is_resource


def _by_creator(jobs: Sequence[NewJob]) -> Mapping[str, list[NewJob]]:
    """Raises `InvalidRequest` for a job without a creator."""
    found: dict[str, list[NewJob]] = {}
    for place, job in enumerate(jobs):
        if _counts(job.record):
            creator = job_record.creator_of(job.record)
            if not creator:
                sentence = "A job needs a creator: SCHEDULING_QUOTA_JOBS counts its jobs."
                raise InvalidRequest(
                    sentence, [Violation(f"items[{place}].data.creator", sentence)]
                )
            found.setdefault(creator, []).append(job)
    return found
