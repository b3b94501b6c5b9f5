"""The runs of a step of a bulk call (scheduling.v1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from scheduling_srv.app.narrowing import runs_within
from scheduling_srv.app.requests.id_steps import next_step
from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.domain.run import Run, RunBulkCall, RunFilter, RunId

RUNS_A_STEP = 250


class SelectedRuns(NamedTuple):
    """The runs of a step."""

    ids: Sequence[RunId]
    """As they were given, or of the runs that match; 250 at most."""
    listed: Sequence[Run]
    """The same runs as the list shows them; empty: they were named by their ids."""
    token: str
    """For the next step; empty: this is the last one."""


async def select_runs(
    listing: RunListing, call: RunBulkCall, narrowed: Callable[[RunFilter], RunFilter | None]
) -> SelectedRuns:
    """`narrowed`: the filter with the conditions of the call; None: no run can match it.

    The store passes over runs that are not within the limits of the call: lists do not tell who
    created the job of a run.

    Raises `InvalidRequest` for a token of another call, and `Unavailable`.
    """
    if isinstance(call.selection, RunFilter):
        wanted = narrowed(call.selection)
        if wanted and call.within:
            wanted = runs_within(wanted, call.within)
        if wanted is None:
            return SelectedRuns([], [], "")
        page = await listing.list(wanted, RUNS_A_STEP, call.token)
        return SelectedRuns([run.id for run in page.runs], page.runs, page.token)
    step = next_step(call.selection, call.token)
    parsed = [RunId.parse(text) for text in step.ids]
    return SelectedRuns([run for run in parsed if run], [], step.token)
