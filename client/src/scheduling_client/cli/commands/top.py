"""`scheduling top`: what fires, runs and fails, as a live screen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import show_item
from scheduling_client.schedules.durations import duration_text, parse_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from scheduling_client.api.client import Client
    from scheduling_client.api.jobs import FailureGroup, Run, UpcomingRun
    from scheduling_client.api.overview import Overview

LINES = 8
"""Of each list."""
AHEAD = timedelta(hours=1)
RATE_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the service."""

    overview: Overview
    upcoming: Sequence[UpcomingRun]
    running: Sequence[Run]
    failures: Sequence[FailureGroup]


def top(
    *,
    every: str = "2s",
    once: Annotated[bool, Parameter(negative="")] = False,
    common: Common | None = None,
) -> None:
    """Watch what fires next, runs and fails, until Ctrl-C.

    Parameters
    ----------
    every
        How often it looks, such as `5s`.
    once
        Show it once and end. So it is with another output than a table.
    """
    options = resolve(common)
    try:
        seconds = max(parse_duration(every) / 1000, 0.1)
    except ValueError as error:
        raise wrong(f"--every: {every!r} {error}.") from None
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        if options.output != "table":
            show_item(_item(_look(service)), options.output, name="serving")
            return
        from rich.console import Console  # noqa: PLC0415 - it takes a while

        console = Console()
        if once or not console.is_terminal:
            console.print(_screen(_look(service), options))
            return
        from rich.live import Live  # noqa: PLC0415

        with Live(screen=True, console=console, auto_refresh=False) as live:
            while True:
                live.update(_screen(_look(service), options), refresh=True)
                time.sleep(seconds)


def _look(service: Client) -> Seen:
    from itertools import islice  # noqa: PLC0415

    from scheduling_client.api.jobs import RunFilter, RunState  # noqa: PLC0415

    running = service.runs(RunFilter(states=[RunState.RUNNING]), page_size=LINES)
    return Seen(
        service.overview(),
        service.upcoming(datetime.now(UTC) + AHEAD, limit=LINES).runs,
        [*islice(running, LINES)],
        service.failures(limit=LINES),
    )


def _item(seen: Seen) -> dict[str, Any]:
    found = seen.overview
    return {
        "serving": found.serving,
        "reasons": [*found.reasons],
        **found.counts._asdict(),
        "lag": found.lag,
        "due": [*found.due],
    }


def _screen(seen: Seen, options: Options) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415

    return Group(*_head(seen.overview, options), *_lists(seen, options))


def _head(found: Overview, options: Options) -> Iterator[RenderableType]:
    from rich.text import Text  # noqa: PLC0415

    state = ("serving", "green") if found.serving else ("not serving", "bold red")
    yield Text.assemble((options.server, "bold"), "  ", state, f"  {datetime.now(options.zone):%T}")
    for reason in found.reasons:
        yield Text(reason, "yellow")
    counts = found.counts
    yield Text(
        f"jobs: {counts.jobs:,}; runs: {counts.running:,} at work, {counts.held:,} held,"
        f" {counts.retrying:,} retrying; paused: {counts.paused_jobs:,} jobs,"
        f" {counts.paused_types:,} types; lag: {found.lag:,}"
    )
    yield Text(f"{_rates(found)}\n")


def _rates(found: Overview) -> str:
    """Of the last minutes."""
    last = found.minutes[-RATE_MINUTES:]
    late = max((each.max_lateness for each in last if each.max_lateness), default=timedelta())
    emitted, done, failed = (
        sum(getattr(each, name) for each in last) for name in ("emitted", "done", "failed")
    )
    return (
        f"last {RATE_MINUTES} minutes: {emitted:,} emitted, {done:,} done, {failed:,} failed,"
        f" at most {duration_text(late // timedelta(milliseconds=1))} late;"
        f" next hour: {sum(found.due):,} jobs due"
    )


def _lists(seen: Seen, options: Options) -> Iterator[RenderableType]:
    from scheduling_client.cli import run_texts  # noqa: PLC0415

    upcoming = run_texts.upcoming_rows(seen.upcoming, options)
    yield _table("Next", upcoming, {"due": "next_here", "job": "id", "schedule": "words"})
    yield ""
    running = run_texts.run_rows(seen.running, options)
    columns = {"due": "due_here", "job": "job_id", "type": "type", "attempt": "attempt"}
    yield _table("At work", running, columns)
    yield ""
    failures = run_texts.failure_rows(seen.failures, options)
    yield _table("Failures", failures, {"count": "count", "type": "type", "error": "error"})


def _table(title: str, rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> Table:
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(title=title, title_justify="left", expand=True, box=None, show_edge=False)
    for heading in columns:
        made.add_column(heading, style="dim" if heading == "due" else "", no_wrap=True)
    for row in rows:
        made.add_row(*(escape(str(row.get(key) or "")) for key in columns.values()))
    return made
