"""Which refusals have a line of their own in the audit log: a flood of them must not fill it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

SECONDS = 1.0
LINES = 10
"""Lines within `SECONDS` about one caller of one host."""
MOST_LINES = 100
"""Lines within `SECONDS` about all callers, and sums of them."""


class Refused(NamedTuple):
    """Refusals that share a sum."""

    host: str
    caller: str
    outcome: str


OTHERS = Refused("others", "others", "others")
"""For the refusals of callers beyond `MOST_LINES`."""


class Refusals:
    """Counts refusals by host and caller, in bounded memory."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = float("-inf")
        self._lines: Counter[tuple[str, str]] = Counter()
        self._sums: Counter[Refused] = Counter()

    def ended(self) -> Mapping[Refused, int]:
        """The sums of the time that is over, if it is; then another one begins."""
        if self._monotonic() < self._until:
            return {}
        self._until = self._monotonic() + SECONDS
        self._lines.clear()
        return self.take()

    def take(self) -> Mapping[Refused, int]:
        """The sums so far, which begin again."""
        sums, self._sums = self._sums, Counter()
        return sums

    def has_line(self, refused: Refused) -> bool:
        """Whether this refusal has a line; one that has none is added to a sum."""
        source = refused.host, refused.caller
        if self._lines[source] < LINES and self._lines.total() < MOST_LINES:
            self._lines[source] += 1
            return True
        has_room = refused in self._sums or len(self._sums) < MOST_LINES
        self._sums[refused if has_room else OTHERS] += 1
        return False
