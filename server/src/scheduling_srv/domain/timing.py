"""When a job of scheduling.v1 begins, and whether its properties fit its schedule.

Instants are epoch ms.
"""

from __future__ import annotations

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.cron_gaps import smallest_gap_ms
from scheduling_srv.domain.job import JobRequest, Trigger, TriggerKind
from scheduling_srv.domain.properties import Properties, Timing, check_properties
from scheduling_srv.domain.trigger import CronText, recurrence


def timed(request: JobRequest, asked: Properties, trigger: Trigger, now: int) -> Trigger:
    """The trigger with the first run that `start_time` allows.

    Raises `InvalidRequest` if a property has no meaning with this schedule.
    """
    first = trigger.due if asked.start is None else _first(request, trigger, asked.start, now)
    check_properties(asked, Timing(first, _shortest_gap(request, asked, trigger)))
    return trigger._replace(due=first)


def _first(request: JobRequest, trigger: Trigger, start: int, now: int) -> int:
    text = CronText(request.interval, request.timezone)
    anchored = trigger._replace(due=start)
    found = recurrence(anchored, text)
    if found is None:
        return trigger.due
    following = found.next_after(max(now, start - 1))
    return trigger.due if following is None else following


def _shortest_gap(request: JobRequest, asked: Properties, trigger: Trigger) -> int | None:
    """In ms, if it is at most the jitter; else it is longer."""
    if trigger.kind is TriggerKind.CRON:
        return smallest_gap_ms(Cron.parse(request.interval), (asked.jitter or 0) + 1)
    return trigger.interval if trigger.kind is TriggerKind.INTERVAL else None
