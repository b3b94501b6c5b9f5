"""Computes the next times of planned jobs, as cron: they need time zones and therefore Python.

Lua puts a planned job that has run into `plan`; the planner puts it back into `due`.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from scheduling_srv.app.ports import Schedule
from scheduling_srv.app.replies import Planned, Unplanned
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.formats.layouts import MEMBER
from scheduling_srv.formats.messages import read_recurrence
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.time_slice import TimeSlice

log = structlog.get_logger(__name__)

PLAN_JOBS = 500
"""So many in one round."""


class Planner:
    """Plans the jobs that have just run, and settles those whose runs were missed.

    A job that cannot be planned, because only an older version understood it, is set aside: it must
    not keep others from being planned. Each start of the service tries again.
    """

    def __init__(self, *, schedule: Schedule, rules: ShardRules) -> None:
        self.schedule = schedule
        self.rules = rules
        self.begun = False
        """Whether the jobs that were set aside have been tried again."""
        self._aside = metrics.Part(metrics.UNPLANNABLE)

    async def run_once(self, token: str) -> int:
        """Plan at most `PLAN_JOBS` jobs or set them aside; returns how many those were."""
        if not self.begun:
            while await self.schedule.plan_again(token):
                pass
            self.begun = True
        cutoff, unplanned = await self.schedule.unplanned(token, PLAN_JOBS)
        planned = await self._plan_all(unplanned, cutoff)
        self._aside.set(await self.schedule.plan(token, planned))
        return len(planned)

    async def _plan_all(self, jobs: Sequence[Unplanned], cutoff: int) -> Sequence[Planned]:
        planned, time_slice = [], TimeSlice()
        for job in jobs:
            planned.append(self._plan_safely(job, cutoff))
            await time_slice.yield_if_used()
        return planned

    def _plan_safely(self, job: Unplanned, cutoff: int) -> Planned:
        try:
            return self._plan(job, cutoff)
        except RequestError as fault:
            job_id = job.member[MEMBER.size :].decode(errors="replace")
            log.warning("job set aside: it cannot be planned", job=job_id, reason=str(fault))
            return Planned(job.member, None, settled=job.missed, aside=True)

    def _plan(self, job: Unplanned, cutoff: int) -> Planned:
        found = read_recurrence(job.record, job.after)
        if not job.missed:
            return Planned(job.member, found.next_after(job.after), settled=False)
        if self.rules.missed_runs == "skip":
            return Planned(job.member, found.next_after(cutoff - 1), settled=False)
        return Planned(job.member, found.latest_before(cutoff, job.after), settled=True)
