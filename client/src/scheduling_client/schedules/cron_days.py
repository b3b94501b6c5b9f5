"""Which days match a cron expression: months as bits, looked up by length and first weekday.

There are only 28 kinds of month: 28 to 31 days, starting on one of seven weekdays. Each of them
occurs. So 28 sets of bits tell whether a date ever comes, and a search goes by months, not by days.
Bit n is day n of the month. A set is computed when a search needs it. Most searches need one or
two, and all 28 cost more than the rest of a parse.
"""

from dataclasses import dataclass
from datetime import date

LAST = 0
"""In place of a number n: the last such weekday of the month."""

_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY = 4  # a Thursday, Sunday being 0
_WEEK = 7
_DECEMBER = 12
_FEBRUARY = 2
_SUNDAY, _SATURDAY = 0, 6
_LONGEST = 31
_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SIX_WEEKS = sum(1 << _WEEK * week for week in range(6))


@dataclass(frozen=True, slots=True)
class DayRule:
    """The two day fields of an expression, read."""

    days: int
    last_day: bool
    weekdays: int
    """Bit 0 is Sunday."""
    nths: tuple[tuple[int, int], ...]
    """(weekday, n): the n-th such weekday of a month, or the LAST."""
    either: bool
    """Both fields are restricted, and a day that matches one of them matches."""
    before_last: tuple[int, ...] = ()
    """How many days before the last one of the month: 3 for `L-3`."""
    nearest: tuple[int, ...] = ()
    """Days whose nearest weekday matches: 15 for `15W`; 0 and less count from the last one."""

    def matching(self, length: int, first_weekday: int) -> int:
        """Return the matching days of a month of `length` days that starts on `first_weekday`."""
        by_number = self.by_number(length, first_weekday)
        by_weekday = self._by_weekday(length, first_weekday)
        return by_number | by_weekday if self.either else by_number & by_weekday

    def by_number(self, length: int, first_weekday: int) -> int:
        """Return the days of the day-of-month field alone."""
        whole_month = (1 << length + 1) - 2
        bits = self.days & whole_month | (self.last_day << length)
        for before in self.before_last:
            if before < length:
                bits |= 1 << length - before
        for number in self.nearest:
            day = number if number > 0 else length + number
            if 1 <= day <= length:
                bits |= 1 << _nearest_weekday(day, length, first_weekday)
        return bits

    def _by_weekday(self, length: int, first_weekday: int) -> int:
        bits = ((self.weekdays * _SIX_WEEKS) >> first_weekday) << 1
        for weekday, nth in self.nths:
            first = 1 + (weekday - first_weekday) % _WEEK
            weeks = (length - first) // _WEEK if nth == LAST else nth - 1
            bits |= 1 << first + _WEEK * weeks
        return bits & (1 << length + 1) - 2


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days that match, numbered from 1970-01-01 = 0."""

    months: int
    """The months that may match; bit 1 is January."""
    rule: DayRule
    every: int = 1
    """Only days whose number is a multiple of it."""

    @property
    def comes(self) -> bool:
        """Whether any day ever matches."""
        kinds = ((length, day) for length in lengths(self.months) for day in range(_WEEK))
        return any(self.rule.matching(length, day) for length, day in kinds)

    def next(self, day: int) -> int:
        """Return the first matching day from `day` on; there is one, if `comes`."""
        year, month, number = _date(day)
        first = day - number + 1
        rest = self._month(year, month, first) >> number << number
        while not rest:
            first += _length(year, month)
            year, month = (year + 1, 1) if month == _DECEMBER else (year, month + 1)
            rest = self._month(year, month, first)
        return first + lowest(rest) - 1

    def previous(self, day: int, since: int) -> int | None:
        """Return the last matching day up to `day` and not before `since`."""
        year, month, number = _date(day)
        first = day - number + 1
        rest = self._month(year, month, first) & (1 << number + 1) - 1
        while not rest:
            if first <= since:
                return None
            year, month = (year - 1, _DECEMBER) if month == 1 else (year, month - 1)
            first -= _length(year, month)
            rest = self._month(year, month, first)
        found = first + highest(rest) - 1
        return found if found >= since else None

    def _month(self, year: int, month: int, first: int) -> int:
        if not self.months >> month & 1:
            return 0
        days = self.rule.matching(_length(year, month), (first + _EPOCH_WEEKDAY) % _WEEK)
        return days if self.every == 1 else days & _multiples(self.every, first)


def lengths(months: int) -> set[int]:
    """Return how long the months of a set of bits can be."""
    found = {_LENGTHS[month] for month in range(1, 13) if months >> month & 1}
    return found | {29} if months >> _FEBRUARY & 1 else found


def lowest(bits: int) -> int:
    """Return the smallest number of a set of bits that is not empty."""
    return (bits & -bits).bit_length() - 1


def highest(bits: int) -> int:
    """Return the greatest number of a set of bits that is not empty."""
    return bits.bit_length() - 1


def _nearest_weekday(day: int, length: int, first_weekday: int) -> int:
    """Return the day from Monday to Friday that is nearest to `day`, within its month."""
    weekday = (first_weekday + day - 1) % _WEEK
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


def _multiples(every: int, first: int) -> int:
    """Return the days of the month that begins on the day `first` whose number is a multiple."""
    return sum(1 << number for number in range(1 + -first % every, _LONGEST + 1, every))


def _date(day: int) -> tuple[int, int, int]:
    found = date.fromordinal(day + _EPOCH)
    return found.year, found.month, found.day


def _length(year: int, month: int) -> int:
    if month == _FEBRUARY and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _LENGTHS[month]
