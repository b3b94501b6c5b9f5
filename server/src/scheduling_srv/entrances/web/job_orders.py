"""Actions on selected jobs, or on all that match the filter bar."""

from __future__ import annotations

from typing import Any

from scheduling_client.api import logic, run_logic
from scheduling_client.api.jobs import Filter
from scheduling_client.api.logic import Steps
from scheduling_srv.entrances.web import orders
from scheduling_srv.entrances.web.filters import Asked
from scheduling_srv.entrances.web.orders import Action, Kind, Order


def _pause(order: Order, where: Filter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001 - of a table
    return logic.pause(order.ids, where, order.note, order.by, dry_run=dry_run)


def _resume(order: Order, where: Filter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001
    return logic.resume(order.ids, where, dry_run=dry_run)


def _run(order: Order, where: Filter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001
    return run_logic.run_now(order.ids, where, order.request_id, dry_run=dry_run)


def _delete(order: Order, where: Filter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001
    return logic.delete(order.ids, where, dry_run=dry_run)


KIND = Kind(
    "job",
    "job",
    "/jobs/bulk",
    {
        "pause": Action(
            "pause",
            "paused",
            _pause,
            "Nothing of a paused job is emitted. Retries wait; runs of the schedule that pass are"
            " skipped and counted.",
            "All of them are paused already",
            has_note=True,
        ),
        "resume": Action(
            "resume",
            "resumed",
            _resume,
            "The jobs go on with their next due times. Those whose type is paused stay so.",
            "None of them is paused",
        ),
        "run": Action(
            "run",
            "started",
            _run,
            "Each gets one more run at once, also if it is paused. The limit of parallel runs"
            " counts.",
            "None of them exists any more",
        ),
        "delete": Action(
            "delete",
            "deleted",
            _delete,
            "Deleted jobs cannot be brought back. Runs that are under way can still be answered.",
            "None of them exists any more",
            is_final=True,
        ),
    },
    Asked.of,
)
PAGES = orders.pages(KIND)
