"""Commands that list and repeat runs."""

from __future__ import annotations

from itertools import islice
from typing import Any

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.commands.run_selecting import RunWhere, filter_of, question
from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import Columns, note, show_item, show_list

COLUMNS: Columns = {
    "DUE": "due_here",
    "JOB": "job_id",
    "TYPE": "type",
    "STATE": "stands",
    "ATTEMPT": "attempt",
    "ERROR": "error",
    "RUN": "run_id",
}
GROUPS: Columns = {
    "COUNT": "count",
    "TYPE": "type",
    "LAST": "last_here",
    "JOB": "last_job_id",
    "ERROR": "error",
}
REFUSALS: Columns = {"RUN": "run_id", "REASON": "message"}


def runs(
    *,
    where: RunWhere | None = None,
    by_error: bool = False,
    limit: int = 100,
    common: Common | None = None,
) -> None:
    """List runs, the newest first: those that are open, and the last ones that have ended.

    Parameters
    ----------
    by_error
        Group the failures by error, the most frequent first. Only --type may be beside it.
    limit
        How many at most; 0: all.
    """
    options = resolve(common)
    filters = where or RunWhere()
    if by_error:
        _show_failures(filters, limit, options)
        return
    wanted = filters.filter(options)
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC
    from scheduling_client.cli.run_texts import run_rows  # noqa: PLC0415

    with client(options) as service:
        found = service.runs(wanted, page_size=min(limit + 1, 1000) if limit else 1000)
        listed = [*islice(found, limit + 1 if limit else None)]
    more = bool(limit) and len(listed) > limit
    shown = listed[:limit] if limit else listed
    show_list(run_rows(shown, options), COLUMNS, options.output, name="run_id")
    if more and options.output == "table":
        note(f"These are {len(shown):,} runs, and there are more: --limit shows them.")


def retry(
    *run_ids: str,
    all: bool = False,  # noqa: A002 - the option is called so
    where: RunWhere | None = None,
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> int:
    """Make another attempt of failed runs, by their ids or by filters.

    The exit code is 1 if one of them cannot be repeated.

    Parameters
    ----------
    run_ids
        The ids of the runs: `scheduling runs --outcome FAILED` shows them.
    all
        All failed runs. It says how many, and asks first, as with filters.
    dry_run
        Only say how many there are.
    yes
        Do not ask.
    """
    options = resolve(common)
    wanted = filter_of(run_ids, where, "retry", options, is_all=all)
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    with client(options) as service:
        if wanted is None:
            made = service.retry_runs(*run_ids, dry_run=dry_run)
        else:
            made = service.retry_runs(where=wanted, dry_run=True)
            if not dry_run:
                confirm(question("repeats", made.changed, options), yes=yes)
                made = service.retry_runs(where=wanted)
    refused = [each._asdict() for each in made.refusals]
    item: dict[str, Any] = {"matched": made.matched, "changed": made.changed}
    if options.output == "table":
        show_item(item, options.output)
        if refused:
            show_list(refused, REFUSALS, options.output)
    else:
        show_item({**item, "refusals": refused}, options.output, name="changed")
    return int(bool(refused))


def _show_failures(filters: RunWhere, limit: int, options: Options) -> None:
    if filters != RunWhere(type=filters.type):
        raise wrong("--by-error groups the failures of a type or of all: give --type or nothing.")
    from scheduling_client.cli.clients import client  # noqa: PLC0415
    from scheduling_client.cli.run_texts import failure_rows  # noqa: PLC0415

    with client(options) as service:
        groups = service.failures(filters.type, limit=min(limit, 100))
    show_list(failure_rows(groups, options), GROUPS, options.output, name="error")
