"""How many occurrences a cron expression has between two instants, however far these are apart.

A stretch of time between two changes of the clock counts by whole days. Instants and local times
are as in `localtime`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.localtime import (
    DAY_SECONDS,
    furthest_shown,
    last_change,
    offset_at,
)


class _Stretch(NamedTuple):
    """Time without a change of the clock."""

    last: int
    """Its last instant."""
    offset: int


@lru_cache(maxsize=256)
def count_between(cron: Cron, after_ms: int, last_ms: int, zone: ZoneInfo) -> int:
    """How many there are after `after_ms` and not after `last_ms`, both epoch ms.

    Errors: ValueError or OverflowError outside the years 1 to 9999.
    """
    after, last = after_ms // 1000, last_ms // 1000
    if last <= after:
        return 0
    return sum(_counts(cron, after, last, zone))


def _counts(cron: Cron, after: int, last: int, zone: ZoneInfo) -> Iterator[int]:
    """Of each stretch. Any expression but an elapsed one goes on after what the clock has shown."""
    shown = after + offset_at(after, zone) if cron.elapsed else furthest_shown(after, zone)
    first = after + 1
    for stretch in _stretches(first, last, zone):
        begin = first + stretch.offset - 1
        if cron.elapsed:
            shown = begin
        elif shown < begin:  # all times that the clock skips are due at its first instant after it
            yield min(1, _count_local(cron, shown, begin + 1))
            shown = begin + 1
        end = stretch.last + stretch.offset
        yield _count_local(cron, shown, end)
        shown, first = max(shown, end), stretch.last + 1


def _stretches(first: int, last: int, zone: ZoneInfo) -> Iterator[_Stretch]:
    """From one instant to another, in order."""
    offset, at = offset_at(first, zone), first
    while at < last:
        ahead = min(at + DAY_SECONDS, last)
        following = offset_at(ahead, zone)
        if following != offset:
            change = last_change(at, ahead, zone)
            yield _Stretch(change - 1, offset)
            offset = following
        at = ahead
    yield _Stretch(last, offset)


def _count_local(cron: Cron, after: int, last: int) -> int:
    """Of matching local times after one and not after another."""
    if last <= after:
        return 0
    first_day, begin = divmod(after + 1, DAY_SECONDS)
    last_day, end = divmod(last, DAY_SECONDS)
    if first_day == last_day:
        return _in_day(cron, first_day, begin, end)
    whole = cron.minutes.bit_count() * cron.seconds.bit_count()
    days = _days_between(cron, first_day + 1, last_day - 1)
    return (
        _in_day(cron, first_day, begin, DAY_SECONDS - 1)
        + days * whole
        + _in_day(cron, last_day, 0, end)
    )


def _days_between(cron: Cron, day: int, last: int) -> int:
    count = 0
    while day <= last and (day := cron.calendar.next(day)) <= last:
        count, day = count + 1, day + 1
    return count


def _in_day(cron: Cron, day: int, begin: int, end: int) -> int:
    """From one second of a day to another, both included."""
    if cron.calendar.next(day) != day:
        return 0
    return _up_to(cron, end) - _up_to(cron, begin - 1)


def _up_to(cron: Cron, second_of_day: int) -> int:
    """From midnight on, this second included."""
    minute, second = divmod(second_of_day, 60)
    if minute < 0:
        return 0
    count = (cron.minutes & (1 << minute) - 1).bit_count() * cron.seconds.bit_count()
    if cron.minutes >> minute & 1:
        count += (cron.seconds & (1 << second + 1) - 1).bit_count()
    return count
