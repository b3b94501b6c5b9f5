"""The audit: compares the expected runs with the runs on the topics. Only reads.

It does not read Redis. Schedules come from `jobsCreated` and `jobsDeleted`. For jobs whose creation
has left its topic, they come from the journal. Runs and answers come from the jobs topic, as a
read_committed consumer sees them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, Protocol

from scheduling_client.schedules.recurrence import Recurrence
from scheduling_srv.app.commands.events import LENIENT, first_due
from scheduling_srv.app.log_ports import History
from scheduling_srv.app.shard_rules import DEFAULTS
from scheduling_srv.domain.backoff import BackoffType, retry_delay_ms
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import JobRequest, Trigger, TriggerKind
from scheduling_srv.domain.trigger import CronText, recurrence
from scheduling_srv.domain.validation import find_trigger
from scheduling_srv.formats import job_record, messages
from scheduling_srv.formats.kafka_records import (
    CANCELLED,
    JOURNAL_DUE,
    JOURNAL_JOB,
    OUTCOME,
    Emission,
    LogRecord,
)

TOLERATED = frozenset({"late", "waiting", "repeated"})
"""Kinds of findings that are told and break no promise."""
ENDLESS = 1 << 62
"""The end of a schedule that was not deleted."""


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    kind: str
    """`missing`, `doubled`, `repeated`, `early`, `late` or `waiting`."""
    job_id: str
    nominal: int
    """Epoch ms at which the run was due."""
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class Window:
    """The audited time and its rules; all in epoch ms, or ms."""

    since: int
    until: int
    grace: int = 10_000
    """Younger runs may still come, and a delete may have crossed a run."""
    late: int = 1_000
    """A run that came later than that is reported."""
    catch_up: int = DEFAULTS.catch_up_window
    """SCHEDULING_CATCH_UP_WINDOW: older occurrences that an outage swallowed need not run."""
    max_backoff: int = DEFAULTS.max_backoff
    """SCHEDULING_MAX_BACKOFF."""
    repeats: bool = False
    """SCHEDULING_DELIVERY=at_least_once: a run may be there again, as the same instance."""
    completion_timeout: int = DEFAULTS.completion_timeout
    """SCHEDULING_COMPLETION_TIMEOUT: an older run holds no place of `parallel`."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome."""

    runs: int
    """Runs that were due in the window and are on the topic."""
    coalesced: int
    """Occurrences that an outage swallowed, as docs/contract.md has it."""
    lateness: tuple[int, ...]
    """Lateness of each first attempt, in ms, sorted."""
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether every run is there, once, and not early."""
        return all(finding.kind in TOLERATED for finding in self.findings)


class Retries(NamedTuple):
    """How a job is retried after a failure (docs/contract.md)."""

    attempts: int
    backoff: BackoffType
    delay: float


class Reply(NamedTuple):
    """The first answer to an instance."""

    failed: bool
    at: int
    retry_after: int = 0
    """See `Answer`."""
    final: bool = False


@dataclass(slots=True)
class Schedule:
    """A job from its creation to its deletion."""

    job_id: str
    kind: TriggerKind
    first: int
    recurrence: Recurrence | None
    """None: it runs once."""
    retries: Retries
    type: bytes = b""
    parallel: int = 0
    end: int = ENDLESS

    def occurrences(self, since: int, until: int) -> Iterator[int]:
        """The instants in [since, until] at which the job was due."""
        last = min(until, self.end)
        at = self._next_after(since - 1)
        while at is not None and at <= last:
            yield at
            at = self._next_after(at)

    def _next_after(self, instant: int) -> int | None:
        if instant < self.first:
            return self.first
        return self.recurrence.next_after(instant) if self.recurrence else None


class Later:
    """Which runs of a job came, and when the first of those came that were due after an instant.

    An occurrence that an outage swallowed is known by that: it was older than the catch-up window.
    """

    def __init__(self, runs: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(runs)
        self.nominals = {nominal for nominal, _ in ordered}
        self._due = [nominal for nominal, _ in ordered]
        self._came = list(accumulate((at for _, at in reversed(ordered)), min))[::-1]

    def earliest_after(self, nominal: int) -> int | None:
        """When; None if no later run came."""
        place = bisect_right(self._due, nominal)
        return self._came[place] if place < len(self._came) else None


class AllHistory(History, Protocol):
    """Also reads the journals of all shards. Shards share all other topics."""

    def journals(self) -> AsyncIterator[Sequence[LogRecord]]:
        """The journals of all shards, each from the start. Raises `LogUnavailable`."""


@dataclass(slots=True)
class Audit:
    """Reads the topics once and compares."""

    history: AllHistory
    window: Window
    schedules: dict[str, list[Schedule]] = field(default_factory=lambda: defaultdict(list))
    emissions: dict[str, list[Emission]] = field(default_factory=lambda: defaultdict(list))
    replies: dict[int, Reply] = field(default_factory=dict)
    living: dict[tuple[int, str], bytes] = field(default_factory=dict)
    """Record of a job in a shard's journal. A job that has left a shard may live in another one."""
    gone: dict[str, int] = field(default_factory=dict)
    """When the journal let go of a job."""
    cancelled: set[str] = field(default_factory=set)
    """Ids of runs."""

    async def run(self) -> Report:
        """The report. Raises `LogUnavailable`."""
        extents = await self.history.resource_extents()
        async for piece in self.history.resources(extents):
            for entry in piece:
                self._note_resource(entry)
        async for piece in self.history.journals():
            for entry in piece:
                self._note_journal(entry)
        self._settle_journal()
        async for piece in self.history.jobs_since(self.window.since):
            for entry in piece:
                self._note_job(entry)
        return self._compare()

    def _note_job(self, entry: LogRecord) -> None:
        if entry.key == b"queuedJob" and "occurrence-id" in entry.headers:
            try:
                emission = Emission.parse(entry)
            except ValueError:
                return  # of another service
            self.emissions[emission.run.job_id].append(emission)
        elif entry.key in {b"jobDone", b"jobFailed"}:
            self._note_reply(entry)

    def _note_reply(self, entry: LogRecord) -> None:
        if entry.headers.get(OUTCOME) == CANCELLED:
            run_id, _, _ = entry.headers.get("occurrence-id", b"").rpartition(b"/")
            self.cancelled.add(run_id.decode(errors="replace"))
        try:
            said = messages.decode_answer(entry.value or b"", failed=entry.key == b"jobFailed")
        except RequestError:
            return
        reply = Reply(said.failed, entry.timestamp, said.retry_after, said.final)
        self.replies.setdefault(said.instance, reply)

    def _note_resource(self, entry: LogRecord) -> None:
        try:
            if entry.key == b"jobsCreated":
                self._begin(messages.read_job(entry.value or b""), entry)
            elif entry.key == b"jobsDeleted":
                has_no_run = entry.headers.get(OUTCOME) in {b"refused", CANCELLED}
                self._end(
                    messages.read_deleted(entry.value or b""), 0 if has_no_run else entry.timestamp
                )
        except RequestError:
            return  # not a record of ours

    def _begin(self, request: JobRequest, entry: LogRecord) -> None:
        # Announced late, a one-time job may lie in the past by then; when it was due, it did not.
        due = first_due(entry.headers.get("nominal-time"))
        trigger = find_trigger(request, entry.timestamp if due is None else due, LENIENT)
        self._add(request, trigger if due is None else trigger._replace(due=due))

    def _add(self, request: JobRequest, trigger: Trigger) -> None:
        self.schedules[request.id].append(
            Schedule(
                request.id,
                trigger.kind,
                trigger.due,
                recurrence(trigger, CronText(request.interval, request.timezone)),
                Retries(request.attempts, BackoffType(request.backoff_type), request.backoff_delay),
                request.type.encode(),
                request.parallel,
            )
        )

    def _end(self, job_id: str, instant: int) -> None:
        for schedule in self.schedules.get(job_id, [])[-1:]:
            schedule.end = min(schedule.end, instant - self.window.grace)

    def _note_journal(self, entry: LogRecord) -> None:
        place = entry.partition, (entry.key or b"").decode()
        if entry.value is None:
            self.living.pop(place, None)
            self.gone[place[1]] = max(entry.timestamp, self.gone.get(place[1], 0))
        elif entry.headers.get("kind", JOURNAL_JOB) == JOURNAL_JOB:
            self.living[place] = entry.value

    def _settle_journal(self) -> None:
        """Apply the journal: `jobs.resource` may lack a creation, and a reset announces nothing."""
        living = {job_id for _, job_id in self.living}
        for (_, job_id), value in self.living.items():
            if job_id not in self.schedules:
                self._begin_from_journal(job_id, value)
        for job_id, schedules in self.schedules.items():
            if schedules[-1].end == ENDLESS and job_id not in living:
                self._end(job_id, self.gone.get(job_id, 0))

    def _begin_from_journal(self, job_id: str, value: bytes) -> None:
        (due,) = JOURNAL_DUE.unpack_from(value)
        stored = value[JOURNAL_DUE.size :]
        head = job_record.header(stored)
        due = messages.read_open_from(stored, due)
        if due is not None and TriggerKind(head.kind).is_resource:
            request = messages.read_job(job_record.job_message(job_id.encode(), stored))
            self._add(request, Trigger(TriggerKind(head.kind), due, head.interval))

    # --- Comparing ------------------------------------------------------------------------------

    def _compare(self) -> Report:
        window = self.window
        found = list(self._repeated()) if window.repeats else []
        runs = coalesced = 0
        lateness: list[int] = []
        held = self._held()
        for emissions in self.emissions.values():
            found += self._faults(emissions)
            for emission in emissions:
                if emission.attempt == 1 and window.since <= emission.run.nominal <= window.until:
                    runs += 1
                    lateness.append(emission.timestamp - emission.run.nominal)
        for job_id, schedules in self.schedules.items():
            for schedule in schedules:
                emissions = self.emissions.get(job_id, [])
                full = 0 < schedule.parallel <= held[schedule.type]
                missing, swallowed = self._missing(schedule, emissions, full=full)
                found += missing
                found += self._missing_retries(schedule, emissions)
                coalesced += swallowed
        found.sort(key=lambda finding: (finding.nominal, finding.job_id, finding.attempt))
        return Report(runs, coalesced, tuple(sorted(lateness)), tuple(found))

    def _repeated(self) -> Iterator[Finding]:
        """Runs that are there again as the same instance; only the first record counts then."""
        for job_id, emissions in self.emissions.items():
            first: dict[tuple[object, ...], Emission] = {}
            for emission in emissions:
                if first.setdefault(emission[:3], emission) is not emission:
                    run, attempt = emission.run, emission.attempt
                    yield Finding("repeated", job_id, run.nominal, attempt, "sent again")
            emissions[:] = first.values()

    def _faults(self, emissions: Iterable[Emission]) -> Iterator[Finding]:
        times = Counter((emission.run, emission.attempt) for emission in emissions)
        for (run, attempt), count in times.items():
            if count > 1:
                detail = f"{count} times"
                yield Finding("doubled", run.job_id, run.nominal, attempt, detail)
        for emission in emissions:
            run, attempt = emission.run, emission.attempt
            late = emission.timestamp - run.nominal
            if late < 0:
                yield Finding("early", run.job_id, run.nominal, attempt, f"{-late} ms early")
            elif run.origin:
                continue  # a backfill is late on purpose
            elif attempt == 1 and late > self.window.late and run.nominal >= self.window.since:
                yield Finding("late", run.job_id, run.nominal, attempt, f"{late} ms late")

    def _held(self) -> Counter[bytes]:
        """How many runs of each type are unanswered at the end: their places are taken."""
        since = self.window.until - self.window.completion_timeout
        return Counter(
            emission.type
            for emissions in self.emissions.values()
            for emission in emissions
            if emission.timestamp >= since and emission.instance not in self.replies
        )

    def _missing(
        self, schedule: Schedule, emissions: Iterable[Emission], *, full: bool
    ) -> tuple[list[Finding], int]:
        """The missing runs. `full`: `parallel` is reached, so the latest run may still wait."""
        window = self.window
        there = Later(
            (emission.run.nominal, emission.timestamp)
            for emission in emissions
            if not emission.run.origin
        )
        missing, coalesced = [], 0
        for nominal in schedule.occurrences(window.since, window.until - window.grace):
            next_came = there.earliest_after(nominal)
            if nominal in there.nominals:
                continue
            if (
                schedule.kind.recurring
                and next_came is not None
                and next_came - nominal > window.catch_up
            ):
                coalesced += 1
            elif full and next_came is None:
                detail = "held back: as many runs of its type as allowed are unanswered"
                missing.append(Finding("waiting", schedule.job_id, nominal, 1, detail))
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
            if reply.final or run.id in self.cancelled:
                continue
            delay = reply.retry_after or retry_delay_ms(
                retries.backoff, retries.delay, attempt, self.window.max_backoff
            )
            if (run, attempt + 1) not in there and reply.at + delay <= latest:
                detail = "failed, and was not tried again"
                yield Finding("missing", run.job_id, run.nominal, attempt + 1, detail)
