"""Instants in English that depend on now (docs/contract.md).

* ``in 90 seconds``, ``4 seconds from now``, ``now``: elapsed time, whatever the clocks do; a month
  is 30 days and a year 365, as in intervals.
* ``tomorrow``, ``friday``, ``next friday`` without a time: that day, at the time of now.
* ``tomorrow at 5pm``, ``today at 17:30``, ``monday at 9am``, ``next friday at noon``: the ``at``
  may be left out, and ``on`` may stand before a weekday. Midnight begins the day that is named.
* ``midnight``, ``noon``, ``5pm``, ``at 17:30``: the next such time.

A weekday is the next one to come, today if that time is still ahead; with ``next`` it is never
today. Days and times are those of the job's zone: a time that its clock skips means the first
instant after the gap, one that it shows twice the first of these.
"""

import math
import re
from zoneinfo import ZoneInfo

from scheduling_srv.domain.clocktime import time_of_day
from scheduling_srv.domain.interval import LONGEST_MS, in_words
from scheduling_srv.domain.localtime import DAY, instant_ms, offset_at
from scheduling_srv.domain.names import WEEKDAYS

_WEEK = 7
_EPOCH_WEEKDAY = 3  # a Thursday, Monday being 0
_DAY_MS = DAY * 1000

_AHEAD = re.compile(r"in (?P<after>.+)|(?P<from_now>.+) from now")
_NAMED_DAY = re.compile(
    r"(?P<day>today|tomorrow|(?:(?P<next>next )|on )?(?P<weekday>[a-z]+))(?: (?:at )?(?P<time>.+))?"
)


def parse_relative(plain: str, now_ms: int, zone: ZoneInfo) -> int | None:
    """Return the epoch ms UTC of a lower-case, single-spaced text, None if not understood."""
    if plain == "now":
        return now_ms
    if match := _AHEAD.fullmatch(plain):
        return _ahead(match["after"] or match["from_now"], now_ms)
    now_local = now_ms + offset_at(now_ms // 1000, zone) * 1000
    today, now_time = divmod(now_local, _DAY_MS)
    time = time_of_day(plain.removeprefix("at "))
    if time is not None:
        return _next(today, time, 1, now_ms, zone)
    match = _NAMED_DAY.fullmatch(plain)
    if not match:
        return None
    time = time_of_day(match["time"]) if match["time"] else now_time
    return None if time is None else _on_day(match, today, time, now_ms, zone)


def _on_day(match: re.Match[str], today: int, time: int, now_ms: int, zone: ZoneInfo) -> int | None:
    if match["day"] == "today":
        # Without a time it says nothing that "now" does not say better.
        return instant_ms(today * _DAY_MS + time, zone) if match["time"] else None
    if match["day"] == "tomorrow":
        return instant_ms((today + 1) * _DAY_MS + time, zone)
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


def _ahead(amount: str, now_ms: int) -> int | None:
    milliseconds = in_words(amount)
    if milliseconds is None or milliseconds > LONGEST_MS:
        return None
    return now_ms + math.ceil(milliseconds)
