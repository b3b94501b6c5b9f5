"""The first page: whether all is well, what comes next, and what needs attention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from starlette.responses import Response

from scheduling_client.api import logic, run_logic
from scheduling_client.api.jobs import Filter, JobState, Order
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.entrances.web.list_pages import Listed, listed
from scheduling_srv.entrances.web.visit import Visit

NEXT_JOBS = 8
MOST_ERRORS = 5
_NONE = timedelta()
STATE_JOBS = 6


class Group(NamedTuple):
    """Jobs in a state that deserves a look."""

    state: str
    title: str
    page: Listed


_GROUPS = (
    (JobState.RETRYING, "Failed, and waiting for another attempt"),
    (JobState.HELD, "Due, and held by a limit"),
    (JobState.PAUSED, "Paused"),
    (JobState.RUNNING, "Running"),
)


async def overview(visit: Visit) -> Response:
    """Health in a sentence, the next jobs, and the jobs in each state.

    Without the store, the health alone.
    """
    try:
        template, values = "overview.html", await _listed(visit)
    except Unavailable as fault:
        template, values = "health_alone.html", {"sentence": str(fault)}
    return visit.page(template, health=await visit.site.health.details(), **values)


async def _listed(visit: Visit) -> dict[str, Any]:
    """The values of the page. Raises `Unavailable`."""
    following = await listed(visit, Filter(), Order.NEXT_DUE, size=NEXT_JOBS)
    groups = [
        Group(
            state.name.lower(),
            title,
            await listed(visit, Filter(states=[state]), Order.NEXT_DUE, size=STATE_JOBS),
        )
        for state, title in _GROUPS
    ]
    view = await visit.run(run_logic.overview())
    due = [job for job in following.jobs if job.next_times]
    return {
        "following": following._replace(jobs=due),
        "view": view,
        "emitted": sum(each.emitted for each in view.minutes),
        "failed": sum(each.failed for each in view.minutes),
        "latest": max((each.max_lateness or _NONE for each in view.minutes), default=_NONE),
        "failures": await visit.run(run_logic.failures("", MOST_ERRORS)),
        "has_jobs": bool(following.jobs),
        "groups": [each for each in groups if each.page.jobs],
        "paused_types": await visit.run(logic.paused_types()),
    }
