"""Instants on the command line: read in the user's zone, shown in it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from scheduling_client.cli.errors import wrong
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.when import parse_when, rfc3339


def now_ms() -> int:
    """Epoch ms."""
    return time.time_ns() // 1_000_000


def read_instant(text: str | None, option: str, place: ZoneInfo) -> int | None:
    """The epoch ms of an option such as `2030-01-15T10:30:00Z` or `tomorrow at noon`."""
    if text is None:
        return None
    try:
        return now_ms() if text == "now" else parse_when(text, now_ms(), place)
    except ScheduleError as error:
        raise wrong(f"{option}: {error}") from None


def instant_in(instant: int | None) -> datetime | None:
    """Of epoch ms, in UTC; None stays None."""
    return None if instant is None else datetime.fromtimestamp(instant / 1000, UTC)


def utc_text(instant: int) -> str:
    """RFC 3339 in UTC; milliseconds only where there are any."""
    return rfc3339(instant).decode().replace(".000Z", "Z")
