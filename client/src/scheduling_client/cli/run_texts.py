"""Runs as the command shows them: JSON that stays the same over versions.

Times are RFC 3339 in UTC. A table has them in the reader's zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from scheduling_client.api.jobs import (
    FailureGroup,
    HeldBy,
    Origin,
    Outcome,
    Run,
    RunState,
    UpcomingRun,
)
from scheduling_client.cli.job_texts import epoch_ms
from scheduling_client.cli.options import Options
from scheduling_client.cli.times import utc_text
from scheduling_client.schedules.preview import local_text

MOST_COUNTED = 10_000
"""The service counts the runs of a job up to here."""
_HOLDERS = {
    HeldBy.PARALLEL: "the limit of its type",
    HeldBy.OVERLAP: "an earlier run of its job",
    HeldBy.PAUSE: "the pause of its job",
    HeldBy.TYPE_PAUSE: "the pause of its type",
}
_TIMES = ("nominal_time", "start_time", "end_time", "retry_time", "deadline")


def run_item(run: Run) -> dict[str, Any]:
    """A run as JSON, without the values that are unknown or not set."""
    item: dict[str, Any] = {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "type": run.type,
        "state": run.state.name,
        "held_by": "" if run.held_by is HeldBy.NOTHING else run.held_by.name,
        "outcome": "" if run.outcome is Outcome.UNKNOWN else run.outcome.name,
        "origin": "" if run.origin is Origin.UNKNOWN else run.origin.name,
        "attempts": run.attempts,
        "max_attempts": run.max_attempts,
        "instance_id": run.instance_id,
        "error": run.error,
    }
    for name in _TIMES:
        item[name] = _utc(getattr(run, name))
    return {key: value for key, value in item.items() if value not in ("", 0, None)}


def run_rows(runs: Iterable[Run], options: Options) -> list[dict[str, Any]]:
    """Runs as JSON. A table also gets words, and times in the reader's zone."""
    rows = []
    for run in runs:
        row = run_item(run)
        if options.output == "table":
            row["due_here"] = _here(run.nominal_time, options)
            row["stands"] = stands(run, options)
            most = f" of {run.max_attempts}" if run.max_attempts > 1 else ""
            row["attempt"] = f"{run.attempts}{most}" if run.attempts else ""
        rows.append(row)
    return rows


def stands(run: Run, options: Options) -> str:
    """How a run stands, in a few words."""
    if run.state is RunState.HELD:
        return f"held by {_HOLDERS.get(run.held_by, 'a limit')}"
    if run.state is RunState.RETRYING:
        return f"retries at {_here(run.retry_time, options)}" if run.retry_time else "retries"
    if run.state is RunState.ENDED:
        return run.outcome.name.lower().replace("_", " ")
    return run.state.name.lower()


def failure_rows(groups: Iterable[FailureGroup], options: Options) -> list[dict[str, Any]]:
    """Groups of failures, as `run_rows` has runs."""
    rows = []
    for group in groups:
        row: dict[str, Any] = {
            "count": group.number,
            "type": group.type,
            "error": group.error,
            "last_time": _utc(group.last_time),
            "last_run_id": group.last_run_id,
            "last_job_id": group.last_job_id,
        }
        if options.output == "table":
            row["last_here"] = _here(group.last_time, options)
        rows.append(row)
    return rows


def upcoming_rows(found: Iterable[UpcomingRun], options: Options) -> list[dict[str, Any]]:
    """What will be due, as `run_rows` has runs."""
    rows = []
    for each in found:
        row: dict[str, Any] = {
            "id": each.job_id,
            "type": each.type,
            "time": _utc(each.time),
            "count": each.number,
            "words": each.words,
        }
        if options.output == "table":
            row["next_here"] = _here(each.time, options)
            row["runs"] = f"{each.number:,}{'+' if each.number >= MOST_COUNTED else ''}"
            row["words"] = each.words or "once"
        rows.append(row)
    return rows


def _utc(time: datetime | None) -> str | None:
    return None if time is None else utc_text(epoch_ms(time))


def _here(time: datetime | None, options: Options) -> str:
    return "" if time is None else local_text(epoch_ms(time), options.zone)
