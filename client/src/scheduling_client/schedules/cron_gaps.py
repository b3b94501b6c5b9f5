"""How close to each other the occurrences of a cron expression can be.

Counted on the clock of the job's zone. Occurrences that daylight saving moves together do not
count.
"""

from calendar import monthrange
from collections.abc import Iterator

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.cron_days import Calendar, highest, lowest
from scheduling_client.schedules.localtime import DAY_SECONDS

_SECOND_MS = 1000
_MINUTE = 60
_FIRST_YEAR = 2000
_YEARS = 29
"""Within these years every pair of neighbouring months occurs, with all lengths and weekdays."""
_LONGEST_IN_A_YEAR_DAYS = 365
_CYCLE_YEARS = 401
"""The calendar repeats itself after 400 years."""
_NONE = 401 * 366
"""Days: farther than any two matching days are from each other."""


def smallest_gap_ms(cron: Cron, limit_ms: int) -> int:
    """Return the shortest time between two occurrences, if it is below `limit_ms`.

    Else return any time that is not below it. No occurrences are closer than a second, and few
    expressions need a look at their days.
    """
    if limit_ms <= _SECOND_MS:
        return _SECOND_MS
    within = _within_a_day(cron)
    first = lowest(cron.minutes) * _MINUTE + lowest(cron.seconds)
    last = highest(cron.minutes) * _MINUTE + highest(cron.seconds)
    # From the last one of a day to the first one of the next day.
    across = DAY_SECONDS - (last - first)
    if across < within and across * _SECOND_MS < limit_ms:
        across += DAY_SECONDS * (_fewest_days(cron.calendar) - 1)
    return min(within, across) * _SECOND_MS


def _within_a_day(cron: Cron) -> int:
    """Seconds between two occurrences of a day; no limit if it has only one."""
    gaps = [DAY_SECONDS * _NONE]
    if (seconds := _closest(cron.seconds)) is not None:
        gaps.append(seconds)
    if (minutes := _closest(cron.minutes)) is not None:
        gaps.append(minutes * _MINUTE - (highest(cron.seconds) - lowest(cron.seconds)))
    return min(gaps)


def _closest(bits: int) -> int | None:
    """The smallest difference between two numbers of a set; None if there is only one."""
    for difference in range(1, bits.bit_length()):
        if bits & bits >> difference:
            return difference
    return None


def _fewest_days(calendar: Calendar) -> int:
    """The fewest days between two that match; 1 if they are neighbours."""
    if calendar.every > 1:
        return calendar.every
    fewest = _NONE
    for distance in _distances(calendar, _YEARS):
        fewest = min(fewest, distance)
        if fewest == 1:
            return fewest
    if fewest > _LONGEST_IN_A_YEAR_DAYS:  # such as every 29 February
        fewest = min(_distances(calendar, _CYCLE_YEARS), default=_NONE)
    return fewest


def _distances(calendar: Calendar, years: int) -> Iterator[int]:
    """Within each month, and from each month to the next one that has such a day."""
    start, before = 0, None
    for year in range(_FIRST_YEAR, _FIRST_YEAR + years):
        for month in range(1, 13):
            weekday, length = monthrange(year, month)
            if calendar.months >> month & 1:
                days = calendar.rule.matching(length, (weekday + 1) % 7)
                if days:
                    if before is not None:
                        yield start + lowest(days) - before
                    if (closest := _closest(days)) is not None:
                        yield closest
                    before = start + highest(days)
            start += length
