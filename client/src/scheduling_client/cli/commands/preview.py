"""Previews of schedules: no service is asked."""

from __future__ import annotations

from typing import Any

from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import Columns, say, show_item, show_list
from scheduling_client.cli.times import now_ms, read_instant, utc_text
from scheduling_client.schedules import preview as schedules
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.zone import zone

MOST_TIMES = 1000


def preview(
    schedule: str,
    /,
    *,
    timezone: str = "UTC",
    count: int = 10,
    after: str | None = None,
    start: str | None = None,
    end: str | None = None,
    max_runs: int = 0,
    common: Common | None = None,
) -> None:
    """Show the next times of a schedule, or why it is refused. It asks no service.

    Parameters
    ----------
    schedule
        A cron expression, an interval such as "2 minutes", or a date such as "tomorrow at noon".
    timezone
        IANA name of the time zone of the job.
    count
        How many times, at most 1000.
    after
        The instant before the first time; default: now.
    start
        The first run of an interval. Cron does not run before it.
    end
        There is no run after it.
    max_runs
        The most runs; 0: any number.
    """
    options = resolve(common)
    if not 1 <= count <= MOST_TIMES:
        raise wrong(f"--count is from 1 to {MOST_TIMES}.")
    try:
        place = zone(timezone)
        bounds = schedules.Bounds(
            read_instant(start, "--start", place), read_instant(end, "--end", place), max_runs
        )
        found = schedules.preview(
            schedule,
            now=now_ms(),
            timezone=timezone,
            count=count,
            after=read_instant(after, "--after", place),
            bounds=bounds,
        )
    except ScheduleError as error:
        raise wrong(str(error)) from None
    times = [time_item(each) for each in found.times]
    if options.output == "table":
        say(f"{found.words} ({found.timezone})")
        say()
    if options.output in ("table", "name"):
        here = [schedules.local_text(each.instant, options.zone) for each in found.times]
        rows = [{**each, "here": text} for each, text in zip(times, here, strict=True)]
        show_list(rows, _columns(options, found.timezone), options.output, name="utc")
        return
    content = {"words": found.words, "timezone": found.timezone, "times": times}
    show_item(content, options.output)


def _columns(options: Options, timezone: str) -> Columns:
    """The reader's zone has a column if no other has it."""
    columns = {"LOCAL": "local", "UTC": "utc"}
    if options.zone.key not in (timezone, "UTC"):
        columns[options.zone.key.upper()] = "here"
    return {**columns, "REMARK": "remark"}


def time_item(time: schedules.PreviewTime) -> dict[str, Any]:
    """A time as JSON."""
    return {
        "local": time.local,
        "utc": utc_text(time.instant),
        "clock_change": time.change.value,
        "remark": time.remark,
    }
