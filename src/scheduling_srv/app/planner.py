"""Computes the next times of cron jobs, which need time zones and therefore Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import structlog

from scheduling_srv import points
from scheduling_srv.app.ports import Schedule
from scheduling_srv.app.replies import Planned, Unplanned
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.cron import Cron
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.zone import zone
from scheduling_srv.failpoints import reached

log = structlog.get_logger(__name__)

PLAN_LIMIT = 500
"""Jobs of one round."""


class CronText(NamedTuple):
    """A cron job's expression and time zone."""

    expression: str
    timezone: str


ReadCron: TypeAlias = Callable[[bytes], CronText]
"""Finds the expression and the time zone in a record; it needs protobuf, so it is injected."""


@lru_cache(maxsize=10_000)
def _parsed(text: CronText) -> tuple[Cron, ZoneInfo]:
    return Cron.parse(text.expression), zone(text.timezone)


def next_after(text: CronText, instant: int) -> int | None:
    """The first occurrence after `instant`, or None behind the end of the calendar."""
    cron, place = _parsed(text)
    try:
        return cron.next_after(instant, place)
    except ValueError:
        return None


def latest_missed(text: CronText, since: int, cutoff: int) -> int:
    """The latest occurrence before `cutoff`; `since` is one."""
    cron, place = _parsed(text)
    latest = cron.latest_before(cutoff, since, place)
    return since if latest is None else latest


class Planner:
    """Plans the cron jobs that have just run, and settles those whose runs were missed."""

    def __init__(self, schedule: Schedule, read_cron: ReadCron, rules: ShardRules) -> None:
        self.schedule = schedule
        self.read_cron = read_cron
        self.rules = rules

    async def run_once(self, token: str) -> int:
        """Plan at most `PLAN_LIMIT` jobs; returns how many could be planned."""
        cutoff, unplanned = await self.schedule.unplanned(token, PLAN_LIMIT)
        await reached(points.PLAN_READ)
        planned = [plan for job in unplanned if (plan := self._plan_safely(job, cutoff))]
        await self.schedule.plan(token, planned)
        await reached(points.PLAN_DONE)
        return len(planned)

    def _plan_safely(self, job: Unplanned, cutoff: int) -> Planned | None:
        """None: what an older version has accepted is not understood. It waits for a newer one."""
        try:
            return self._plan(job, cutoff)
        except RequestError as fault:
            log.warning("cannot be planned", member=job.member.hex(), reason=str(fault))
            return None

    def _plan(self, job: Unplanned, cutoff: int) -> Planned:
        text = self.read_cron(job.record)
        if not job.missed:
            return Planned(job.member, next_after(text, job.after), settled=False)
        if self.rules.missed_runs == "skip":
            return Planned(job.member, next_after(text, cutoff - 1), settled=False)
        return Planned(job.member, latest_missed(text, job.after, cutoff), settled=True)
