"""Intervals in words and ISO 8601 durations (docs/contract.md).

A month is 30 days and a year 365. Words are amounts and units: ``1.5 hours``, ``1h30m``,
``half an hour``, ``twenty-five minutes``. Spaces, a comma, ``and`` or both separate them, and
``every`` may go first. A unit without an amount is one (``hour``, ``every hour``). Each unit is
given once, in any order. ``@every 5m`` is robfig/cron's way to write an interval.
"""

import re
from fractions import Fraction
from functools import lru_cache

from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.texts import lowered, shown, single_spaced

LONGEST_TEXT = 200
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
WEEK_MS, MONTH_MS, YEAR_MS = 7 * DAY_MS, 30 * DAY_MS, 365 * DAY_MS
LONGEST_MS = 100 * YEAR_MS

ACCEPTED = (
    "an interval is a cron expression such as '*/5 * * * *', words such as '2 minutes',"
    " '1.5 hours', 'every monday at 9' or 'first day of the month at 18:00', or an ISO 8601"
    " duration such as 'PT2M'"
)

_UNITS = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND_MS),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), MINUTE_MS),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR_MS),
    **dict.fromkeys(("d", "day", "days"), DAY_MS),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), WEEK_MS),
    **dict.fromkeys(("month", "months"), MONTH_MS),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), YEAR_MS),
}
_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"]
_TEENS += ["eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBER_WORDS = {word: Fraction(number) for number, word in enumerate(_ONES + _TEENS, 1)}
NUMBER_WORDS |= {word: Fraction(number * 10) for number, word in enumerate(_TENS, 2)}
NUMBER_WORDS |= {
    f"{tens}{between}{one}": NUMBER_WORDS[tens] + NUMBER_WORDS[one]
    for tens in _TENS
    for one in _ONES
    for between in "- "
}
NUMBER_WORDS |= {"a": Fraction(1), "an": Fraction(1), "half a": Fraction(1, 2)}
NUMBER_WORDS |= {"half an": NUMBER_WORDS["half a"]}
"""Their meanings."""

_WORDS = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_DIGITS = r"(?P<digits>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:e[0-9]{1,2})?)"
_PART = re.compile(rf"(?:{_DIGITS} ?|(?P<words>{_WORDS}) )(?P<unit>[a-z]+)")
_BETWEEN = re.compile(r" ?, ?and | and | ?, ?| ?")
_UNIT = re.compile(r"(?:every )?(?P<unit>millisecond|second|minute|hour|day|week|month|year)")

_CRON_FIELD = re.compile(r"l(?:w|-[0-9]{1,2}w?)?|(?P<weekday>[0-7]l|[0-7]#[1-5])")
"""One field that is no interval: `15w` is 15 weeks."""

_DECIMAL = r"[0-9]+(?:[.,][0-9]+)?"
_ISO = re.compile(
    rf"p(?=.)(?:({_DECIMAL})y)?(?:({_DECIMAL})m)?(?:({_DECIMAL})w)?(?:({_DECIMAL})d)?"
    rf"(?:t(?=.)(?:({_DECIMAL})h)?(?:({_DECIMAL})m)?(?:({_DECIMAL})s)?)?"
)
_ISO_UNITS = (YEAR_MS, MONTH_MS, WEEK_MS, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS)


@lru_cache(maxsize=4096)
def parse_interval(text: str) -> int:
    """Return the milliseconds of an interval in words or of an ISO 8601 duration.

    The whole text must be understood. It must mean a whole number of milliseconds above zero, and
    at most 100 years. Errors: Unparsable, whose sentence names the accepted texts.
    """
    plain = lowered(single_spaced(text, LONGEST_TEXT, "Interval"))
    total = None if plain is None else duration(plain)
    if total is None:
        raise Unparsable(
            f"Interval {shown(text)} is not understood: {_cron_field(plain)}{ACCEPTED}."
        )
    if total <= 0:
        raise Unparsable(f"Interval {shown(text)} is not longer than zero: {ACCEPTED}.")
    if total.denominator != 1:
        raise Unparsable(f"Interval {shown(text)} is not a whole number of milliseconds.")
    if total > LONGEST_MS:
        raise Unparsable(f"Interval {shown(text)} is longer than 100 years.")
    return int(total)


def _cron_field(plain: str | None) -> str:
    """The start of the reason for a text that is one field of a cron expression."""
    found = _CRON_FIELD.fullmatch(plain or "")
    if not found:
        return ""
    field = found[0].upper()
    name, cron = "day-of-month", f"0 0 {field} * *"
    if found["weekday"]:
        name, cron = "day-of-week", f"0 0 * * {field}"
    return f"it is only the {name} field of a cron expression such as '{cron}'; "


def duration(plain: str) -> Fraction | None:
    """Return the exact milliseconds of a lower-case, single-spaced text, None if not understood."""
    if match := _ISO.fullmatch(plain):
        return _iso(match)
    if match := _UNIT.fullmatch(plain):
        return Fraction(_UNITS[match["unit"]])
    prefix = "@every " if plain.startswith("@") else "every "
    return in_words(plain.removeprefix(prefix))


def in_words(plain: str) -> Fraction | None:
    """Return the exact milliseconds of amounts and units, None if not understood.

    `plain` is in lower case and single-spaced; zero and more than 100 years are possible.
    """
    total, seen, position = Fraction(0), set[int](), 0
    while match := _PART.match(plain, position):
        amount = Fraction(match["digits"]) if match["digits"] else NUMBER_WORDS[match["words"]]
        unit = _UNITS.get(match["unit"])
        if unit is None or unit in seen:
            return None
        seen.add(unit)
        total += amount * unit
        position = match.end()
        if position == len(plain):
            return total
        if between := _BETWEEN.match(plain, position):
            position = between.end()
    return None


def _iso(match: re.Match[str]) -> Fraction | None:
    """ISO 8601 allows decimals in the last part only."""
    parts = [
        (amount.replace(",", "."), unit)
        for amount, unit in zip(match.groups(), _ISO_UNITS, strict=True)
        if amount
    ]
    if any("." in amount for amount, _ in parts[:-1]):
        return None
    return sum((Fraction(amount) * unit for amount, unit in parts), Fraction(0))
