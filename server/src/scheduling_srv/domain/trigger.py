"""The kinds of trigger, and the occurrences of recurring jobs (docs/contract.md, Times).

Planning, restore, rebuild and audit ask here. Two lines in Lua do the same for intervals
(`lua/lib/staging.lua`, `lua/lib/outage.lua`): tests/store/test_trigger.py compares them with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.recurrence import Every, Matches, Recurrence
from scheduling_client.schedules.zone import zone
from scheduling_srv.domain.errors import InvalidRequest


class TriggerKind(IntEnum):
    """The kinds of trigger (docs/contract.md). The numbers are stored."""

    NOW = 0
    """Once, at once; never a job resource that Read shows."""
    ONCE = 1
    """Once, at the instant of `when`."""
    INTERVAL = 2
    """Every so many milliseconds after its creation, in phase."""
    CRON = 3
    """At each match of a cron expression in the job's time zone."""
    ENDING = 4
    """Finished, and no resource any more: only its open runs are still answered or tried again."""

    @property
    def recurring(self) -> bool:
        """Whether the job stays after a run has ended."""
        return self in {TriggerKind.INTERVAL, TriggerKind.CRON}

    @property
    def is_resource(self) -> bool:
        """Whether Read shows the job."""
        return self not in {TriggerKind.NOW, TriggerKind.ENDING}

    @property
    def planned(self) -> bool:
        """Whether Python computes each occurrence; of intervals, Lua does (`is_planned`)."""
        return self == TriggerKind.CRON


class Trigger(NamedTuple):
    """When a job runs.

    `due` is its first run in epoch ms. `interval` is the period in ms for INTERVAL, the
    fingerprint of the expression for CRON, else 0.
    """

    kind: TriggerKind
    due: int
    interval: int = 0


class CronText(NamedTuple):
    """An expression and a time zone, as a job has them."""

    expression: str
    timezone: str


@dataclass(frozen=True, slots=True)
class StoredCron:
    """An occurrence at each match of a cron expression in its time zone.

    The methods raise `InvalidRequest` for an expression that only another version understood.
    """

    text: CronText

    def next_after(self, instant: int) -> int | None:
        """See `Recurrence`."""
        return _parsed(self.text).next_after(instant)

    def latest_before(self, instant: int, since: int) -> int:
        """See `Recurrence`."""
        return _parsed(self.text).latest_before(instant, since)

    def count(self, after: int, last: int) -> int:
        """See `Recurrence`."""
        return _parsed(self.text).count(after, last)


def recurrence(trigger: Trigger, text: CronText) -> Recurrence | None:
    """The occurrences of a job with this trigger; None: it has one. `text` is read for cron."""
    if trigger.kind == TriggerKind.INTERVAL:
        return Every(trigger.due, trigger.interval)
    return StoredCron(text) if trigger.kind == TriggerKind.CRON else None


@lru_cache(maxsize=10_000)
def _parsed(text: CronText) -> Matches:
    try:
        return Matches(Cron.parse(text.expression), zone(text.timezone))
    except ScheduleError as fault:
        raise InvalidRequest(str(fault)) from fault
