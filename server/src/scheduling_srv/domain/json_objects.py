"""JSON objects in which no name stands twice: Python keeps the last value without a word."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_client.schedules.texts import shown


class RepeatedName(ValueError):
    """A name stands twice in an object. ``str(error)`` ends a sentence begun by the text's name."""


def without_repeats(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """An `object_pairs_hook`. Raises `RepeatedName`."""
    found = dict[str, object]()
    for name, value in pairs:
        if name in found:
            raise RepeatedName(f"has {shown(name)} twice: keep one of them")
        found[name] = value
    return found
