"""Instants in English that depend on now (docs/contract.md).

* ``in 90 seconds``, ``4 seconds from now``, ``5 seconds``, ``+5 minutes``, ``an hour later``,
  ``now``: elapsed time, across clock changes; a month is 30 days and a year 365, as in intervals.
* ``yesterday``, ``5 minutes ago``: instants that have passed, for an error that says so.
* ``tomorrow``, ``friday``, ``next friday`` without a time: that day, at the time of now.
* ``tomorrow at 5pm``, ``today at 17:30``, ``monday at 9am``, ``next friday at noon``: the ``at``
  may be left out, and ``on`` may stand before a weekday. Midnight begins the day that is named.
* ``tomorrow morning`` is 9:00, an afternoon 14:00, an evening 18:00; ``9 in the morning`` is 9am.
* ``next week``: in seven days, at the time of now; ``next week tuesday at 4:30pm``: a day of the
  week that begins next Monday.
* ``May 1st``, ``1st of May 4:00am``: the next such date, today if that time is still ahead.
* ``midnight``, ``noon``, ``5pm``, ``at 17:30``: the next such time.

A weekday is the next one to come, today if that time is still ahead; with ``next`` it is never
today. Days and times are those of the job's zone. A time that its clock skips means the first
instant after the gap. A time that it shows twice means the first of the two.
"""

import math
import re
from datetime import date
from zoneinfo import ZoneInfo

from scheduling_client.schedules.clocktime import spoken_time
from scheduling_client.schedules.interval import LONGEST_MS, in_words
from scheduling_client.schedules.localtime import DAY_SECONDS, instant_ms, offset_at
from scheduling_client.schedules.names import MONTHS, WEEKDAYS

_WEEK = 7
_DAYS_AHEAD = {"tomorrow": 1, "yesterday": -1}
_EPOCH_WEEKDAY = 3  # a Thursday, Monday being 0
_DAY_MS = DAY_SECONDS * 1000

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_YEARS_UNTIL_ANY_DATE = 8
"""Every date comes again within these years: 1896 and 1904 are leap years, 1900 is none."""

_AHEAD = re.compile(
    r"(?:in |\+ ?)(?P<after>.+)|(?P<before>.+) ago|(?P<amount>.+?)(?: from now| later)?"
)
_AT = r"(?: (?:at )?(?P<time>.+))?"
_NAMED_DAY = re.compile(
    rf"(?P<day>today|tomorrow|yesterday|(?:(?P<next>next )|on )?(?P<weekday>[a-z]+)){_AT}"
)
_NEXT_WEEK = re.compile(rf"next week(?: (?:on )?(?P<weekday>(?!at )[a-z]+))?{_AT}")
_NUMBER = r"(?P<number>[0-9]{1,2})(?:st|nd|rd|th)?"
_MONTH = r"(?P<month>[a-z]+)\.?"
_DATES = [
    re.compile(rf"{_MONTH} {_NUMBER}(?:,? (?:at )?(?P<time>.+))?"),
    re.compile(rf"{_NUMBER} (?:of )?{_MONTH}(?:,? (?:at )?(?P<time>.+))?"),
]
_HOUR_MS = 3_600_000
_PARTS_OF_DAY = {"morning": 9 * _HOUR_MS, "afternoon": 14 * _HOUR_MS, "evening": 18 * _HOUR_MS}


def parse_relative(plain: str, now_ms: int, zone: ZoneInfo) -> int | None:
    """Return the epoch ms UTC of a lower-case, single-spaced text, None if not understood."""
    if plain == "now":
        return now_ms
    if (match := _AHEAD.fullmatch(plain)) and (found := _ahead(match, now_ms)) is not None:
        return found
    now_local = now_ms + offset_at(now_ms // 1000, zone) * 1000
    today, now_time = divmod(now_local, _DAY_MS)
    time = spoken_time(plain.removeprefix("at "))
    if time is not None:
        return _next(today, time, 1, now_ms, zone)
    match = next(filter(None, (form.fullmatch(plain) for form in _DATES)), None)
    if match and match["month"] in MONTHS:
        return _on_date(match, today, now_ms, zone)
    if match := _NEXT_WEEK.fullmatch(plain) or _NAMED_DAY.fullmatch(plain):
        time = _time_of_a_day(match["time"], now_time)
        find = _in_next_week if match.re is _NEXT_WEEK else _on_day
        return None if time is None else find(match, today, time, now_ms, zone)
    return None


def _time_of_a_day(plain: str | None, otherwise: int) -> int | None:
    """Parse the text after a day: a time of day, a part of the day, or nothing."""
    if plain is None:
        return otherwise
    return _PARTS_OF_DAY[plain] if plain in _PARTS_OF_DAY else spoken_time(plain)


def _in_next_week(
    match: re.Match[str], today: int, time: int, _now_ms: int, zone: ZoneInfo
) -> int | None:
    day = today + _WEEK
    if match["weekday"]:
        weekday = WEEKDAYS.get(match["weekday"])
        if weekday is None:
            return None
        day += weekday - (today + _EPOCH_WEEKDAY) % _WEEK
    return instant_ms(day * _DAY_MS + time, zone)


def _on_date(match: re.Match[str], today: int, now_ms: int, zone: ZoneInfo) -> int | None:
    """The next such date. Raises ValueError if there is none."""
    month, time = MONTHS[match["month"]], _time_of_a_day(match["time"], 0)
    if time is None:
        return None
    this_year = date.fromordinal(today + _EPOCH_DAY).year
    for year in range(this_year, this_year + _YEARS_UNTIL_ANY_DATE + 1):
        try:
            day = date(year, month, int(match["number"])).toordinal() - _EPOCH_DAY
        except ValueError:
            continue  # 29 February
        if (found := instant_ms(day * _DAY_MS + time, zone)) > now_ms:
            return found
    raise ValueError("there is no such date")


def _on_day(match: re.Match[str], today: int, time: int, now_ms: int, zone: ZoneInfo) -> int | None:
    if match["day"] == "today":
        # Without a time it says nothing that "now" does not say better.
        return instant_ms(today * _DAY_MS + time, zone) if match["time"] else None
    if match["day"] in _DAYS_AHEAD:
        return instant_ms((today + _DAYS_AHEAD[match["day"]]) * _DAY_MS + time, zone)
    weekday = WEEKDAYS.get(match["weekday"])
    if weekday is None:
        return None
    ahead = (weekday - today - _EPOCH_WEEKDAY) % _WEEK
    if match["next"]:
        return instant_ms((today + (ahead or _WEEK)) * _DAY_MS + time, zone)
    return _next(today + ahead, time, _WEEK, now_ms, zone)


def _next(day: int, time: int, every: int, now_ms: int, zone: ZoneInfo) -> int:
    """Return `time` on `day`, or `every` days later if that is not after now."""
    found = instant_ms(day * _DAY_MS + time, zone)
    return found if found > now_ms else instant_ms((day + every) * _DAY_MS + time, zone)


def _ahead(match: re.Match[str], now_ms: int) -> int | None:
    milliseconds = in_words(match["after"] or match["before"] or match["amount"])
    if milliseconds is None or milliseconds > LONGEST_MS:
        return None
    return now_ms + math.ceil(-milliseconds if match["before"] else milliseconds)
