"""The grammar of cron's fields (docs/contract.md): each becomes a set of numbers, kept as bits.

A field is a list of elements: ``*``, ``a``, ``a-b``, ``*/n``, ``a-b/n`` or ``a/n`` (from a to the
end). ``?`` stands for ``*`` in the two day fields.

The day-of-month field also has ``L`` for the month's last day, and ``L-3`` for the third day before
it. ``15W`` is the weekday (Monday to Friday) nearest to the 15th within the month, ``LW`` the last
weekday. The day-of-week field has ``5L`` for the month's last Friday and ``5#2`` for its second.

Ranges go up: cronie and robfig/cron refuse ``22-2``, Quartz goes round midnight. Sunday may end a
range, as it is 7, too.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from scheduling_client.schedules.cron_days import LAST, DayRule
from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.names import MONTHS, WEEKDAYS
from scheduling_client.schedules.texts import shown

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_DAYS_OF_WEEK = {name: number for number, name in enumerate(_WEEKDAYS)}
_DAYS_OF_WEEK |= {name: (number + 1) % 7 for name, number in WEEKDAYS.items()}

_ELEMENT = re.compile(r"(?P<first>\*|[0-9a-z]+)(?:-(?P<last>[0-9a-z]+))?(?:/(?P<step>[0-9]+))?")
_NTH = re.compile(r"(?P<weekday>[0-9a-z]+)#(?P<nth>[0-9]+)")
_LAST = re.compile(r"(?P<weekday>[0-7]|[a-z]{3,})l")
_NEAREST = re.compile(r"(?P<day>[0-9]{1,2})w")
_FROM_LAST = re.compile(r"l(?:-(?P<before>[0-9]{1,2}))?(?P<nearest>w)?")
_NTH_IN_MONTH = range(1, 6)
_MOST_BEFORE_LAST = 30


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, its numbers, the names of some numbers, its longest step."""

    name: str
    low: int
    high: int
    longest_step: int
    names: dict[str, int] = field(default_factory=dict)


SECOND = Field("second", 0, 59, 60)
MINUTE = Field("minute", 0, 59, 60)
HOUR = Field("hour", 0, 23, 24)
DAY = Field("day-of-month", 1, 31, 31)
MONTH = Field("month", 1, 12, 12, {name: MONTHS[name] for name in _MONTHS} | MONTHS)
WEEKDAY = Field("day-of-week", 0, 7, 7, _DAYS_OF_WEEK)


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
    days = 0
    from_last, nearest = list[int](), list[int]()
    for element in ("*" if day == "?" else day).split(","):
        if element.endswith("w") and (match := _NEAREST.fullmatch(element)):
            nearest.append(_number(DAY, day, match["day"]))
        elif element.startswith("l") and (match := _FROM_LAST.fullmatch(element)):
            before = _before_last(day, match["before"] or "0")
            if match["nearest"]:
                nearest.append(-before)
            else:
                from_last.append(before)
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
    before_last = tuple(filter(None, from_last))
    return DayRule(days, 0 in from_last, weekdays, tuple(nths), either, before_last, tuple(nearest))


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
    if element == "l" and part is WEEKDAY:
        raise refusal(part, text, "an L stands after a weekday here: '5L' is the last Friday")
    first, last, step = match["first"], match["last"], match["step"]
    if first == "*":
        if last is not None:
            raise refusal(part, text, f"a range cannot start with a star, as in {shown(element)}")
        start, end = part.low, part.high
    else:
        start = _number(part, text, first)
        end = _number(part, text, last) if last else part.high if step else start
    every = _step(part, text, step) if step else 1
    if end < start and part is WEEKDAY and end == 0:
        end = part.high
    if end < start:
        instead = shown(_upwards(part, match, range(start, end, every)))
        raise refusal(part, text, f"the range {shown(element)} is reversed: write {instead}")
    return range(start, end + 1, every)


def _upwards(part: Field, match: re.Match[str], numbers: range) -> str:
    """The elements that mean a reversed range, as Quartz takes it."""
    first, last = match["first"], match["last"]
    low, high = part.low, 6 if part is WEEKDAY else part.high
    if numbers.step > 1:
        size = high - low + 1
        round_it = range(numbers.start, numbers.stop + size + 1, numbers.step)
        return ",".join(str((number - low) % size + low) for number in round_it)
    if part.names and not first.isdecimal():
        names = _WEEKDAYS if part is WEEKDAY else _MONTHS
        return f"{first}-{names[-1]},{names[0]}-{last}"
    return f"{first}-{high},{low}-{last}"


def _before_last(text: str, digits: str) -> int:
    before = int(digits)
    if before > _MOST_BEFORE_LAST:
        raise refusal(DAY, text, f"L-1 to L-{_MOST_BEFORE_LAST} exist, not {shown(digits)}")
    return before


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
