"""The next times of a schedule, in its zone, with a remark where the clock changes.

Pure: the service and its clients run the same code. Instants are epoch ms. A schedule that is
refused raises `ScheduleError`, whose sentence says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scheduling_client.schedules.cron import Cron, looks_like_cron
from scheduling_client.schedules.cron_description import described
from scheduling_client.schedules.durations import spoken_duration
from scheduling_client.schedules.errors import ScheduleError, Unparsable
from scheduling_client.schedules.interval import parse_interval
from scheduling_client.schedules.localtime import Reading, offset_at, reading
from scheduling_client.schedules.recurrence import Every, Matches, Recurrence, occurrences
from scheduling_client.schedules.texts import shown
from scheduling_client.schedules.when import check_not_elapsed, is_relative, parse_when
from scheduling_client.schedules.zone import UTC, zone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClockChange(Enum):
    """How the clock of the zone changes at a time, or since the time before."""

    NONE = "none"
    SKIPPED = "skipped"
    """It was put forward: the local time is skipped, or an hour before it is."""
    REPEATED = "repeated"
    """It was put back: the local time is shown twice, or an hour before it is."""


class PreviewTime(NamedTuple):
    """One of the next times."""

    instant: int
    local: str
    """RFC 3339 with the offset of the zone; milliseconds only where there are any."""
    change: ClockChange = ClockChange.NONE
    remark: str = ""
    """A sentence about the change."""


class Preview(NamedTuple):
    """The next times of a schedule."""

    words: str
    """The schedule in words."""
    timezone: str
    times: Sequence[PreviewTime]
    """In order. Fewer than were asked for: there are no more."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What limits a recurring schedule. Instants are epoch ms; None: no limit."""

    start: int | None = None
    """The first run of an interval, and its phase; no run of cron is before it."""
    end: int | None = None
    """No run is after it."""
    max_runs: int = 0
    """How many runs there are at most; 0: any number."""


UNBOUNDED = Bounds()


class Recurring(NamedTuple):
    """A recurring schedule, read."""

    recurrence: Recurrence
    words: str
    zone: ZoneInfo


def read_recurring(text: str, timezone: str, now: int, bounds: Bounds = UNBOUNDED) -> Recurring:
    """Read a cron expression or an interval. An interval begins one period after `now`."""
    place = zone(timezone)
    if looks_like_cron(text):
        cron = Cron.parse(text)
        return Recurring(Matches(cron, place), described(cron), place)
    period = parse_interval(text)
    first = now + period if bounds.start is None else bounds.start
    return Recurring(Every(first, period), f"every {spoken_duration(period)}", place)


def preview(
    text: str,
    *,
    now: int,
    timezone: str = "",
    count: int = 10,
    after: int | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Preview:
    """The next `count` times of a cron expression, an interval, or a date.

    `after`: the instant before the first time; None: now. A text that may be an interval or a date,
    such as `5 minutes`, is an interval. `in 5 minutes` is a date.
    """
    try:
        found = read_recurring(text, timezone, now, bounds)
    except Unparsable as refusal:
        return _once(text, timezone, now, refusal)
    times = next_times(found, now if after is None else after, bounds)
    return Preview(found.words, found.zone.key, [*islice(times, count)])


def next_times(found: Recurring, after: int, bounds: Bounds = UNBOUNDED) -> Iterator[PreviewTime]:
    """The times of a recurring schedule after an instant. There may be no last one."""
    begin = max(after, _before_start(bounds))
    times = occurrences(found.recurrence, begin, bounds.end)
    limited = islice(times, bounds.max_runs or None)
    return with_remarks(found.recurrence, limited, begin, found.zone)


def preview_once(text: str, timezone: str, now: int) -> Preview:
    """The one time of a date. Raises `ScheduleError`, also for a time that has passed."""
    place = zone(timezone)
    due = parse_when(text, now, place)
    check_not_elapsed(due, now, place, text)
    remarked = _remarked(due, place, _shown_at(text, due, now, place))
    return Preview(f"once, {spoken_instant(due, place)}", place.key, [remarked])


def _before_start(bounds: Bounds) -> int:
    return bounds.start - 1 if bounds.start is not None else -(1 << 62)


def _once(text: str, timezone: str, now: int, refusal: Unparsable) -> Preview:
    """A date. `refusal` says why the text is no recurring schedule."""
    if looks_like_cron(text):
        raise refusal
    try:
        return preview_once(text, timezone, now)
    except Unparsable as other:
        raise Unparsable(
            f"{shown(text)} is no schedule. As a recurring one: {refusal} As a date: {other}"
        ) from None


def _shown_at(text: str, due: int, now: int, place: ZoneInfo) -> Reading | None:
    """When the clock shows the local time of a text without an offset; None: it has one."""
    if is_relative(text) or place is UTC:
        return None
    local = parse_when(text, now, UTC)
    return None if local == due else reading(local // 1000, place)


def with_remarks(
    recurrence: Recurrence, times: Iterator[int], after: int, place: ZoneInfo
) -> Iterator[PreviewTime]:
    """The times with remarks, where each is the next one after that before it, or after `after`."""
    for instant in times:
        shows = None
        if isinstance(recurrence, Matches):
            shows = recurrence.cron.next_reading(after, place)
        yield _remarked(instant, place, shows) if shows else _moved(instant, after, place)
        after = instant


def _remarked(instant: int, place: ZoneInfo, shows: Reading | None) -> PreviewTime:
    """A time that is fixed on the clock."""
    local = local_text(instant, place)
    if shows is None or not (shows.skipped or shows.repeated):
        return PreviewTime(instant, local)
    named = _clock(shows.local * 1000, UTC)
    if shows.skipped:
        remark = f"The clock skips {named} that day: it runs at {_clock(instant, place)}."
        return PreviewTime(instant, local, ClockChange.SKIPPED, remark)
    remark = f"The clock shows {named} twice that day: it runs at the first."
    return PreviewTime(instant, local, ClockChange.REPEATED, remark)


def _moved(instant: int, before: int, place: ZoneInfo) -> PreviewTime:
    """A time that follows elapsed time."""
    local = local_text(instant, place)
    change = offset_at(instant // 1000, place) - offset_at(max(before, 0) // 1000, place)
    if not change:
        return PreviewTime(instant, local)
    amount = spoken_duration(abs(change) * 1000)
    if change > 0:
        remark = f"Since the time before, the clock was put forward by {amount}."
        return PreviewTime(instant, local, ClockChange.SKIPPED, remark)
    remark = f"Since the time before, the clock was put back by {amount}."
    return PreviewTime(instant, local, ClockChange.REPEATED, remark)


# --- Texts --------------------------------------------------------------------------------------


def local_text(instant: int, place: ZoneInfo) -> str:
    """RFC 3339 in a zone; milliseconds only where there are any."""
    return _local(instant, place).isoformat(
        timespec="milliseconds" if instant % 1000 else "seconds"
    )


def spoken_instant(instant: int, place: ZoneInfo) -> str:
    """An instant in words: `Monday 5 April 2027 at 09:00:00 Europe/Berlin`."""
    local = _local(instant, place)
    return f"{local:%A} {local.day} {local:%B %Y} at {_clock(instant, place)} {place.key}"


def _clock(instant: int, place: ZoneInfo) -> str:
    local = _local(instant, place)
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def _local(instant: int, place: ZoneInfo) -> datetime:
    try:
        return (_EPOCH + timedelta(milliseconds=instant)).astimezone(place)
    except OverflowError:
        raise ScheduleError("The time is not in the years 1 to 9999.") from None
