"""The list of jobs."""

from __future__ import annotations

from typing import NamedTuple

from starlette.responses import Response

from scheduling_client.api import logic
from scheduling_client.api.jobs import Filter, Job, Order
from scheduling_srv.entrances.web.filters import ORDERS, STATES, Asked
from scheduling_srv.entrances.web.visit import Visit

PAGE_JOBS = 50
MOST_CALLS = 10
"""Of one page: a filter without an index looks at a bounded number of jobs in each call."""


class Listed(NamedTuple):
    """A page of jobs."""

    jobs: list[Job]
    token: str
    """For the next page; empty: this is the last one."""
    total: int | None
    """None: only a walk over all jobs could tell."""


async def listed(
    visit: Visit, where: Filter, order: Order, *, size: int = PAGE_JOBS, token: str = ""
) -> Listed:
    """A page that is full, unless looking for more would take long."""
    jobs: list[Job] = []
    total = None
    for number in range(MOST_CALLS):
        left = size - len(jobs)
        page = await visit.run(logic.list_page(where, order.value, left, token))
        jobs += page.jobs
        total, token = page.total if number == 0 else total, page.token
        if not token or len(jobs) == size:
            break
    return Listed(jobs, token, total)


async def jobs(visit: Visit) -> Response:
    """A page of the jobs that match the filter bar."""
    asked, token = Asked.of(visit.request.query_params), visit.query("after")
    where = asked.where()
    page = await listed(visit, where, ORDERS[asked.order], token=token)
    if page.total is None:
        page = page._replace(total=await _total(visit, where))
    return visit.page(
        "jobs.html",
        asked=asked,
        states=list(STATES),
        page=page,
        token=token,
        paused_types=await visit.run(logic.paused_types()) if not token else {},
    )


async def _total(visit: Visit, where: Filter) -> int | None:
    """How many jobs match, if an index tells: that of due times does not."""
    return (await visit.run(logic.list_page(where, Order.CREATED.value, 1, ""))).total
