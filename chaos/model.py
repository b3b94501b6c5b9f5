"""The history, arranged by what the rules ask of it: versions of jobs, runs, answers."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from chaos.history import (
    DELETE,
    DELETE_ALL,
    KAFKA,
    OK,
    REFUSED,
    UPDATE,
    UPSERT,
    WRITES,
    Ask,
    Call,
    Fault,
    History,
    Seen,
)
from tests.client.contract import Deleted, Job, JobDone, JobFailed, ScheduledJob

FOREVER = 1 << 62
V1_IDS = "v1:"
"""Ids of jobs of scheduling.v1 begin with it."""
REFUSE_LARGE = "refuse-large"
LATEST_RUN_MS = 60_000
"""How long after its due time a job may still run: its attempts, with an outage between."""
PRECISION_MS = 1_000
"""So much less than its completion timeout may a published run have had (docs/decisions/0027)."""
LOSSES = ("flush", "truncate", "old-copy", "fail-over", "failover", "empty")
"""Faults after which Redis shows an earlier state, until the service has noticed the loss."""
NOTICED_MS = 20_000
"""Within this time it is noticed."""
KEEPING_FROM_KAFKA = ("kafka-", "broker-kill", "journal-lost")
"""Faults that delay this: the service compares Redis with Kafka."""
REREAD_MS = 75_000
"""Within this time the service reads the size limits of topics again."""
RANKS = {-15: 0, -10: 1, -5: 2, 0: 3, 10: 4}


class Violation(NamedTuple):
    """A broken promise."""

    category: str
    text: str


class Run(NamedTuple):
    """A queuedJob record."""

    tag: str
    job_id: str
    occurrence: str
    nominal: int
    attempt: int
    instance: int
    type: str
    spelling: str
    at: int
    offset: int
    event: str = ""
    number: int = 0
    """The header `run-number`; 0: none."""

    @property
    def identity(self) -> tuple[str, int, int]:
        """Identifies the run: Kafka may have it once."""
        return (self.tag, self.nominal, self.attempt)

    def __str__(self) -> str:
        return f"{self.tag}@{self.nominal}#{self.attempt} (offset {self.offset}, at {self.at})"


class Answer(NamedTuple):
    """A jobDone or jobFailed record."""

    instance: int
    failed: bool
    at: int
    offset: int


class Announced(NamedTuple):
    """A jobsCreated, or (without a tag) a jobsDeleted."""

    job_id: str
    tag: str
    at: int
    offset: int
    outcome: str = ""


class Beat(NamedTuple):
    """A jobHeartbeat record."""

    instance: int
    at: int


@dataclass(slots=True)
class Version:
    """The records of one version of a job."""

    ask: Ask
    call: Call
    job_id: str = ""
    created: list[Announced] = field(default_factory=list)
    deleted: Announced | None = None
    before: Version | None = None
    """The version in whose place an Update or Upsert has put it, as far as can be seen."""
    runs: list[Run] = field(default_factory=list)
    """Committed, in the order of the topic."""
    index: dict[tuple[int, int], Run] = field(default_factory=dict)
    own: list[int] | None = None
    """The result of `rules_runs.own`, kept; None: not computed yet."""

    def add(self, run: Run) -> None:
        """The next run on the topic."""
        self.runs.append(run)
        self.index.setdefault((run.nominal, run.attempt), run)
        self.job_id = self.job_id or run.job_id

    @property
    def seen(self) -> bool:
        """Whether anything shows that it was applied."""
        return bool(self.created or self.runs)

    @property
    def carries_on(self) -> bool:
        """Whether its schedule is that of the version before."""
        before = self.before
        return before is not None and self.ask.recurs and self.ask.schedule == before.ask.schedule

    @property
    def is_now(self) -> bool:
        """Without a resource."""
        return self.ask.trigger == "now"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return RANKS[self.ask.priority]

    @property
    def attempts(self) -> int:
        """How many runs of one occurrence there may be."""
        return max(1, self.ask.attempts)

    def backoff(self, failures: int, cap: int) -> int:
        """Milliseconds after the n-th failure."""
        if self.ask.exponential:
            return min(int(self.ask.backoff * 2 ** (failures - 1)), cap)
        return self.ask.backoff

    def of(self, nominal: int, attempt: int) -> Run | None:
        """The first run with this identity."""
        return self.index.get((nominal, attempt))

    def __str__(self) -> str:
        return f"{self.ask.tag} ({self.ask.trigger}, id {self.job_id or '?'})"


class Model:
    """Indexes over one history."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.settings = history.settings
        self.skew = history.settings.skew
        quiet = history.quiet
        self.settled = quiet.settled if quiet else 0
        self.complete = quiet.complete if quiet else 0
        self.runs: list[Run] = []
        self.copies: list[Run] = []
        """Records that only read_uncommitted consumers saw."""
        self.again: list[Run] = []
        """Runs that were sent twice, where that is allowed."""
        self.answers: dict[int, list[Answer]] = defaultdict(list)
        self.events: dict[str, list[Announced]] = defaultdict(list)
        self.dead_letters: dict[int, list[Seen]] = defaultdict(list)
        """By the offset of the record that was refused."""
        self.v1_runs: list[Run] = []
        """Committed runs of jobs of scheduling.v1, whose rules are in `chaos.v1`."""
        self.v1_copies: list[Run] = []
        self.v1_events: list[Announced] = []
        self.beats: list[Beat] = []
        self.sent: dict[int, Seen] = {}
        """Events of clients, by the number of their call."""
        self._refusing = [
            (fault.begun, fault.ended + REREAD_MS)
            for fault in history.faults
            if fault.name == REFUSE_LARGE
        ]
        """The spans in which Kafka or the service may have refused large jobs."""
        self._stale = list(_stale_spans(history.faults))
        self._read(history.records)
        if self.settings.delivery == "at_least_once":
            self._put_aside()
        self.versions: dict[str, Version] = {}
        self.calls_on: dict[str, list[Call]] = defaultdict(list)
        self.sweeping: list[Call] = []
        """Calls that delete everything."""
        self.unknown_tags: set[str] = set()
        self._arrange(history.calls)

    # --- Building -----------------------------------------------------------------------------

    def _read(self, records: Iterable[Seen]) -> None:
        for record in sorted(records, key=lambda record: (record.topic, record.offset)):
            if record.topic == "jobs":
                self._read_job_record(record)
            elif not record.committed:
                continue
            elif record.topic == "resources":
                event = _announced(record)
                if event.job_id.startswith(V1_IDS):
                    self.v1_events.append(event)
                else:
                    self.events[event.job_id].append(event)
            elif record.topic == "dead_letter" and "offset" in record.headers:
                # Those without one tell of a run that Kafka refused.
                self.dead_letters[int(record.headers["offset"])].append(record)

    def _read_job_record(self, record: Seen) -> None:
        if record.key == "queuedJob":
            run = _run(record)
            if run.job_id.startswith(V1_IDS):
                (self.v1_runs if record.committed else self.v1_copies).append(run)
            else:
                (self.runs if record.committed else self.copies).append(run)
        elif record.key == "jobHeartbeat":
            self.beats.append(Beat(JobDone.FromString(record.value).id, record.at))
        elif record.key in ("jobDone", "jobFailed") and record.committed:
            failed = record.key == "jobFailed"
            instance = (JobFailed if failed else JobDone).FromString(record.value).id
            answer = Answer(instance, failed, record.at, record.offset)
            self.answers[instance].append(answer)
        elif "call" in record.headers:
            self.sent[int(record.headers["call"])] = record

    def _put_aside(self) -> None:
        """Only the first of several records of a run has to keep the promises of time and order."""
        first: dict[tuple[str, int, int], Run] = {}
        for run in self.runs:
            if first.setdefault(run.identity, run) is not run:
                self.again.append(run)
        self.runs = list(first.values())

    def _arrange(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.op in WRITES:
                self._note_versions(call)
            elif call.op == DELETE_ALL:
                self.sweeping.append(call)
        for events in self.events.values():
            self._arrange_events(events)
        for run in self.runs:
            if version := self.versions.get(run.tag):
                version.add(run)
            else:
                self.unknown_tags.add(run.tag)
        for call in calls:
            for job_id in {*call.ids, *(self.versions[ask.tag].job_id for ask in call.jobs)} - {""}:
                self.calls_on[job_id].append(call)

    def _note_versions(self, call: Call) -> None:
        for place, ask in enumerate(call.jobs):
            if ask.tag not in self.versions:  # or it is written again, as it was
                job_id = ask.id or (call.answered[place] if call.answered else "")
                self.versions[ask.tag] = Version(ask, call, job_id)

    def _arrange_events(self, events: list[Announced]) -> None:
        living: Version | None = None
        gone: Version | None = None
        for event in events:
            if event.tag:
                living = self.versions.get(event.tag)
                if living is None:
                    self.unknown_tags.add(event.tag)
                else:
                    if gone and not living.created and living.call.op in (UPDATE, UPSERT):
                        living.before = gone
                    living.created.append(event)
                    living.job_id = living.job_id or event.job_id
                gone = None
            elif living:
                living.deleted, gone, living = event, living, None

    # --- Answers to questions -----------------------------------------------------------------

    def begun(self, call: Call) -> int:
        """From when on the service may know of the call."""
        if call.via == KAFKA and call.number in self.sent:
            return self.sent[call.number].at
        return call.begun

    def may_have_happened(self, call: Call) -> bool:
        """Whether it was not refused, and for events: whether it is on the topic."""
        if call.via == KAFKA:
            sent = self.sent.get(call.number)
            return sent is not None and sent.offset not in self.dead_letters
        return call.outcome != REFUSED

    def must_have_happened(self, call: Call) -> bool:
        """Whether it was acknowledged, or lay on the topic in time and was not refused."""
        if call.via == KAFKA:
            sent = self.sent.get(call.number)
            return sent is not None and sent.at < self.complete and self.may_have_happened(call)
        return call.outcome == OK

    def may_be_refused(self, ask: Ask, begun: int, until: int | None = None) -> bool:
        """Whether Kafka or the service may have refused this job or a run of it as too large.

        It may have been refused between `begun` and `until`. Without `until`, the end is the
        latest possible run of the job.
        """
        until = max(begun, ask.due) + LATEST_RUN_MS if until is None else until
        return bool(ask.large) and any(
            begun <= end and start <= until for start, end in self._refusing
        )

    def may_be_stale(self, begin: int, end: int) -> bool:
        """Whether Redis may have shown an earlier state between two instants, after a loss."""
        return any(begin <= over and begun <= end for begun, over in self._stale)

    def enders(self, version: Version) -> Iterator[Call]:
        """Later calls that may have ended this version."""
        since = version.created[0].at if version.created else version.call.begun
        for call in (*self.calls_on[version.job_id], *self.sweeping):
            if (
                call is not version.call
                and call.op in (DELETE, DELETE_ALL, UPDATE, UPSERT)
                and all(job.tag != version.ask.tag for job in call.jobs)  # written again
                and not _is_over(call, since)
                and self.may_have_happened(call)
            ):
                yield call

    def end_begins(self, version: Version) -> int:
        """From when on the version may have been ended by a call."""
        return min((self.begun(call) for call in self.enders(version)), default=FOREVER)

    def answers_to(self, run: Run) -> list[Answer]:
        """Answers that came behind the run, in the order of the topic."""
        return [each for each in self.answers.get(run.instance, ()) if each.offset > run.offset]

    def earliest_timeout(self, run: Run, version: Version) -> int:
        """When the run may have timed out at the earliest.

        Its time begins when it is published, or up to a second before, when it is staged. No record
        shows its staging: that is after it was due, and after the attempt before it.
        """
        begun = max(run.nominal, run.at - PRECISION_MS)
        if run.attempt > 1 and (before := version.of(run.nominal, run.attempt - 1)):
            begun = max(begun, before.at)
        return max(run.at, begun + self.settings.completion_timeout - 2 * self.skew)


class Overtakers:
    """Whether a run that was due later, and not more urgent, was staged before some instant.

    Runs are staged in the order of urgency, then due time: what stands in the queue when such a
    run is staged must have been staged before it.
    """

    def __init__(self, model: Model) -> None:
        queues = range(len(RANKS) * model.settings.shards)
        self._model = model
        self._times: list[list[int]] = [[] for _ in queues]
        self._latest: list[list[int]] = [[] for _ in queues]
        first = (run for run in model.runs if run.attempt == 1 and run.tag in model.versions)
        for run in sorted(first, key=lambda run: run.at):
            queue = self._first_of(run.type) + model.versions[run.tag].rank
            latest = self._latest[queue]
            self._times[queue].append(run.at)
            latest.append(max(run.nominal, latest[-1] if latest else 0))

    def _first_of(self, type_: str) -> int:
        """The most urgent queue of the type's shard."""
        return self._model.settings.shard(type_) * len(RANKS)

    def latest(self, type_: str, rank: int, before: int) -> int:
        """The latest nominal time of a run of this rank or a lesser one, staged before."""
        found, first = 0, self._first_of(type_)
        queues = list(zip(self._times, self._latest, strict=True))
        for times, latest in queues[first + rank : first + len(RANKS)]:
            if place := bisect_right(times, before - 1):
                found = max(found, latest[place - 1])
        return found


def _stale_spans(faults: Sequence[Fault]) -> Iterator[tuple[int, int]]:
    """From each loss until it is noticed."""
    hindrances = sorted(
        (fault.begun, _over(fault)) for fault in faults if fault.name.startswith(KEEPING_FROM_KAFKA)
    )
    for loss in faults:
        if loss.name.startswith(LOSSES):
            noticed = _over(loss) + NOTICED_MS
            for begun, over in hindrances:
                if loss.begun <= over and begun <= noticed:
                    noticed = max(noticed, over + NOTICED_MS)
            yield loss.begun, noticed


def _over(fault: Fault) -> int:
    return max(fault.ended, fault.healed)


def _is_over(call: Call, since: int) -> bool:
    """Whether the call surely had its effect before; unknown ones and events come when they do."""
    return call.outcome == OK and call.via != KAFKA and (call.ended or 0) < since


def _run(record: Seen) -> Run:
    job = ScheduledJob.FromString(record.value)
    headers = record.headers
    return Run(
        tag=_tag(job.data),
        job_id=headers.get("job-id", ""),
        occurrence=headers.get("occurrence-id", ""),
        nominal=parse_instant(headers.get("nominal-time", "1970-01-01T00:00:00.000Z")),
        attempt=int(headers.get("attempt", 0)),
        instance=job.id,
        type=job.type,
        spelling=job.schedule_type,
        at=record.at,
        offset=record.offset,
        event=headers.get("event-id", ""),
        number=int(headers.get("run-number", 0)),
    )


def _announced(record: Seen) -> Announced:
    if record.key == "jobsCreated":
        job = Job.FromString(record.value)
        return Announced(job.id, _tag(job.data), record.at, record.offset)
    gone, outcome = Deleted.FromString(record.value), record.headers.get("outcome", "")
    return Announced(gone.id, "", record.at, record.offset, outcome)


def _tag(data: object) -> str:
    payload = getattr(data, "payload", ())
    return payload[0].value.decode() if payload else "?"


def parse_instant(text: str) -> int:
    """RFC 3339 with milliseconds, as epoch ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
