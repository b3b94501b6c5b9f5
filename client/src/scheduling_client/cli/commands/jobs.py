"""Commands that show, change and delete jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.commands.properties import Properties
from scheduling_client.cli.commands.selecting import Where
from scheduling_client.cli.errors import CommandError, Exit, wrong
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import Columns, note, say, show_item, show_list
from scheduling_client.cli.tables import COLUMNS, rows_of
from scheduling_client.schedules.durations import parse_duration

if TYPE_CHECKING:
    from scheduling_client.api.client import Client

NEXT_TIMES = 5
LAST_RUNS = 5
UPCOMING: Columns = {
    "NEXT": "next_here",
    "RUNS": "runs",
    "ID": "id",
    "TYPE": "type",
    "SCHEDULE": "words",
}
RUNS: Columns = {
    "DUE": "due_here",
    "RUN": "run_id",
    "STATE": "stands",
    "ATTEMPT": "attempt",
    "ERROR": "error",
}


def list_jobs(
    *,
    where: Where | None = None,
    order: Literal["created", "newest", "next"] = "created",
    limit: int = 100,
    common: Common | None = None,
) -> None:
    """List jobs.

    Parameters
    ----------
    order
        By creation, the newest first, or by the next run.
    limit
        How many at most; 0: all.
    """
    options = resolve(common)
    from scheduling_client.api.jobs import Order  # noqa: PLC0415 - it imports protobuf
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    orders = {"created": Order.CREATED, "newest": Order.NEWEST, "next": Order.NEXT_DUE}
    wanted = (where or Where()).filter()
    with client(options) as service:
        size = min(limit + 1, 1000) if limit else 1000
        found = service.list(wanted, order=orders[order], page_size=size)
        jobs = [*islice(found, limit + 1 if limit else None)]
    more = bool(limit) and len(jobs) > limit
    shown = jobs[:limit] if limit else jobs
    show_list(rows_of(shown, options), COLUMNS, options.output)
    if more and options.output == "table":
        note(f"These are {len(shown):,} jobs, and there are more: --limit shows them.")


def next_runs(
    *,
    within: str = "1h",
    where: Where | None = None,
    limit: int = 100,
    common: Common | None = None,
) -> None:
    """Show which jobs run next, in order, and how often in that time.

    Parameters
    ----------
    within
        How far to look ahead, such as `30m`.
    limit
        How many jobs at most; 1,000 are possible.
    """
    options = resolve(common)
    try:
        ahead = timedelta(milliseconds=parse_duration(within))
    except ValueError as error:
        raise wrong(f"--within: {within!r} {error}.") from None
    from scheduling_client.cli.clients import client  # noqa: PLC0415
    from scheduling_client.cli.run_texts import upcoming_rows  # noqa: PLC0415

    wanted = (where or Where()).filter()
    with client(options) as service:
        found = service.upcoming(datetime.now(UTC) + ahead, wanted, limit=limit)
    show_list(upcoming_rows(found.runs, options), UPCOMING, options.output)
    if found.more and options.output == "table":
        note(f"These are {len(found.runs):,} jobs, and there are more: --limit shows them.")


def show(job_id: str, /, *more_ids: str, common: Common | None = None) -> None:
    """Show jobs: their properties, their schedule in words, their state and next runs.

    Parameters
    ----------
    job_id
        The id of a job.
    more_ids
        Further ids.
    """
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    ids = [job_id, *more_ids]
    with client(options) as service:
        found = service.get_many(ids, next_times=NEXT_TIMES)
        items = rows_of(found, options)
        if options.output == "table":
            for number, item in enumerate(items):
                if number:
                    say()
                _show_with_runs(service, item, options)
    if options.output != "table":
        show_list(items, COLUMNS, options.output)
    missing = [each for each in ids if each not in {job.id for job in found}]
    if missing:
        raise CommandError(
            f"No job has the id {missing[0]!r}. 'scheduling list' shows the jobs that exist; jobs"
            " that run at once are never shown.",
            Exit.NOT_FOUND,
        )


def _show_with_runs(service: Client, item: dict[str, Any], options: Options) -> None:
    """A job, and its open and last runs if the service lists runs."""
    from scheduling_client.api.errors import FailedPrecondition, Unsupported  # noqa: PLC0415
    from scheduling_client.api.jobs import RunFilter  # noqa: PLC0415
    from scheduling_client.cli.run_texts import run_rows  # noqa: PLC0415

    item.pop("next_here", None)
    show_item(item, options.output)
    try:
        runs = [*islice(service.runs(RunFilter(job_id=item["id"]), page_size=LAST_RUNS), LAST_RUNS)]
    except (FailedPrecondition, Unsupported):  # of an earlier version
        return
    if runs:
        say()
        show_list(run_rows(runs, options), RUNS, options.output)


def update(
    job_id: str,
    /,
    *,
    revision: int = 0,
    properties: Properties | None = None,
    common: Common | None = None,
) -> None:
    """Change the properties of a job that are given, and keep the others.

    Parameters
    ----------
    job_id
        The id of the job.
    revision
        Refuse the change unless the job has this revision; 0: any.
    """
    options = resolve(common)
    changes = (properties or Properties()).changes()
    if not changes:
        raise wrong("Nothing is to be changed: 'scheduling update --help' lists the properties.")
    from scheduling_client.cli.clients import client  # noqa: PLC0415
    from scheduling_client.cli.job_texts import changes_of  # noqa: PLC0415

    with client(options) as service:
        if "attempts" in changes or "backoff" in changes:
            changes, revision = _with_retry(service, job_id, changes, revision)
        asked = changes_of(changes, f"Job {job_id}")
        job = service.update(job_id, revision=revision, **asked)
    show_list(rows_of([job], options), COLUMNS, options.output)


def _with_retry(
    service: Client, job_id: str, changes: dict[str, Any], revision: int
) -> tuple[dict[str, Any], int]:
    """The changes with the other properties of `retry`, which is replaced as a whole."""
    from scheduling_client.cli.job_texts import spec_item  # noqa: PLC0415

    job = service.get(job_id)
    item = spec_item(job.spec)
    backoff = {**item.get("backoff", {}), **changes.get("backoff", {})}
    attempts = changes.get("attempts", item.get("attempts", 0))
    return {**changes, "attempts": attempts, "backoff": backoff}, revision or job.revision


def delete(
    *ids: str,
    all: bool = False,  # noqa: A002 - the option is called so
    where: Where | None = None,
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Delete jobs, by their ids or by filters. Unknown ids are no error.

    Parameters
    ----------
    ids
        The ids of the jobs.
    all
        All jobs. It says how many, and asks first, as with filters.
    dry_run
        Only say how many there are.
    yes
        Do not ask.
    """
    options = resolve(common)
    filters = where or Where()
    if sum((bool(ids), all, filters.given)) != 1:
        raise wrong("Name the ids of the jobs to delete, or give filters, or --all.")
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    with client(options) as service:
        if ids:
            progress = service.delete(*ids, dry_run=dry_run)
        else:
            progress = service.delete(where=filters.filter(), dry_run=True)
            if not dry_run:
                count = f"{progress.matched:,}"
                confirm(f"This deletes {count} jobs of the service at {options.server}.", yes=yes)
                progress = service.delete(where=filters.filter())
    show_item(progress._asdict(), options.output, name="changed")
