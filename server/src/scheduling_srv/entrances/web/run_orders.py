"""Runs are cancelled or tried again: selected ones, or all that match the filter bar."""

from __future__ import annotations

import time
from dataclasses import replace

from scheduling_client.api import run_logic
from scheduling_client.api.jobs import Progress
from scheduling_srv.entrances.web import orders, service
from scheduling_srv.entrances.web.orders import Action, Kind, Order
from scheduling_srv.entrances.web.run_pages import OPEN, Asked
from scheduling_srv.entrances.web.service import Interrupted
from scheduling_srv.entrances.web.visit import Visit

CANCELLED = 500
"""Runs that are looked up and cancelled together."""


async def _retry(visit: Visit, order: Order, token: str, dry_run: bool) -> Interrupted:  # noqa: FBT001 - of a table
    where = None if order.ids else Asked.of(order.asked.filters).where()
    steps = run_logic.retry(order.ids, where, dry_run=dry_run)
    return await visit.site.v1.run_bulk(visit.guest.visitor, steps, token)


async def _cancel(visit: Visit, order: Order, token: str, dry_run: bool) -> Interrupted:  # noqa: FBT001
    if not order.ids:
        return await _cancel_matching(visit, Asked.of(order.asked.filters), token, dry_run=dry_run)
    steps = run_logic.cancel(order.ids, dry_run=dry_run)
    return await visit.site.v1.run_bulk(visit.guest.visitor, steps, token)


async def _cancel_matching(visit: Visit, asked: Asked, token: str, *, dry_run: bool) -> Interrupted:
    """Page by page: CancelRuns takes ids."""
    where = asked.where()
    wanted = replace(where, states=[each for each in where.states if each in OPEN] or OPEN)
    until = time.monotonic() + service.BULK_SECONDS
    matched = changed = 0
    while True:
        page = await visit.run(run_logic.list_page(wanted, CANCELLED, token))
        if ids := [run.run_id for run in page.runs]:
            done = await visit.run(run_logic.cancel(ids, dry_run=dry_run))
            matched, changed = matched + done.matched, changed + done.changed
        token = page.token
        if not token or time.monotonic() >= until:
            return Interrupted(Progress(matched, changed), token)


KIND = Kind(
    "run",
    "run",
    "/runs/bulk",
    {
        "retry": Action(
            "retry",
            "tried again",
            _retry,
            "Each gets one more attempt, with its payload of then.",
            "None of them has failed",
        ),
        "cancel": Action(
            "cancel",
            "cancelled",
            _cancel,
            "Their workers are not stopped, but their answers do not count. A job that runs once"
            " is gone then.",
            "None of them is open",
            is_final=True,
        ),
    },
    Asked.of,
)
PAGES = orders.pages(KIND)
