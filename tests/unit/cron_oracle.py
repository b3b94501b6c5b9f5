"""What cron expressions mean, by walking through time: slow, and shares no code with the product.

Written from docs/contract.md. It asks of each second (or minute) what the wall clock shows, whether
that matches, and whether the clock jumped; nothing is computed ahead.
"""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(" ")
WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split(" ")
LIMITS = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
DAY, MONTH, WEEKDAY = 3, 4, 5


def six(expression: str) -> list[str]:
    fields = expression.upper().split()
    return fields if len(fields) == 6 else ["0", *fields]


def value(index: int, word: str) -> int:
    if index == MONTH and word[:3] in MONTHS:
        return MONTHS.index(word[:3]) + 1
    if index == WEEKDAY and word[:3] in WEEKDAYS:
        return WEEKDAYS.index(word[:3])
    return int(word)


def element_matches(index: int, element: str, number: int) -> bool:
    low, high = LIMITS[index]
    body, _, step = element.partition("/")
    if body not in ("*", "?"):
        first, dash, last = body.partition("-")
        low = value(index, first)
        high = value(index, last) if dash else high if step else low
        if index == WEEKDAY and high == 0 and low > 0:  # until Sunday
            high = 7
    return low <= number <= high and (number - low) % int(step or 1) == 0


@lru_cache(2**16)
def number_matches(index: int, field: str, number: int) -> bool:
    return any(element_matches(index, element, number) for element in field.split(","))


def day_field_matches(field: str, day: date) -> bool:
    return any(day_matches(element, day) for element in field.split(","))


def day_matches(element: str, day: date) -> bool:
    length = monthrange(day.year, day.month)[1]
    body = element.removesuffix("W")
    if body.startswith("L"):
        asked = length - int(body[2:] or 0)
    elif body != element:
        asked = int(body)
    else:
        return element_matches(DAY, element, day.day)
    if not 1 <= asked <= length:
        return False
    if body != element:
        whole_month = [day.replace(day=number) for number in range(1, length + 1)]
        workdays = [each.day for each in whole_month if each.isoweekday() <= 5]
        asked = min(workdays, key=lambda number: abs(number - asked))
    return day.day == asked


def weekday_field_matches(field: str, day: date) -> bool:
    names = {0, 7} if day.isoweekday() == 7 else {day.isoweekday()}
    for element in field.split(","):
        if element.endswith("L"):
            is_last = (day + timedelta(days=7)).month != day.month
            if is_last and value(WEEKDAY, element[:-1]) in names:
                return True
        elif "#" in element:
            weekday, nth = element.split("#")
            if value(WEEKDAY, weekday) in names and (day.day - 1) // 7 + 1 == int(nth):
                return True
        elif any(element_matches(WEEKDAY, element, number) for number in names):
            return True
    return False


@lru_cache(2**16)
def date_matches(expression: str, day: date) -> bool:
    fields = six(expression)
    if not number_matches(MONTH, fields[MONTH], day.month):
        return False
    by_day = day_field_matches(fields[DAY], day)
    by_weekday = weekday_field_matches(fields[WEEKDAY], day)
    if fields[DAY][0] in "*?" or fields[WEEKDAY][0] in "*?":
        return by_day and by_weekday
    return by_day or by_weekday


def shows_match(expression: str, shown: datetime) -> bool:
    fields = six(expression)
    return (
        number_matches(0, fields[0], shown.second)
        and number_matches(1, fields[1], shown.minute)
        and number_matches(2, fields[2], shown.hour)
        and date_matches(expression, shown.date())
    )


def follows_elapsed_time(expression: str) -> bool:
    _, minute, hour, *_ = six(expression)
    return "*" in minute + hour or "/" in minute + hour


def walk(start: int, end: int, step: int, zone: ZoneInfo) -> Iterator[tuple[int, datetime]]:
    for instant in range(start, end, step):
        yield instant, datetime.fromtimestamp(instant, zone).replace(tzinfo=None, fold=0)


def runs(expression: str, start: int, end: int, zone: ZoneInfo) -> list[int]:
    """Return the instants (epoch seconds) from `start` (a whole minute) up to before `end`."""
    step = 60 if six(expression)[0] == "0" else 1
    if follows_elapsed_time(expression):
        shown = walk(start, end, step, zone)
        return [instant for instant, local in shown if shows_match(expression, local)]
    return list(_fixed_runs(expression, start, end, step, zone))


def _fixed_runs(expression: str, start: int, end: int, step: int, zone: ZoneInfo) -> Iterator[int]:
    tick = timedelta(seconds=step)
    latest = datetime.min  # noqa: DTZ901 - the latest local time that was shown so far
    for instant, local in walk(start - 3 * 3600, end, step, zone):
        due = False
        if latest > datetime.min:  # noqa: DTZ901
            while latest + tick < local:  # skipped by the clock
                latest += tick
                due = due or shows_match(expression, latest)
        if local > latest:
            latest = local
            due = due or shows_match(expression, local)
        if due and instant >= start:
            yield instant
