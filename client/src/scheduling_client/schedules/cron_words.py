"""Recurring days in words, as cron expressions (docs/contract.md).

* ``daily``, ``hourly``, ``weekly``, ``monthly``, ``yearly``, ``annually``: the macros of that name.
* ``every day at 9am``, ``daily at 18:00``, ``every monday at 9``, ``mondays and fridays at noon``,
  ``every monday to friday at 9``, ``weekdays at 18:00``, ``weekends``.
* ``first day of the month``, ``15th of the month at 9am``, ``last friday of every month``,
  ``last weekday of the month``, ``every month on the 1st``.
* ``every 3 days at 9am``, ``every other day at 9am``. Cron has no such thing, as its steps begin
  anew each month. So the days are those whose number since 1970-01-01, day 0, is a multiple.

Without a time it is midnight, at which the day begins. A number after ``at`` is an hour of 24.
``every day`` and ``every 3 days`` alone are intervals of 24 and 72 hours.
"""

import re
from typing import NamedTuple

from scheduling_client.schedules.clocktime import spoken_time
from scheduling_client.schedules.interval import NUMBER_WORDS
from scheduling_client.schedules.names import WEEKDAYS

LONGEST_WORDS = 200
"""Characters."""
_LONGEST_PERIOD = 365
_LONGEST_MONTH = 31

_PERIODS = {
    "daily": "* * *",
    "weekly": "* * 0",
    "monthly": "1 * *",
    "yearly": "1 1 *",
    "annually": "1 1 *",
    "weekdays": "* * 1-5",
    "weekends": "* * 0,6",
}
_PERIODS |= {f"on {name}": _PERIODS[name] for name in ("weekdays", "weekends")}
_DAY_OF_TIME = "every day"
_EVERY_FEW = re.compile(r"every (?P<number>[0-9]{1,3}|[a-z -]+) days?")
_EVERY = re.compile(r"(?:every |each |weekly on |every week on )(?P<days>.+)")
_BETWEEN = re.compile(r", and |, | and ")
_SPAN = re.compile(r"(?P<first>[a-z]+) (?:to|through) (?P<last>[a-z]+)")
_OF_MONTH = [
    re.compile(
        r"(?:on )?(?:the |every )?(?P<nth>[a-z0-9]+)(?: (?P<what>[a-z]+))?"
        r" of (?:the|every|each) month"
    ),
    re.compile(r"(?:every month|monthly) on the (?P<nth>[a-z0-9]+)(?: (?P<what>[a-z]+))?"),
]
_ORDINAL = re.compile(r"(?P<number>[0-9]{1,2})(?:st|nd|rd|th)")
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
_HOUR = re.compile(r"[0-9]{1,2}")
_HOURS = 24


class Words(NamedTuple):
    """The meaning of words."""

    expression: str
    """Cron's."""
    every: int
    """Only days whose number is a multiple of it."""


def in_words(plain: str) -> Words | None:
    """Return the meaning of a lower-case, single-spaced text, None if it is not understood."""
    if plain == "hourly":
        return Words("0 * * * *", 1)
    days, at, clock = plain.partition(" at ")
    time = _time(clock) if at else "0 0"
    if time is None:
        return None
    days = days.removesuffix(",")
    if at and (every := _every_few(days)):
        return Words(f"{time} * * *", every)
    found = _PERIODS.get(days) or _weekdays(days) or _of_month(days)
    return Words(f"{time} {found}", 1) if found else None


def _time(plain: str) -> str | None:
    """The fields before the days."""
    if _HOUR.fullmatch(plain):
        return f"0 {int(plain)}" if int(plain) < _HOURS else None
    time = spoken_time(plain)
    if time is None or time % 1000:
        return None
    minutes, second = divmod(time // 1000, 60)
    hour, minute = divmod(minutes, 60)
    return f"{second} {minute} {hour}" if second else f"{minute} {hour}"


def _every_few(days: str) -> int | None:
    if days == _DAY_OF_TIME:
        return 1
    if days == "every other day":
        return 2
    match = _EVERY_FEW.fullmatch(days)
    if match is None or match["number"] in ("a", "an"):
        return None
    number = match["number"]
    count = int(number) if number.isdecimal() else int(NUMBER_WORDS.get(number, 0))
    return count if 1 <= count <= _LONGEST_PERIOD else None


def _weekdays(days: str) -> str | None:
    """The last fields, for days of the week."""
    if match := _EVERY.fullmatch(days):
        names = match["days"]
        if names in ("weekday", "weekend"):
            return _PERIODS[f"{names}s"]
    else:
        names = days.removeprefix("on ")
        if not names.endswith("s"):  # "monday" alone may mean one
            return None
    if match := _SPAN.fullmatch(names):
        first, last = _weekday(match["first"]), _weekday(match["last"])
        if first is None or last is None or first == last:
            return None
        numbers = {(first + ahead) % 7 for ahead in range((last - first) % 7 + 1)}
    else:
        found = [_weekday(name) for name in _BETWEEN.split(names)]
        numbers = {number for number in found if number is not None}
        if None in found:
            return None
    return f"* * {','.join(map(str, sorted(numbers)))}"


def _weekday(name: str) -> int | None:
    """The weekday's number in cron: Sunday is 0."""
    found = WEEKDAYS.get(name, WEEKDAYS.get(name.removesuffix("s")))
    return None if found is None else (found + 1) % 7


def _of_month(days: str) -> str | None:
    """The last fields, for days of the month."""
    match = next(filter(None, (form.fullmatch(days) for form in _OF_MONTH)), None)
    if match is None:
        return None
    what, nth = match["what"] or "day", _nth(match["nth"])
    if nth is None:
        return None
    if what == "day":
        return f"{nth or 'l'} * *"
    if what == "weekday":
        return {0: "lw * *", 1: "1w * *"}.get(nth)
    weekday = _weekday(what) if what in WEEKDAYS else None
    if weekday is None or nth > len(_ORDINALS):
        return None
    return f"* * {weekday}#{nth}" if nth else f"* * {weekday}l"


def _nth(text: str) -> int | None:
    """The number of an ordinal; 0 for the last."""
    if text == "last":
        return 0
    match = _ORDINAL.fullmatch(text)
    number = int(match["number"]) if match else _ORDINALS.get(text, 0)
    return number if 1 <= number <= _LONGEST_MONTH else None
