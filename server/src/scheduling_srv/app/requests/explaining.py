"""The use case that says why a job ran, ran late, or did not run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.when import parse_when
from scheduling_client.schedules.zone import UTC, zone
from scheduling_srv.app.explanation_ports import EmissionReading, IntervalReading
from scheduling_srv.app.narrowing import allows, own_logs, own_runs
from scheduling_srv.app.ports import Clock, ListedJob
from scheduling_srv.app.requests.definitions import not_found
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.requests.job_views import recurring_of
from scheduling_srv.app.requests.pause_notes import PauseNotes
from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.app.requests.turns import turn
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.domain.explanation.decision import explain, subject
from scheduling_srv.domain.explanation.facts import Facts, JobFacts, TopicRead
from scheduling_srv.domain.explanation.reasons import Explained
from scheduling_srv.domain.explanation.words import sentences
from scheduling_srv.domain.intervals import IntervalLogs
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.pause import NOT_PAUSED
from scheduling_srv.domain.run import Run, RunFilter
from scheduling_srv.domain.run_rules import MissedRule
from scheduling_srv.domain.timetable import Timetable
from scheduling_srv.formats import job_record
from scheduling_srv.formats.v1.schedules import StoredSchedule, schedule_in, start_in

MOST_RUNS = 200
"""Runs that are looked at: open ones first, then those of the history."""
LOOKS = 1
"""Looks at the jobs topic at once: each may take some MB and seconds."""


class Explanation(NamedTuple):
    """An answer, with its sentences in the zone of the job."""

    found: Explained
    sentences: Sequence[str]


class Explaining:
    """Gathers what is known; the rules are in `domain.explanation`."""

    def __init__(
        self,
        *,
        listing: JobListing,
        pauses: PauseNotes,
        runs: RunListing,
        logs: Sequence[IntervalReading],
        topic: EmissionReading,
        clock: Clock,
        missed: MissedRule,
    ) -> None:
        """`logs`: of each shard, in their order. `missed`: of jobs that say nothing else."""
        self.listing = listing
        self.pauses = pauses
        self.runs = runs
        self.logs = logs
        self.topic = topic
        self.clock = clock
        self.missed = missed
        self._looks = asyncio.Semaphore(LOOKS)

    async def explain(
        self, job_id: str, at: int | None, within: Limits | None = None
    ) -> Explanation:
        """Why it ran, or did not, at an instant; None: about the last or next run.

        The job may be gone. With limits it must live `within` them: raises `NotFound`, and
        `Unavailable`.
        """
        facts = await self._facts(job_id, at, within)
        found = explain(facts)
        since = 0
        if within and facts.job:  # earlier jobs with this id may be those of others
            since = facts.job.created or facts.now
        if (
            not found.is_certain
            and found.nominal is not None
            and since <= found.nominal <= facts.now
        ):
            read = await self._look(facts, found.nominal)
            found = explain(replace(facts, read=read))
        place = facts.job.timetable.zone if facts.job else UTC
        return Explanation(found, sentences(found.reasons, place))

    async def _look(self, facts: Facts, nominal: int) -> TopicRead:
        """Runs of an outage were emitted when it had ended."""
        since = nominal
        for outage in facts.logs.outages:
            if outage.since < nominal <= outage.until:
                since = outage.until
        async with turn(self._looks):
            return await self.topic.emitted(facts.job_id, nominal, since)

    async def _facts(self, job_id: str, at: int | None, within: Limits | None) -> Facts:
        listed = next(iter(await self.listing.show([job_id])), None)
        if within and not (listed and allows(within, listed.job)):
            raise not_found(job_id)
        runs, is_all = await self._runs(RunFilter(job_id))
        if within and listed:
            runs = own_runs(within, listed.job.record, runs)
        kind = job_record.type_of(listed.job.record).decode() if listed else ""
        kind = kind or next((run.type for run in runs), "")
        logs = await self._logs(job_id, kind)
        if within and listed:
            logs = own_logs(listed.job.record, logs)
        facts = Facts(
            job_id=job_id,
            at=at,
            now=self.clock.now(),
            job=await self._job_facts(listed, runs) if listed else None,
            runs=runs,
            logs=logs,
            missed=self.missed,
        )
        nominal = at if is_all else subject(facts)
        if is_all or nominal is None:
            return facts
        own, _ = await self._runs(
            RunFilter(job_id, nominal_from=nominal, nominal_until=nominal + 1)
        )
        if within and listed:
            own = own_runs(within, listed.job.record, own)
        return replace(facts, runs=[*runs, *(run for run in own if run not in runs)])

    async def _runs(self, wanted: RunFilter) -> tuple[Sequence[Run], bool]:
        """The runs, and whether these are all."""
        page = await self.runs.list(wanted, MOST_RUNS)
        return page.runs, not page.token

    async def _logs(self, job_id: str, kind: str) -> IntervalLogs:
        """Of the shard of the type. The shard of a job that is gone may not be known."""
        if kind or len(self.logs) == 1:
            return await self.logs[shard_of(kind, len(self.logs))].intervals(job_id, kind)
        found = await asyncio.gather(*(shard.intervals(job_id, kind) for shard in self.logs))
        gone = sorted(each for logs in found for each in logs.gone)
        return IntervalLogs(gone=gone)

    async def _job_facts(self, listed: ListedJob, runs: Sequence[Run]) -> JobFacts:
        record = listed.job.record
        more, job_id = job_record.properties_of(record), listed.job.id.decode()
        created, asked = job_record.created_at(record), more.properties
        first = max(created + 1 if created else 0, start_in(more) or 0)
        pauses = (await self.pauses.of_jobs([listed])).get(listed.job.id, NOT_PAUSED)
        counted = 0
        if asked.max_runs and (own := (await self.runs.of_jobs([job_id])).get(job_id)):
            counted = own.counters.counted
        seq = job_record.seq(record)
        nominals = (run.id.nominal for run in runs if run.id.seq == seq)
        known = listed.nominal if listed.nominal is not None else next(nominals, None)
        return JobFacts(
            seq=seq,
            timetable=_timetable(schedule_in(record), first, asked.end, known),
            created=created,
            updated=max(created, more.updated),
            asked=asked,
            parallel=job_record.header(record).parallel,
            pauses=pauses,
            counted=counted,
            next=listed.nominal if listed.due is not None else None,
        )


def _timetable(
    schedule: StoredSchedule, first: int, end: int | None, known: int | None
) -> Timetable:
    """`known`: one of the occurrences of an interval. Another version may have stored it."""
    try:
        place = zone(schedule.timezone)
        if not schedule.kind.recurring:
            due = parse_when(schedule.text, 0, place)
            return Timetable("once", place, due)
        return Timetable.of(recurring_of(schedule, known), first, end)
    except ScheduleError:
        return Timetable(schedule.text, UTC, known or 0)
