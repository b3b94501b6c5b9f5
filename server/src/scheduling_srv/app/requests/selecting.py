"""The jobs of a step of a bulk call (scheduling.v1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.app.narrowing import allows, jobs_within
from scheduling_srv.app.ports import ListedJob
from scheduling_srv.app.requests.id_steps import IDS_A_STEP, next_step
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.domain.bulk import BulkCall
from scheduling_srv.domain.job_filter import JobFilter, ListOrder


class Selected(NamedTuple):
    """The jobs of a step."""

    ids: Sequence[str]
    """As they were given, or of the jobs that match; 250 at most."""
    jobs: Sequence[ListedJob]
    """Those that exist within the limits of the call."""
    token: str
    """For the next step; empty: this is the last one."""


async def select(listing: JobListing, call: BulkCall) -> Selected:
    """Raises `InvalidRequest` for a token of another call, and `Unavailable`.

    The store checks the limits of a call again: a job may be replaced meanwhile.
    """
    if isinstance(call.selection, JobFilter):
        return await _matching(listing, call, call.selection)
    step = next_step(call.selection, call.token)
    return Selected(step.ids, _own(call, await listing.show(step.ids)), step.token)


async def _matching(listing: JobListing, call: BulkCall, wanted: JobFilter) -> Selected:
    narrowed = jobs_within(wanted, call.within) if call.within else wanted
    if narrowed is None:
        return Selected([], [], "")
    page = await listing.page(narrowed, ListOrder.CREATED, IDS_A_STEP, call.token)
    jobs = _own(call, page.jobs)
    return Selected([each.job.id.decode() for each in jobs], jobs, page.next_token)


def _own(call: BulkCall, jobs: Sequence[ListedJob]) -> Sequence[ListedJob]:
    """Those within the limits of the call."""
    return [each for each in jobs if allows(call.within, each.job)] if call.within else jobs
