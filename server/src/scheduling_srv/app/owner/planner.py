"""Computes the next times of planned jobs, as cron: they need time zones and therefore Python.

Lua puts a planned job that has run into `plan`; the planner puts it back into `due`.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from scheduling_client.schedules.recurrence import Recurrence
from scheduling_srv.app.ports import Schedule
from scheduling_srv.app.replies import Instants, Lapse, Planned, Unplanned
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import PassedBy
from scheduling_srv.domain.run_rules import RunKind, make_up
from scheduling_srv.formats.job_record import properties_of
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
        since, unplanned = await self.schedule.unplanned(token, PLAN_JOBS)
        planned = await self._plan_all(unplanned, since)
        self._aside.set(await self.schedule.plan(token, planned, since.now))
        return len(planned)

    async def _plan_all(self, jobs: Sequence[Unplanned], since: Instants) -> Sequence[Planned]:
        planned, time_slice = [], TimeSlice()
        for job in jobs:
            planned.append(self._plan_safely(job, since))
            await time_slice.yield_if_used()
        return planned

    def _plan_safely(self, job: Unplanned, since: Instants) -> Planned:
        try:
            return self._plan(job, since)
        except RequestError as fault:
            job_id = job.member[MEMBER.size :].decode(errors="replace")
            log.warning("job set aside: it cannot be planned", job=job_id, reason=str(fault))
            return Planned(job.member, None, settled=job.missed, aside=True)

    def _plan(self, job: Unplanned, since: Instants) -> Planned:
        found, asked = read_recurrence(job.record, job.after), properties_of(job.record).properties
        planned = self._plan_next(job, found, asked, since)
        passed = _first_passed(job, asked, since)
        if passed and planned.due is not None:
            until = planned.due if asked.end is None else min(planned.due, asked.end + 1)
            planned = planned._replace(lapse=_lapse(*passed, found, until))
        if asked.end is not None and planned.due is not None and planned.due > asked.end:
            return planned._replace(due=None)
        if asked.missed and asked.missed.window is None and (planned.due or 0) <= since.resumed_at:
            return planned._replace(settled=True)  # it was decided that all of them run
        return planned

    def _plan_next(
        self, job: Unplanned, found: Recurrence, asked: Properties, since: Instants
    ) -> Planned:
        if job.missed:
            return self._plan_missed(job, found, asked, since)
        due = found.next_after(_before_next(job, asked, since))
        return Planned(job.member, due, settled=False)

    def _plan_missed(
        self, job: Unplanned, found: Recurrence, asked: Properties, since: Instants
    ) -> Planned:
        if asked.missed:
            made_up = make_up(found, job.after, since.resumed_at, asked.missed)
            return Planned(job.member, made_up.nominal, made_up.kind is RunKind.MISSED)
        if self.rules.missed_runs == "skip":
            return Planned(job.member, found.next_after(since.cutoff - 1), settled=False)
        return Planned(job.member, found.latest_before(since.cutoff, job.after), settled=True)


def _before_next(job: Unplanned, asked: Properties, since: Instants) -> int:
    """The next occurrence is after it: one that its start deadline does not let start is none."""
    if not asked.start_deadline:
        return job.after
    return max(job.after, since.now - asked.start_deadline - (asked.jitter or 0) - 1)


def _first_passed(
    job: Unplanned, asked: Properties, since: Instants
) -> tuple[int, PassedBy] | None:
    """From where on occurrences may have passed without a run, and why; None: none have."""
    if job.missed:
        return job.after, PassedBy.OUTAGE
    if job.passed_since is not None:
        return job.passed_since, PassedBy.PAUSE
    if _before_next(job, asked, since) > job.after:
        return job.after + 1, PassedBy.DEADLINE
    return None


def _lapse(first: int, why: PassedBy, found: Recurrence, until: int) -> Lapse | None:
    """The occurrences from `first` on that are before `until`; None: there are none."""
    earliest = found.next_after(first - 1)
    if earliest is None or earliest >= until:
        return None
    last = found.latest_before(until, earliest)
    return Lapse(found.count(earliest - 1, last), last, why)
