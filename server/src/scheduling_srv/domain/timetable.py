"""The instants at which a job is due, as its definition names them. Instants are epoch ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

from scheduling_client.schedules.preview import Recurring, with_remarks
from scheduling_client.schedules.recurrence import Every, Matches, Recurrence

_SECOND = 1000
LATEST = 250_000_000_000_000
"""In the year 9892. Cron has no occurrence after it, and so nothing has one here."""
COUNTED_MS = 5 * 366 * 86_400_000
"""Occurrences of cron are counted so far ahead: 10 ms a year."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The nominal times of a job."""

    words: str
    """The schedule in words."""
    zone: ZoneInfo
    first: int
    """No occurrence is before it; of a one-time job it is the occurrence."""
    recurrence: Recurrence | None = None
    """None: the job runs once."""
    end: int | None = None
    """No occurrence is after it; None: there is no such bound."""

    @classmethod
    def of(cls, found: Recurring, first: int, end: int | None) -> Self:
        """Of a recurring job. No occurrence is before `first`, whatever the phase of `found`."""
        recurrence = found.recurrence
        if isinstance(recurrence, Every):
            first += (recurrence.first - first) % recurrence.period
            recurrence = Every(first, recurrence.period)
        return cls(found.words, found.zone, first, recurrence, end)

    def meant_by(self, instant: int) -> int | None:
        """The occurrence at an instant; at a whole second also one within this second."""
        last = instant if instant % _SECOND else instant + _SECOND - 1
        found = self.after(instant - 1)
        return found if found is not None and found <= last else None

    def after(self, instant: int) -> int | None:
        """The first occurrence after an instant."""
        if self.recurrence is None:
            return self.first if self.first > instant else None
        found = self.recurrence.next_after(max(instant, self.first - 1))
        return None if found is None or self._is_over(found) else found

    def before(self, instant: int) -> int | None:
        """The last occurrence before an instant."""
        if self.end is not None:
            instant = min(instant, self.end + 1)
        if self.recurrence is not None:
            instant = min(instant, LATEST)
        head = self.after(self.first - 1)
        if head is None or head >= instant:
            return None
        return head if self.recurrence is None else self.recurrence.latest_before(instant, head)

    def has_more(self, most: int, after: int, last: int) -> bool:
        """Whether more than `most` are after an instant and not after another.

        Far ahead no occurrence of cron counts: the caller must not wait for seconds.
        """
        if isinstance(self.recurrence, Matches):
            last = min(last, max(after, self.first - 1) + COUNTED_MS)
        return self.count(after, last) > most

    def count(self, after: int, last: int) -> int:
        """How many occurrences are after an instant and not after another."""
        if self.recurrence is None:
            return int(after < self.first <= last)
        return self.recurrence.count(max(after, self.first - 1), last)

    def remark(self, occurrence: int) -> str:
        """A sentence about the change of the clock that moves an occurrence; empty: none does."""
        if self.recurrence is None:
            return ""
        before = self.before(occurrence)
        after = occurrence - 1 if before is None else before
        (found,) = with_remarks(self.recurrence, iter((occurrence,)), after, self.zone)
        return found.remark

    def _is_over(self, instant: int) -> bool:
        return instant > (LATEST if self.end is None else min(self.end, LATEST))
