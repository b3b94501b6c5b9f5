"""The first page: whether all is well, what comes next, and what needs attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from starlette.responses import Response

from scheduling_client.api import logic, run_logic
from scheduling_client.api.jobs import Filter, JobState, Order, Run, RunFilter, RunState
from scheduling_client.api.overview import MinuteCounts, Overview
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.entrances.web import letter_pages
from scheduling_srv.entrances.web.list_pages import Listed, listed
from scheduling_srv.entrances.web.visit import Visit

NEXT_JOBS = 8
MOST_ERRORS = 5
GROUP_SIZE = 6
SHARED_SECONDS = 2.0
"""How long viewers share what was read: each asks every five seconds, and there may be many."""
LETTERS_SECONDS = 15.0
"""The same for the number of dead letters: Kafka has no count of them."""
_NONE = timedelta()


class Group(NamedTuple):
    """Open runs in a state that deserves a look."""

    state: str
    title: str
    runs: Sequence[Run]
    total: int


_GROUPS = (
    (RunState.RETRYING, "Failed, and waiting for another attempt"),
    (RunState.HELD, "Due, and held by a limit"),
    (RunState.RUNNING, "Running"),
)


_NOTHING: Mapping[str, Any] = {
    "view": None,
    "hour": None,
    "failures": (),
    "groups": (),
    "paused": None,
    "paused_types": {},
}


async def overview(visit: Visit) -> Response:
    """Health in a sentence, the next jobs, and the open runs in each state.

    Without the store, the health alone.
    """
    health = await visit.site.health.details()
    try:
        values = await visit.site.fresh.get(
            ("overview", visit.guest.visitor.caller.limits), SHARED_SECONDS, lambda: _read(visit)
        )
    except Unavailable as fault:
        return visit.page("health_alone.html", health=health, sentence=str(fault))
    return visit.page("overview.html", health=health, letters=await _letters(visit), **values)


async def _read(visit: Visit) -> dict[str, Any]:
    """The values of the page. Raises `Unavailable`."""
    following = await listed(visit, Filter(), Order.NEXT_DUE, size=NEXT_JOBS)
    if visit.guest.visitor.caller.limits:  # counts are those of all jobs
        return {**_NOTHING, **_due(following)}
    view = await visit.run(run_logic.overview())
    return {
        **_due(following),
        "view": view,
        "hour": _hour(view.minutes),
        "failures": await visit.run(run_logic.failures("", MOST_ERRORS)),
        "groups": [await _group(visit, state, title, view) for state, title in _GROUPS],
        "paused": await _paused(visit, view),
        "paused_types": await visit.run(logic.paused_types()),
    }


def _due(following: Listed) -> dict[str, Any]:
    due = [job for job in following.jobs if job.next_times]
    return {"following": following._replace(jobs=due), "has_jobs": bool(following.jobs)}


class Hour(NamedTuple):
    """The last hour in numbers."""

    emitted: int
    failed: int
    skipped: int
    latest: timedelta
    lateness: Sequence[int]
    """The greatest of each minute, in ms."""


def _hour(minutes: Sequence[MinuteCounts]) -> Hour:
    late = [each.max_lateness or _NONE for each in minutes]
    return Hour(
        sum(each.emitted for each in minutes),
        sum(each.failed for each in minutes),
        sum(each.skipped for each in minutes),
        max(late, default=_NONE),
        [each // timedelta(milliseconds=1) for each in late],
    )


async def _group(visit: Visit, state: RunState, title: str, view: Overview) -> Group:
    """One bounded call, and none if there are no such runs."""
    name = state.name.lower()
    count: int = getattr(view.counts, name)
    if not count:
        return Group(name, title, [], 0)
    where = RunFilter(states=[state])
    page = await visit.run(run_logic.list_page(where, GROUP_SIZE, ""))
    return Group(name, title, page.runs, count)


async def _paused(visit: Visit, view: Overview) -> Listed | None:
    """Some paused jobs: one bounded call, as paused jobs have no index."""
    if not view.counts.paused_jobs:
        return None
    where = Filter(states=[JobState.PAUSED])
    page = await visit.run(logic.list_page(where, Order.CREATED.value, GROUP_SIZE, ""))
    return Listed(page.jobs, page.token, view.counts.paused_jobs)


async def _letters(visit: Visit) -> str:
    """How many dead letters there are, for admins; empty: they cannot be counted now."""
    if not visit.is_admin:
        return ""
    try:
        return await visit.site.fresh.get(
            "letters", LETTERS_SECONDS, lambda: letter_pages.count(visit)
        )
    except Unavailable:  # the health on the page says why
        return ""
