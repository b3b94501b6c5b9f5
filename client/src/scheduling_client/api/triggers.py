"""When a job runs: `every`, `cron`, `at` and `now`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from scheduling_client.schedules.interval import parse_interval


class Trigger(Enum):
    """The kinds of schedule, by their names in scheduling.v1."""

    NOW = "now"
    AT = "at"
    WHEN = "when"
    EVERY = "every"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job runs. Make one with `every`, `cron`, `at` or `now`."""

    trigger: Trigger
    text: str = ""
    """Of WHEN and INTERVAL."""
    instant: datetime | None = None
    """Of AT."""
    period: timedelta | None = None
    """Of EVERY."""
    timezone: str = ""
    """IANA name; empty: that of the job."""

    @property
    def recurring(self) -> bool:
        """Whether the job runs again and again."""
        return self.trigger in (Trigger.EVERY, Trigger.INTERVAL)


def every(period: str | timedelta) -> Schedule:
    """Run every so often: `every("2 minutes")`.

    Raises `ScheduleError` for a text that is not understood.
    """
    if isinstance(period, str):
        period = timedelta(milliseconds=parse_interval(period))
    return Schedule(Trigger.EVERY, period=period)


def cron(expression: str, *, timezone: str = "") -> Schedule:
    """Run at each match of a cron expression: `cron("0 5 * * *", timezone="Europe/Berlin")`."""
    return Schedule(Trigger.INTERVAL, expression, timezone=timezone)


def at(instant: str | datetime, *, timezone: str = "") -> Schedule:
    """Run once, at an instant or a date such as `tomorrow at noon`.

    Raises `ValueError` for a datetime without a time zone.
    """
    if isinstance(instant, str):
        return Schedule(Trigger.WHEN, instant, timezone=timezone)
    if instant.utcoffset() is None:
        raise ValueError(f"{instant!r} has no time zone: give it one, such as datetime.UTC")
    return Schedule(Trigger.AT, instant=instant, timezone=timezone)


def now() -> Schedule:
    """Run once, at once."""
    return Schedule(Trigger.NOW)
