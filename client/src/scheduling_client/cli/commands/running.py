"""Commands that run jobs now, run occurrences of the past, and cancel runs."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.commands.run_selecting import RunWhere, filter_of, question
from scheduling_client.cli.commands.selecting import Where
from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Common, resolve
from scheduling_client.cli.output import show_item
from scheduling_client.cli.times import instant_in, read_instant

ASK_FROM = 100
"""A backfill of so many runs asks first."""


def run(
    *ids: str,
    all: bool = False,  # noqa: A002 - the option is called so
    where: Where | None = None,
    request_id: str = "",
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Run jobs once more, now, by their ids or by filters. Pauses do not hold such runs.

    Parameters
    ----------
    ids
        The ids of the jobs.
    all
        All jobs. It says how many, and asks first, as with filters.
    request_id
        Names this command, so that it may be repeated: the second time it makes no runs.
    dry_run
        Only say how many jobs there are.
    yes
        Do not ask.
    """
    options = resolve(common)
    filters = where or Where()
    if sum((bool(ids), all, filters.given)) != 1:
        raise wrong("Name the ids of the jobs to run, or give filters, or --all.")
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        if ids:
            made = service.run_now(*ids, request_id=request_id, dry_run=dry_run)
        else:
            wanted = filters.filter()
            made = service.run_now(where=wanted, dry_run=True)
            if not dry_run:
                count = f"{made.changed:,}"
                confirm(f"This runs {count} jobs of the service at {options.server}.", yes=yes)
                made = service.run_now(where=wanted, request_id=request_id)
    item: dict[str, Any] = {"matched": made.matched, "changed": made.changed}
    if options.output != "table":
        item["runs"] = [each.run_id for each in made.runs]
    show_item(item, options.output, name="changed")


def backfill(
    job_id: str,
    /,
    *,
    since: Annotated[str, Parameter(name=["--since", "--from"])],
    until: str = "now",
    in_flight: int = 1,
    request_id: str = "",
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Run the occurrences of a recurring job that lie between two instants.

    Parameters
    ----------
    job_id
        The id of the job.
    since
        The first instant that counts, such as `2027-03-01` or `yesterday at noon`.
    until
        The first instant that does not count any more.
    in_flight
        How many of these runs may be open at a time.
    request_id
        Names this command, so that it may be repeated: the second time it makes no runs.
    dry_run
        Only say how many runs there are.
    yes
        Do not ask, however many there are.
    """
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    first = instant_in(read_instant(since, "--since", options.zone))
    last = instant_in(read_instant(until, "--until", options.zone))
    if first is None or last is None or first >= last:
        raise wrong("--since has to be before --until.")
    with client(options) as service:
        found = service.backfill(job_id, first, last, dry_run=True)
        if not dry_run:
            if found.runs >= ASK_FROM:
                confirm(f"This makes {found.runs:,} runs of the job {job_id}.", yes=yes)
            found = service.backfill(
                job_id, first, last, max_in_flight=in_flight, request_id=request_id
            )
    show_item(found._asdict(), options.output, name="runs")


def cancel(
    *run_ids: str,
    all: bool = False,  # noqa: A002 - the option is called so
    where: RunWhere | None = None,
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Cancel open runs, by their ids or by filters. Ids of no open run are no error.

    A worker that does the run is not interrupted, but its answer does not count.

    Parameters
    ----------
    run_ids
        The ids of the runs: `scheduling runs` shows them.
    all
        All open runs. It says how many, and asks first, as with filters.
    dry_run
        Only say how many there are.
    yes
        Do not ask.
    """
    options = resolve(common)
    wanted = filter_of(run_ids, where, "cancel", options, is_all=all)
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    with client(options) as service:
        if wanted is None:
            progress = service.cancel(*run_ids, dry_run=dry_run)
        else:
            progress = service.cancel(where=wanted, dry_run=True)
            if not dry_run:
                confirm(question("cancels", progress.changed, options), yes=yes)
                progress = service.cancel(where=wanted)
    show_item(progress._asdict(), options.output, name="changed")
