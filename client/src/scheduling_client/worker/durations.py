"""Durations as users of the worker give them."""

from __future__ import annotations

from datetime import timedelta

from scheduling_client.schedules.durations import parse_duration

Duration = str | float | timedelta
"""A text such as `5m`, seconds, or a timedelta."""


def seconds(given: Duration, name: str) -> float:
    """The seconds that a user has given as `name`. Raises ValueError with a sentence."""
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, str):
        try:
            return parse_duration(given) / 1000
        except ValueError as error:
            raise ValueError(f"{name}: {given!r} {error}.") from None
    if given < 0:
        raise ValueError(f"{name}: {given!r} is negative.")
    return float(given)
