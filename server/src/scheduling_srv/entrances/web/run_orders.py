"""Runs are cancelled or tried again: selected ones, or all that match the filter bar."""

from __future__ import annotations

from typing import Any

from scheduling_client.api import run_logic
from scheduling_client.api.jobs import RunFilter
from scheduling_client.api.logic import Steps
from scheduling_srv.entrances.web import orders
from scheduling_srv.entrances.web.orders import Action, Kind, Order
from scheduling_srv.entrances.web.run_pages import Asked


def _retry(order: Order, where: RunFilter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001 - of a table
    return run_logic.retry(order.ids, where, dry_run=dry_run)


def _cancel(order: Order, where: RunFilter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001
    return run_logic.cancel(order.ids, where, dry_run=dry_run)


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
