"""Cron expressions in words: `0 9 * * 1-5` is "at 09:00, on Monday to Friday"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.cron_days import LAST, Calendar, DayRule

_WEEKDAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_MOST_TIMES = 6
"""So many times of day are listed; more are said by minutes and hours."""
_FEWEST = 3
"""So many numbers make a range."""
_HOURS, _SIXTY, _LONGEST_MONTH = 24, 60, 31
_HOUR_BITS = (1 << _SIXTY) - 1


def described(cron: Cron) -> str:
    """The meaning of an expression in words, whatever its spelling."""
    hours = [hour for hour in range(_HOURS) if cron.minutes >> 60 * hour & _HOUR_BITS]
    minutes, seconds = _numbers(cron.minutes >> 60 * hours[0] & _HOUR_BITS), _numbers(cron.seconds)
    days = [*_days(cron.calendar), *_months(cron.calendar.months)]
    if len(hours) < _HOURS and len(hours) * len(minutes) * len(seconds) <= _MOST_TIMES:
        times = [_clock(*time) for time in product(hours, minutes, seconds)]
        return (
            ", ".join([f"at {_listed(times)}", *days]) if days else f"at {_listed(times)} every day"
        )
    return ", ".join([*_parts_of_day(hours, minutes, seconds), *days])


# --- Times of a day -----------------------------------------------------------------------------


def _clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _parts_of_day(
    hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]
) -> list[str]:
    if minutes == [0] and seconds == [0]:
        return _whole_hours(hours)
    said = [] if seconds == [0] else [_within(seconds, "second", "minute")]
    if not said or len(minutes) < _SIXTY:
        said.append(_within(minutes, "minute", "hour"))
    if len(hours) < _HOURS:
        said.append(_hours(hours))
    return said


def _whole_hours(hours: Sequence[int]) -> list[str]:
    step = _step(hours, _HOURS)
    if step and _HOURS % step == 0:
        return ["every hour" if step == 1 else f"every {step} hours"]
    if _is_range(hours):
        return [f"every hour from {_clock(hours[0], 0, 0)} to {_clock(hours[-1], 0, 0)}"]
    return [f"at {_listed([_clock(hour, 0, 0) for hour in hours])}"]


def _within(numbers: Sequence[int], unit: str, whole: str) -> str:
    step = _step(numbers, _SIXTY)
    if step and _SIXTY % step == 0:
        return f"every {unit}" if step == 1 else f"every {step} {unit}s"
    if step:
        return f"every {_nth(step)} {unit} from the start of every {whole}"
    if _is_range(numbers):
        return f"every {unit} from {numbers[0]} to {numbers[-1]} of every {whole}"
    units = f"{unit}s" if len(numbers) > 1 else unit
    return f"at {units} {_listed([str(number) for number in numbers])} of every {whole}"


def _hours(hours: Sequence[int]) -> str:
    if len(hours) == 1 or _is_range(hours):
        return f"from {hours[0]:02}:00 to {hours[-1]:02}:59"
    step = _step(hours, _HOURS)
    if step:
        return f"in every {_nth(step)} hour of the day"
    return f"in the hours {_listed([str(hour) for hour in hours])}"


# --- Days ---------------------------------------------------------------------------------------


def _days(calendar: Calendar) -> list[str]:
    if calendar.every > 1:
        return [f"every {_nth(calendar.every)} day"]
    rule = calendar.rule
    by_number, by_weekday = _days_of_month(rule), _days_of_week(rule)
    if rule.either:
        return [f"on {by_number} or on {by_weekday}"]
    if by_number and by_weekday:
        return [f"on {by_number}, if it is a {by_weekday.replace(' and ', ' or ')}"]
    return [f"on {by_number or by_weekday}"] if by_number or by_weekday else []


def _days_of_month(rule: DayRule) -> str:
    """Empty: every day."""
    days = _numbers(rule.days)
    if len(days) == _LONGEST_MONTH and not rule.either:
        return ""
    said = []
    if step := _step([day - 1 for day in days], _LONGEST_MONTH):
        said.append("every day" if step == 1 else f"every {_nth(step)} day from the 1st")
    elif days:
        said.append(_of_month(days))
    if rule.last_day:
        said.append("the last day of the month")
    said += [f"the {_nth(before)} day before the last of the month" for before in rule.before_last]
    said += [_nearest(day) for day in rule.nearest]
    return _listed(said)


def _of_month(days: Sequence[int]) -> str:
    if _is_range(days):
        return f"the {_nth(days[0])} to {_nth(days[-1])} of the month"
    return f"the {_listed([_nth(day) for day in days])} of the month"


def _nearest(day: int) -> str:
    if day > 0:
        return f"the weekday nearest to the {_nth(day)} of the month"
    if day == 0:
        return "the last weekday of the month"
    return f"the weekday nearest to the {_nth(-day)} day before the last of the month"


def _days_of_week(rule: DayRule) -> str:
    """Empty: every day."""
    days = _numbers(rule.weekdays)
    if len(days) == len(_WEEKDAYS) and not rule.either:
        return ""
    said = [_weekdays(days)] if days else []
    said += [
        f"the {_ORDINALS[nth]} {_WEEKDAYS[weekday]} of the month" for weekday, nth in rule.nths
    ]
    return _listed(said)


def _weekdays(days: Sequence[int]) -> str:
    """Weeks begin on Monday here: Saturday and Sunday stand beside each other."""
    if len(days) == len(_WEEKDAYS):
        return "any day of the week"
    monday_first = sorted(days, key=lambda day: (day - 1) % 7)
    places = [(day - 1) % 7 for day in monday_first]
    names = [_WEEKDAYS[day] for day in monday_first]
    return f"{names[0]} to {names[-1]}" if _is_range(places) else _listed(names)


def _months(months: int) -> list[str]:
    numbers = _numbers(months)
    if len(numbers) == len(_MONTHS):
        return []
    names = [_MONTHS[number - 1] for number in numbers]
    return [f"in {names[0]} to {names[-1]}" if _is_range(numbers) else f"in {_listed(names)}"]


# --- Numbers ------------------------------------------------------------------------------------


def _numbers(bits: int) -> list[int]:
    return [number for number in range(bits.bit_length()) if bits >> number & 1]


def _is_range(numbers: Sequence[int]) -> bool:
    return len(numbers) >= _FEWEST and [*numbers] == [*range(numbers[0], numbers[-1] + 1)]


def _step(numbers: Sequence[int], size: int) -> int:
    """The step of numbers that go from 0 to the end of their field; 0: they do not."""
    step = next((number for number in numbers if number), 0)
    if not step:
        return 0
    if [*numbers] != [*range(0, size, step)] or (size % step and len(numbers) < _FEWEST):
        return 0
    return step


def _nth(number: int) -> str:
    teen = number // 10 % 10 == 1
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _listed(words: Sequence[str]) -> str:
    *first, last = words or [""]
    return f"{', '.join(first)} and {last}" if first else last
