"""Durations in settings: `500ms`, `3s`, `1h 30m` (docs/settings.md). Kept in milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterator

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"([0-9]{1,15})(ms|[dhms])")
_WHOLE = re.compile(r"[0-9]+(?:ms|[dhms])(?: ?[0-9]+(?:ms|[dhms]))*")


def parse_duration(text: str) -> int:
    """The milliseconds of `text`: whole numbers with the units d, h, m, s and ms, largest first.

    Raises ValueError with a sentence's end.
    """
    parts = _PART.findall(text) if _WHOLE.fullmatch(text) else []
    units = [_UNITS[unit] for _, unit in parts]
    if not parts or units != sorted(set(units), reverse=True):
        raise ValueError("is not a duration such as '500ms', '3s' or '1h 30m'")
    return sum(int(number) * unit for (number, _), unit in zip(parts, units, strict=True))


def duration_text(milliseconds: int) -> str:
    """The shortest text that means so many milliseconds."""
    return " ".join(f"{number}{unit}" for number, unit in _parts(milliseconds)) or "0s"


_NAMES = {"d": "day", "h": "hour", "m": "minute", "s": "second", "ms": "millisecond"}


def spoken_duration(milliseconds: int) -> str:
    """So many milliseconds in words: `1 hour 30 minutes`."""
    parts = [
        f"{number} {_NAMES[unit]}{'' if number == 1 else 's'}"
        for number, unit in _parts(milliseconds)
    ]
    return " ".join(parts) or "0 seconds"


def _parts(milliseconds: int) -> Iterator[tuple[int, str]]:
    """Each unit that is needed and its number, the largest unit first."""
    for unit, size in _UNITS.items():
        number, milliseconds = divmod(milliseconds, size)
        if number:
            yield number, unit
