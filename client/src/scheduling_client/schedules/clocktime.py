"""Times of day as texts: ``10:30``, ``10:30:15.250``, ``9:00 am``, ``9 in the morning``, ``noon``.

All texts here are lower-case, single-spaced ASCII. Fractions finer than milliseconds are rounded
up, because no run may be early.
"""

import math
import re
from fractions import Fraction

_SECOND = r"(?P<second>[0-9]{2})(?:[.,](?P<part>[0-9]+))?"
CLOCK = (
    rf"(?P<hour>[0-9]{{1,2}})(?::(?P<minute>[0-9]{{2}})(?::{_SECOND})?)?"
    r"(?: ?(?P<half>am|pm|a\.m\.|p\.m\.))?"
)
"""Pattern of a time of day; `clock_ms` reads its groups."""
BASIC_CLOCK = rf"(?P<hour>[0-9]{{2}})(?P<minute>[0-9]{{2}})(?:{_SECOND})?(?P<half>)"
"""Pattern of a time without colons, as in ISO 8601's basic format."""

_NAMED = {"noon": 12 * 3_600_000, "midnight": 0}
_CLOCK = re.compile(CLOCK)
_HOURS, _HALF_DAY, _SIXTY = 24, 12, 60
_HOUR_MS = 3_600_000
_PARTS = {"morning": range(1, 12), "afternoon": range(12, 19), "evening": range(16, 24)}
"""Hours of a part of the day."""
_IN_THE = re.compile(r"(?P<clock>.+) in the (?P<part>morning|afternoon|evening)")


def clock_ms(match: re.Match[str]) -> int | None:
    """Return the ms since midnight that CLOCK's groups mean, None if there is no such time."""
    hour = _hour(int(match["hour"]), match["half"], has_minute=match["minute"] is not None)
    minute, second = int(match["minute"] or 0), int(match["second"] or 0)
    if hour is None or minute >= _SIXTY or second >= _SIXTY:
        return None
    return ((hour * 60 + minute) * 60 + second) * 1000 + _part_ms(match["part"] or "0")


def time_of_day(plain: str) -> int | None:
    """Return the ms since midnight of a time of day, None if it is not understood."""
    if plain in _NAMED:
        return _NAMED[plain]
    match = _CLOCK.fullmatch(plain)
    return clock_ms(match) if match else None


def spoken_time(plain: str) -> int | None:
    """Return the same, also of ``9 in the morning``."""
    if match := _IN_THE.fullmatch(plain):
        half = "am" if match["part"] == "morning" else "pm"
        time = time_of_day(f"{match['clock']} {half}")
        # The meaning of twelve in the morning, or in the evening, is not clear.
        return time if time is not None and time // _HOUR_MS in _PARTS[match["part"]] else None
    return time_of_day(plain)


def _hour(hour: int, half: str | None, *, has_minute: bool) -> int | None:
    if not half:
        return hour if has_minute and hour < _HOURS else None
    if not 1 <= hour <= _HALF_DAY:
        return None
    return hour % _HALF_DAY + (_HALF_DAY if half.startswith("p") else 0)


def _part_ms(digits: str) -> int:
    return math.ceil(Fraction(f"0.{digits}") * 1000)
