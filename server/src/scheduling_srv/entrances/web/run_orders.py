"""Runs are cancelled or tried again: selected ones, or all that match the filter bar."""

from __future__ import annotations

from scheduling_client.api import run_logic
from scheduling_client.api.jobs import RunFilter
from scheduling_srv.entrances.web import orders
from scheduling_srv.entrances.web.orders import Action, Kind, Order
from scheduling_srv.entrances.web.run_pages import Asked
from scheduling_srv.entrances.web.service import Interrupted
from scheduling_srv.entrances.web.visit import Visit


def _where(order: Order) -> RunFilter | None:
    return None if order.ids else Asked.of(order.asked.filters).where()


async def _retry(visit: Visit, order: Order, token: str, dry_run: bool) -> Interrupted:  # noqa: FBT001 - of a table
    steps = run_logic.retry(order.ids, _where(order), dry_run=dry_run)
    return await visit.site.v1.run_bulk(visit.guest.visitor, steps, token)


async def _cancel(visit: Visit, order: Order, token: str, dry_run: bool) -> Interrupted:  # noqa: FBT001
    steps = run_logic.cancel(order.ids, _where(order), dry_run=dry_run)
    return await visit.site.v1.run_bulk(visit.guest.visitor, steps, token)


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
