"""The grammar of cron's fields (docs/contract.md): each becomes a set of numbers, kept as bits.

An element of a field is ``*``, ``a``, ``a-b``, ``*/n``, ``a-b/n`` or ``a/n`` (from a to the end);
a field is a list of elements. ``?`` stands for ``*`` in the two day fields. The day-of-month field
has ``L`` for the month's last day, the day-of-week field ``5L`` for the month's last Friday and
``5#2`` for its second.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from scheduling_srv.domain.cron_days import LAST, DayRule
from scheduling_srv.domain.errors import Unparsable
from scheduling_srv.domain.texts import shown

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

_ELEMENT = re.compile(r"(?P<first>\*|[0-9a-z]+)(?:-(?P<last>[0-9a-z]+))?(?:/(?P<step>[0-9]+))?")
_NTH = re.compile(r"(?P<weekday>[0-9a-z]+)#(?P<nth>[0-9]+)")
_LAST = re.compile(r"(?P<weekday>[0-6]|7|[a-z]{3})l")
_NTH_IN_MONTH = range(1, 6)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: what it is called, its numbers, the names for some of them, its longest step."""

    name: str
    low: int
    high: int
    longest_step: int
    names: dict[str, int] = field(default_factory=dict)


SECOND = Field("second", 0, 59, 60)
MINUTE = Field("minute", 0, 59, 60)
HOUR = Field("hour", 0, 23, 24)
DAY = Field("day-of-month", 1, 31, 31)
MONTH = Field("month", 1, 12, 12, {name: i for i, name in enumerate(_MONTHS, 1)})
WEEKDAY = Field("day-of-week", 0, 7, 7, {name: i for i, name in enumerate(_WEEKDAYS)})


def refusal(part: Field, text: str, why: str) -> Unparsable:
    """Return the error that says why `text` cannot be this field."""
    return Unparsable(
        f"The {part.name} field {shown(text)} of the cron expression is wrong: {why}."
    )


def is_star(text: str) -> bool:
    """Whether vixie cron takes a day field as unrestricted: when it starts with a star."""
    return text.startswith("*") or text == "?"


def parse_numbers(part: Field, text: str) -> int:
    """Return the numbers of a field as bits: bit n for number n. Errors: Unparsable."""
    bits = 0
    for element in text.split(","):
        bits |= _bits(_numbers(part, text, element))
    return bits


def parse_days(day: str, weekday: str) -> DayRule:
    """Return which days of a month match the two day fields. Errors: Unparsable."""
    days, last_day = 0, False
    for element in ("*" if day == "?" else day).split(","):
        if element == "l":
            last_day = True
        else:
            days |= _bits(_numbers(DAY, day, element))
    weekdays, nths = 0, []
    for element in ("*" if weekday == "?" else weekday).split(","):
        if nth := _nth(weekday, element):
            nths.append(nth)
        else:
            numbers = _bits(_numbers(WEEKDAY, weekday, element))
            weekdays |= (numbers | numbers >> 7) & 0x7F  # 7 is Sunday as well
    either = not is_star(day) and not is_star(weekday)
    return DayRule(days, last_day, weekdays, tuple(nths), either=either)


@lru_cache(maxsize=1024)
def _bits(numbers: range) -> int:
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


def _numbers(part: Field, text: str, element: str) -> range:
    match = _ELEMENT.fullmatch(element)
    if not match:
        raise refusal(part, text, f"{shown(element)} is no number, range, step or star")
    first, last, step = match["first"], match["last"], match["step"]
    if first == "*":
        if last is not None:
            raise refusal(part, text, f"a range cannot start with a star, as in {shown(element)}")
        start, end = part.low, part.high
    else:
        start = _number(part, text, first)
        end = _number(part, text, last) if last else part.high if step else start
    if end < start:
        raise refusal(part, text, f"the range {shown(element)} is reversed")
    return range(start, end + 1, _step(part, text, step) if step else 1)


def _step(part: Field, text: str, digits: str) -> int:
    step = int(digits)
    if not 1 <= step <= part.longest_step:
        raise refusal(part, text, f"a step is from 1 to {part.longest_step}, not {shown(digits)}")
    return step


def _number(part: Field, text: str, word: str) -> int:
    if word in part.names:
        return part.names[word]
    if not word.isdecimal():
        names = f" or a name such as {shown(next(iter(part.names)))}" if part.names else ""
        raise refusal(part, text, f"{shown(word)} is no number{names}")
    number = int(word)
    if not part.low <= number <= part.high:
        raise refusal(part, text, f"{shown(word)} is not from {part.low} to {part.high}")
    return number


def _nth(text: str, element: str) -> tuple[int, int] | None:
    """Return (weekday, n) for the n-th such weekday of a month, LAST for the last one."""
    if match := _LAST.fullmatch(element):
        return _number(WEEKDAY, text, match["weekday"]) % 7, LAST
    if match := _NTH.fullmatch(element):
        nth = int(match["nth"])
        if nth not in _NTH_IN_MONTH:
            raise refusal(WEEKDAY, text, f"only #1 to #5 exist, not {shown(element)}")
        return _number(WEEKDAY, text, match["weekday"]) % 7, nth
    return None
