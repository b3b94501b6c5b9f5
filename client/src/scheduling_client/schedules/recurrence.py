"""The occurrences of recurring schedules. Instants are epoch ms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.cron_counts import count_between

MOST_COUNTED = 10_000
"""Runs that are listed or made up for are counted up to this number."""


class Recurrence(Protocol):
    """The occurrences of a job."""

    def next_after(self, instant: int) -> int | None:
        """The first occurrence after `instant`; None after the end of the calendar."""

    def latest_before(self, instant: int, since: int) -> int:
        """The latest occurrence before `instant`, or `since`, which is one."""

    def count(self, after: int, last: int) -> int:
        """How many there are after `after` and not after `last`: all of them, at little cost."""


@dataclass(frozen=True, slots=True)
class Every:
    """An occurrence every `period` ms, in phase with `first`. There is none before it."""

    first: int
    period: int

    def next_after(self, instant: int) -> int:
        """See `Recurrence`. There always is one."""
        if instant < self.first:
            return self.first
        return self.first + ((instant - self.first) // self.period + 1) * self.period

    def latest_before(self, instant: int, since: int) -> int:
        """See `Recurrence`."""
        steps = (instant - 1 - since) // self.period
        return since + max(0, steps) * self.period

    def count(self, after: int, last: int) -> int:
        """See `Recurrence`."""
        return max(0, self._up_to(last) - self._up_to(after))

    def _up_to(self, instant: int) -> int:
        return max(0, (instant - self.first) // self.period + 1)


@dataclass(frozen=True, slots=True)
class Matches:
    """An occurrence at each match of a cron expression in a time zone."""

    cron: Cron
    zone: ZoneInfo

    def next_after(self, instant: int) -> int | None:
        """See `Recurrence`."""
        try:
            return self.cron.next_after(instant, self.zone)
        except ValueError:
            return None

    def latest_before(self, instant: int, since: int) -> int:
        """See `Recurrence`."""
        latest = self.cron.latest_before(instant, since, self.zone)
        return since if latest is None else latest

    def count(self, after: int, last: int) -> int:
        """See `Recurrence`."""
        return count_between(self.cron, after, last, self.zone)


def occurrences(recurrence: Recurrence, after: int, end: int | None = None) -> Iterator[int]:
    """The occurrences after an instant, and not after `end`, in order. There may be no last one."""
    found = recurrence.next_after(after)
    while found is not None and (end is None or found <= end):
        yield found
        found = recurrence.next_after(found)


class Passed(NamedTuple):
    """Occurrences that pass without a run."""

    number: int
    """How many."""
    next: int | None
    """The first one after them."""


def passed(recurrence: Recurrence, since: int, until: int) -> Passed:
    """The occurrences from `since`, which is one, up to `until`."""
    following = recurrence.next_after(max(until, since - 1))
    return Passed(recurrence.count(since - 1, until) if until >= since else 0, following)
