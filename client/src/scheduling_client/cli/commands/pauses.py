"""Commands that pause and resume jobs and types."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.commands.selecting import Where
from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import Columns, show_item, show_list

if TYPE_CHECKING:
    from scheduling_client.api.jobs import Pause, Progress

COLUMNS: Columns = {"TYPE": "type", "SINCE": "since", "BY": "by", "NOTE": "note"}


def pause(
    *ids: str,
    all: bool = False,  # noqa: A002 - the option is called so
    where: Where | None = None,
    note: str = "",
    by: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Pause jobs by their ids or by filters, or a whole type by `--type` alone.

    Nothing of them is emitted until `scheduling resume`. The pause of a type also holds for jobs
    that are created later. Other filters, also beside `--type`, pause the jobs that exist.

    Parameters
    ----------
    ids
        The ids of the jobs.
    all
        All jobs that exist. It says how many, and asks first, as with filters.
    note
        Why, for those who look.
    by
        Who pauses them; default: your user name.
    dry_run
        Only say how many jobs there are.
    yes
        Do not ask.
    """
    options = resolve(common)
    filters = _filters(ids, where, "pause", is_all=all)
    who = _user() if by is None else by
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        if filters.is_type_alone and not dry_run:
            confirm(f"This pauses {_all_of(filters.type, options)}, also later ones.", yes=yes)
            made = service.pause_type(filters.type, note=note, by=who)
            show_item(_type_item(filters.type, made), options.output, name="type")
            return
        change = partial(service.pause, note=note, by=who)
        if not ids and not dry_run:
            _confirm(change, filters, "pauses", options, yes=yes)
        progress = _changed(change, ids, filters, dry_run=dry_run)
    show_item(progress._asdict(), options.output, name="changed")


def resume(
    *ids: str,
    all: bool = False,  # noqa: A002 - the option is called so
    where: Where | None = None,
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Resume jobs by their ids or by filters, or a whole type by `--type` alone.

    A job goes on once neither it nor its type is paused.

    Parameters
    ----------
    ids
        The ids of the jobs.
    all
        All jobs that exist. It says how many, and asks first, as with filters.
    dry_run
        Only say how many jobs there are.
    yes
        Do not ask.
    """
    options = resolve(common)
    filters = _filters(ids, where, "resume", is_all=all)
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    with client(options) as service:
        if filters.is_type_alone and not dry_run:
            confirm(f"This resumes {_all_of(filters.type, options)}.", yes=yes)
            item = {"type": filters.type, "changed": service.resume_type(filters.type)}
            show_item(item, options.output, name="type")
            return
        if not ids and not dry_run:
            _confirm(service.resume, filters, "resumes", options, yes=yes)
        progress = _changed(service.resume, ids, filters, dry_run=dry_run)
    show_item(progress._asdict(), options.output, name="changed")


def paused(*, common: Common | None = None) -> None:
    """List the types that are paused. `scheduling list --state PAUSED` lists jobs."""
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    with client(options) as service:
        types = service.paused_types()
    items = [_type_item(name, pause) for name, pause in types.items()]
    show_list(items, COLUMNS, options.output, name="type")


def _filters(ids: Sequence[str], where: Where | None, verb: str, *, is_all: bool) -> Where:
    filters = where or Where()
    if sum((bool(ids), is_all, filters.given)) != 1:
        raise wrong(f"Name the ids of the jobs to {verb}, or give filters, or --all.")
    return filters


def _user() -> str:
    """The name of the user; empty where none is known, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _all_of(job_type: str, options: Options) -> str:
    return f"all jobs of the type {job_type!r} of the service at {options.server}"


def _confirm(
    change: Callable[..., Progress], filters: Where, verb: str, options: Options, *, yes: bool
) -> None:
    """Tell how many jobs there are, and ask."""
    count = change(where=filters.filter(), dry_run=True).changed
    confirm(f"This {verb} {count:,} jobs of the service at {options.server}.", yes=yes)


def _changed(
    change: Callable[..., Progress], ids: Sequence[str], filters: Where, *, dry_run: bool
) -> Progress:
    if ids:
        return change(*ids, dry_run=dry_run)
    return change(where=filters.filter(), dry_run=dry_run)


def _type_item(job_type: str, found: Pause) -> dict[str, Any]:
    from scheduling_client.cli.job_texts import pause_item  # noqa: PLC0415

    return {"type": job_type, **pause_item(found)}
