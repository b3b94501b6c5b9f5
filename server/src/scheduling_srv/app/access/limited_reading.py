"""The use cases that read runs, kept to the limits of the caller (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Protocol

from scheduling_srv.app.access.call import limits
from scheduling_srv.app.access.limited_definitions import LimitedDefinitions
from scheduling_srv.app.narrowing import own_runs, refuse_creators
from scheduling_srv.app.requests.explaining import Explaining, Explanation
from scheduling_srv.domain.errors import Forbidden
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import FailureGroup, RunFilter, RunPage, UpcomingRuns


class Runs(Protocol):
    """The use cases of `app.requests.run_listing.RunListing`."""

    async def list(self, wanted: RunFilter, limit: int, token: str = "") -> RunPage:
        """A page of the runs that match."""

    async def failures(self, job_type: str, limit: int) -> Sequence[FailureGroup]:
        """The most frequent errors."""


class Upcoming(Protocol):
    """The use case of `app.requests.upcoming.UpcomingListing`."""

    async def upcoming(self, wanted: JobFilter, until: int, limit: int) -> UpcomingRuns:
        """The runs that are due until an instant."""


MOST_FILTERS = 20
"""Pairs of a type and a creator that are asked for one after the other."""
NONE = RunPage([], "")


class LimitedRunListing:
    """Implements `RunListingPort`. A caller without limits goes straight through."""

    def __init__(self, runs: Runs, definitions: LimitedDefinitions) -> None:
        self._runs = runs
        self._definitions = definitions

    async def list(self, wanted: RunFilter, limit: int, token: str = "") -> RunPage:
        """A page of the runs that match; a page may be short. Raises `Forbidden`."""
        within = limits()
        if within is None:
            return await self._runs.list(wanted, limit, token)
        job = await self._seen(wanted.job_id) if within.creators and wanted.job_id else None
        if job is None:
            refuse_creators(within, "runs")
        types = _types(wanted.type, within)
        if types is not None and not types:
            return NONE
        if types and len(types) == 1:
            wanted = replace(wanted, type=types[0])
        page = await self._runs.list(wanted, limit, token)
        seen = [run for run in page.runs if types is None or run.type in types]
        return RunPage(own_runs(within, job.record, seen) if job else seen, page.token)

    async def failures(self, job_type: str, limit: int) -> Sequence[FailureGroup]:
        """The most frequent errors of the types that the caller may see. Raises `Forbidden`."""
        within = limits()
        if within is None:
            return await self._runs.failures(job_type, limit)
        refuse_creators(within, "failures")
        types = _types(job_type, within) or ()
        groups = [group for each in types for group in await self._runs.failures(each, limit)]
        return sorted(groups, key=lambda group: (-group.number, -group.last))[:limit]

    async def _seen(self, job_id: str) -> StoredJob | None:
        return next((view.job for view in await self._definitions.get([job_id], 0)), None)


class LimitedUpcoming:
    """Implements `UpcomingPort`."""

    def __init__(self, upcoming: Upcoming) -> None:
        self._upcoming = upcoming

    async def upcoming(self, wanted: JobFilter, until: int, limit: int) -> UpcomingRuns:
        """The runs that are due. Raises `Forbidden` for a caller with too many limits."""
        within = limits()
        if within is None:
            return await self._upcoming.upcoming(wanted, until, limit)
        found = [
            await self._upcoming.upcoming(each, until, limit) for each in _filters(wanted, within)
        ]
        entries = sorted((entry for each in found for entry in each.entries), key=lambda e: e.time)
        return UpcomingRuns(
            entries[:limit], more=len(entries) > limit or any(each.more for each in found)
        )


class LimitedExplaining:
    """Implements `ExplainingPort`."""

    def __init__(self, explaining: Explaining) -> None:
        self._explaining = explaining

    async def explain(self, job_id: str, at: int | None) -> Explanation:
        """Why a job ran, or did not. Raises the errors of `Explaining.explain`."""
        return await self._explaining.explain(job_id, at, limits())


def _types(asked: str, within: Limits) -> Sequence[str] | None:
    """The types that are asked for and allowed; None: any."""
    if not within.types:
        return [asked] if asked else None
    return [each for each in sorted(within.types) if asked in ("", each)]


def _filters(wanted: JobFilter, within: Limits) -> Sequence[JobFilter]:
    """One for each type and creator that is asked for and allowed: each has an index."""
    types = [each for each in sorted(within.types) or [wanted.type] if wanted.type in ("", each)]
    creators = [
        each for each in sorted(within.creators) or [wanted.creator] if wanted.creator in ("", each)
    ]
    if len(types) * len(creators) > MOST_FILTERS:
        raise Forbidden(
            f"This caller is limited to more than {MOST_FILTERS} types and creators: name a type."
        )
    return [
        replace(wanted, type=type_, creator=creator) for type_, creator in product(types, creators)
    ]
