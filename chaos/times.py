"""When recurring jobs are due: by walking through time, second by second.

Written from docs/contract.md; slow and simple on purpose. It reads the cron expressions that
campaigns use: five or six fields of `*`, numbers, ranges, steps and lists.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
FARTHEST = 3 * 86_400
"""Seconds that are walked; campaigns use nothing rarer."""


def next_cron(expression: str, timezone: str, after: int) -> int:
    """The first instant after `after` (epoch ms) at which the expression matches."""
    place = ZoneInfo(timezone or "UTC")
    second = after // 1000 + 1
    for instant in range(second, second + FARTHEST):
        shown = datetime.fromtimestamp(instant, UTC).astimezone(place)
        if _matches(expression, shown):
            return instant * 1000
    msg = f"{expression} does not match within {FARTHEST} s"
    raise ValueError(msg)


@lru_cache(maxsize=1000)
def _fields(expression: str) -> tuple[frozenset[int], ...]:
    words = expression.split()
    if len(words) == len(RANGES) - 1:
        words = ["0", *words]
    return tuple(_numbers(word, *span) for word, span in zip(words, RANGES, strict=True))


def _numbers(field: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        first, last = low, high
        if body != "*":
            start, dash, end = body.partition("-")
            first = int(start)
            last = int(end) if dash else high if step else first
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def _matches(expression: str, shown: datetime) -> bool:
    second, minute, hour, day, month, weekday = _fields(expression)
    if shown.second not in second or shown.minute not in minute or shown.hour not in hour:
        return False
    if shown.month not in month:
        return False
    by_day = shown.day in day
    by_weekday = bool({shown.isoweekday(), shown.isoweekday() % 7} & weekday)
    words = expression.split()[-3:]
    if words[0].startswith("*") or words[2].startswith("*"):
        return by_day and by_weekday
    return by_day or by_weekday
