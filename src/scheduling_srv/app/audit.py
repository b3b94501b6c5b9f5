"""The audit: what should have been emitted against what is on the topics (read-only).

It knows nothing of Redis. Schedules come from `jobsCreated` and `jobsDeleted` and, for jobs whose
creation has left its topic, from the journal; runs and answers from the jobs topic, as a
read_committed consumer sees them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduling_srv.app import planner
from scheduling_srv.app.announce import JOURNAL_DUE, JOURNAL_RETRY
from scheduling_srv.app.ports import History
from scheduling_srv.app.records import LogRecord
from scheduling_srv.app.restore import LENIENT, first_due
from scheduling_srv.app.settlement import Emission
from scheduling_srv.domain import record
from scheduling_srv.domain.backoff import BackoffType, retry_delay_ms
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import JobRequest, TriggerKind
from scheduling_srv.domain.validation import find_trigger

ENDLESS = 1 << 62
"""The end of a schedule that nobody has deleted."""


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    kind: str
    """`missing`, `doubled`, `early` or `late`."""
    job_id: str
    nominal: int
    """Epoch ms at which the run was due."""
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at; all in epoch ms, or ms."""

    since: int
    until: int
    grace: int = 10_000
    """What is younger than that may still come, and a delete may have crossed a run."""
    late: int = 1_000
    """A run that came later than that is reported."""
    catch_up: int = 60_000
    """SCHEDULING_CATCH_UP_WINDOW: older occurrences that an outage swallowed need not run."""
    max_backoff: int = 86_400_000
    """SCHEDULING_MAX_BACKOFF."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome."""

    runs: int
    """Runs that were due in the window and are on the topic."""
    coalesced: int
    """Occurrences that an outage swallowed, as CONTRACT 3.7 has it."""
    lateness: tuple[int, ...]
    """Of each first attempt, in ms, sorted."""
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether every run is there, once, and not early."""
        return all(finding.kind == "late" for finding in self.findings)


class Retries(NamedTuple):
    """What a job does after a failure (CONTRACT 3.3)."""

    attempts: int
    backoff: BackoffType
    delay: float


class Reply(NamedTuple):
    """The first answer to an instance."""

    failed: bool
    at: int


@dataclass(slots=True)
class Schedule:
    """A job from its creation to its deletion."""

    job_id: str
    kind: int
    first: int
    interval: int
    cron: planner.CronText | None
    retries: Retries
    end: int = ENDLESS

    def occurrences(self, since: int, until: int) -> Iterator[int]:
        """The instants in [since, until] at which the job was due."""
        last = min(until, self.end)
        at: int | None = self.first
        if self.kind == TriggerKind.INTERVAL and self.first < since:
            at = self.first + -(-(since - self.first) // self.interval) * self.interval
        elif self.cron and self.first < since:
            at = planner.next_after(self.cron, since - 1)
        while at is not None and at <= last:
            if at >= since:
                yield at
            at = self._after(at)

    def _after(self, instant: int) -> int | None:
        if self.kind == TriggerKind.INTERVAL:
            return instant + self.interval
        return planner.next_after(self.cron, instant) if self.cron else None


@dataclass(frozen=True, slots=True)
class AuditCodec:
    """What needs protobuf, injected."""

    created: Callable[[bytes], JobRequest]
    deleted: Callable[[bytes], str]
    cron: planner.ReadCron
    answer: Callable[[bytes], int | None]


@dataclass(slots=True)
class Audit:
    """Reads the topics once and compares."""

    history: History
    codec: AuditCodec
    window: Window
    schedules: dict[str, list[Schedule]] = field(default_factory=lambda: defaultdict(list))
    emissions: dict[str, list[Emission]] = field(default_factory=lambda: defaultdict(list))
    replies: dict[int, Reply] = field(default_factory=dict)

    async def run(self) -> Report:
        """The report. Raises `LogUnavailable`."""
        async for piece in self.history.resources(0):
            for entry in piece:
                self._note_resource(entry)
        async for piece in self.history.journal():
            for entry in piece:
                self._note_journal(entry)
        async for piece in self.history.jobs_since(self.window.since):
            for entry in piece:
                self._note_job(entry)
        return self._compare()

    def _note_job(self, entry: LogRecord) -> None:
        if entry.key == b"queuedJob" and "occurrence-id" in entry.headers:
            emission = Emission.parse(entry)
            self.emissions[emission.run.job_id].append(emission)
        elif entry.key in {b"jobDone", b"jobFailed"}:
            instance = self.codec.answer(entry.value or b"")
            if instance is not None:
                self.replies.setdefault(instance, Reply(entry.key == b"jobFailed", entry.timestamp))

    def _note_resource(self, entry: LogRecord) -> None:
        try:
            if entry.key == b"jobsCreated":
                self._begin(self.codec.created(entry.value or b""), entry)
            elif entry.key == b"jobsDeleted":
                self._end(self.codec.deleted(entry.value or b""), entry.timestamp)
        except RequestError:
            return  # not a record of ours

    def _begin(self, request: JobRequest, entry: LogRecord) -> None:
        trigger = find_trigger(request, entry.timestamp, LENIENT)
        text = planner.CronText(request.interval, request.timezone)
        cron = text if trigger.kind == TriggerKind.CRON else None
        first = first_due(entry) or trigger.due
        retries = Retries(
            request.attempts, BackoffType(request.backoff_type), request.backoff_delay
        )
        self.schedules[request.id].append(
            Schedule(request.id, trigger.kind, first, trigger.interval, cron, retries)
        )

    def _end(self, job_id: str, instant: int) -> None:
        for schedule in self.schedules.get(job_id, [])[-1:]:
            schedule.end = min(schedule.end, instant - self.window.grace)

    def _note_journal(self, entry: LogRecord) -> None:
        """Jobs whose creation is not on `jobs.resource` (any more)."""
        job_id = (entry.key or b"").decode()
        if entry.value is None or entry.headers.get("kind") == JOURNAL_RETRY:
            return
        (due,) = JOURNAL_DUE.unpack_from(entry.value)
        stored = entry.value[JOURNAL_DUE.size :]
        head = record.header(stored)
        if job_id in self.schedules or head.kind == TriggerKind.NOW:
            return
        cron = self.codec.cron(stored) if head.kind == TriggerKind.CRON else None
        retries = Retries(head.attempts, BackoffType(head.backoff_type), head.backoff_delay)
        schedule = Schedule(job_id, head.kind, due, head.interval, cron, retries)
        self.schedules[job_id].append(schedule)

    # --- Comparing ------------------------------------------------------------------------------

    def _compare(self) -> Report:
        window = self.window
        found: list[Finding] = []
        runs = coalesced = 0
        lateness: list[int] = []
        for emissions in self.emissions.values():
            found += self._faults(emissions)
            for emission in emissions:
                if emission.attempt == 1 and window.since <= emission.run.nominal <= window.until:
                    runs += 1
                    lateness.append(emission.timestamp - emission.run.nominal)
        for job_id, schedules in self.schedules.items():
            for schedule in schedules:
                emissions = self.emissions.get(job_id, [])
                missing, swallowed = self._missing(schedule, emissions)
                found += missing
                found += self._missing_retries(schedule, emissions)
                coalesced += swallowed
        found.sort(key=lambda finding: (finding.nominal, finding.job_id, finding.attempt))
        return Report(runs, coalesced, tuple(sorted(lateness)), tuple(found))

    def _faults(self, emissions: Iterable[Emission]) -> Iterator[Finding]:
        times = Counter((emission.run, emission.attempt) for emission in emissions)
        for (run, attempt), count in times.items():
            if count > 1:
                detail = f"{count} times"
                yield Finding("doubled", run.job_id, run.nominal, attempt, detail)
        for run, attempt, _, timestamp, _ in emissions:
            late = timestamp - run.nominal
            if late < 0:
                yield Finding("early", run.job_id, run.nominal, attempt, f"{-late} ms early")
            elif attempt == 1 and late > self.window.late and run.nominal >= self.window.since:
                yield Finding("late", run.job_id, run.nominal, attempt, f"{late} ms late")

    def _missing(
        self, schedule: Schedule, emissions: Iterable[Emission]
    ) -> tuple[list[Finding], int]:
        window = self.window
        there = {emission.run.nominal: emission.timestamp for emission in emissions}
        missing, coalesced = [], 0
        for nominal in schedule.occurrences(window.since, window.until - window.grace):
            if nominal in there:
                continue
            if schedule.kind >= TriggerKind.INTERVAL and self._swallowed(nominal, there):
                coalesced += 1
            else:
                detail = "not on the topic"
                missing.append(Finding("missing", schedule.job_id, nominal, 1, detail))
        return missing, coalesced

    def _missing_retries(
        self, schedule: Schedule, emissions: Iterable[Emission]
    ) -> Iterator[Finding]:
        """Failures that were told and not followed by the next attempt."""
        retries, latest = schedule.retries, min(schedule.end, self.window.until - self.window.grace)
        there = {(emission.run, emission.attempt) for emission in emissions}
        for run, attempt, instance, *_ in emissions:
            reply = self.replies.get(instance)
            if not reply or not reply.failed or attempt >= retries.attempts:
                continue
            delay = retry_delay_ms(retries.backoff, retries.delay, attempt, self.window.max_backoff)
            if (run, attempt + 1) not in there and reply.at + delay <= latest:
                detail = "failed, and was not tried again"
                yield Finding("missing", run.job_id, run.nominal, attempt + 1, detail)

    def _swallowed(self, nominal: int, there: dict[int, int]) -> bool:
        """Whether the next run came so late that this one was older than the catch-up window."""
        later = [at for other, at in there.items() if other > nominal]
        return bool(later) and min(later) - nominal > self.window.catch_up
