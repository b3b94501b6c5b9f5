"""The jobs of a step of a bulk call (scheduling.v1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
    """Those that exist."""
    token: str
    """For the next step; empty: this is the last one."""


async def select(listing: JobListing, call: BulkCall) -> Selected:
    """Raises `InvalidRequest` for a token of another call, and `Unavailable`."""
    if isinstance(call.selection, JobFilter):
        page = await listing.page(call.selection, ListOrder.CREATED, IDS_A_STEP, call.token)
        ids = [each.job.id.decode() for each in page.jobs]
        return Selected(ids, page.jobs, page.next_token)
    step = next_step(call.selection, call.token)
    return Selected(step.ids, await listing.show(step.ids), step.token)
