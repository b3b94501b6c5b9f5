"""Local times of a zone and their instants: the arithmetic that cron and `when` use.

An *instant* is in whole seconds since 1970 UTC. A *local time* is the reading of the wall clock,
counted as if the clock were UTC, so that days and minutes are divisions. Where a zone's clock
jumps, some local times are skipped and some are shown twice. A zone only tells its offset at an
instant. A binary search finds the changes; it needs at least a day between two of them.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY_SECONDS = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a local time has no zone
_SECOND = timedelta(seconds=1)


class Reading(NamedTuple):
    """The instants at which a clock shows one local time."""

    first: int
    """The first instant that shows it; if it is skipped, the first instant after the gap."""
    last: int
    """The last instant that shows it: another one than `first` only where the clock is put back."""
    skipped: bool
    local: int
    """That local time."""

    @property
    def repeated(self) -> bool:
        """Whether the clock shows it twice."""
        return self.last > self.first


def offset_at(instant: int, zone: ZoneInfo) -> int:
    """Return the seconds by which the clock of `zone` is ahead of UTC at `instant`.

    Errors: ValueError or OverflowError outside the years 1 to 9999.
    """
    return _seconds(datetime.fromtimestamp(instant, zone).utcoffset())


def last_change(low: int, high: int, zone: ZoneInfo) -> int:
    """Return the first instant of the offset that holds at `high`; another one holds at `low`."""
    offset = offset_at(high, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(middle, zone) == offset:
            high = middle
        else:
            low = middle
    return high


def reading(local: int, zone: ZoneInfo) -> Reading:
    """Return when the clock of `zone` shows `local`.

    Errors: OverflowError outside the years 1 to 9999.
    """
    moment = (_EPOCH + timedelta(seconds=local)).replace(tzinfo=zone)
    before, after = _seconds(moment.utcoffset()), _seconds(moment.replace(fold=1).utcoffset())
    if before >= after:
        return Reading(local - before, local - after, skipped=False, local=local)
    end = last_change(local - after, local - before, zone)
    return Reading(end, end, skipped=True, local=local)


def instant_ms(local_ms: int, zone: ZoneInfo) -> int:
    """Return the epoch ms of a local time in ms: the first of two, or the first after a gap.

    Errors: OverflowError outside the years 1 to 9999.
    """
    local, rest = divmod(local_ms, 1000)
    shows = reading(local, zone)
    return shows.first * 1000 + (0 if shows.skipped else rest)


def furthest_shown(instant: int, zone: ZoneInfo) -> int:
    """Return the latest local time that the clock has shown up to `instant`.

    It is the reading of the clock, except in the hour after the clock was put back.
    """
    moment = datetime.fromtimestamp(instant, zone)
    offset = _seconds(moment.utcoffset())
    if not moment.fold:
        return instant + offset
    before = _seconds(moment.replace(fold=0).utcoffset())
    put_back = last_change(instant - (before - offset), instant, zone)
    return put_back - 1 + before


def _seconds(offset: timedelta | None) -> int:
    return 0 if offset is None else offset // _SECOND
