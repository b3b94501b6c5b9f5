"""Jobs and runs as programs see them. Times are aware, in UTC."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple, TypedDict

from scheduling_client.api.triggers import Schedule

PAYLOAD_URL = "payload"
"""The type of a payload that is given as bytes or JSON."""


class Priority(Enum):
    """The order among runs that are due at once."""

    LOW = 1
    NORMAL = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class Overlap(Enum):
    """What a due run does while an earlier run of the same job is open."""

    ALLOW = 1
    SKIP = 2
    ONE = 3


class Backoff(Enum):
    """How the delay before a retry grows."""

    FIXED = 1
    EXPONENTIAL = 2


class MissedRuns(Enum):
    """What becomes of runs that were missed before the window."""

    LATEST = 1
    SKIP = 2


class JobState(Enum):
    """How a job stands."""

    UNKNOWN = 0
    PAUSED = 1
    RUNNING = 2
    HELD = 3
    RETRYING = 4
    WAITING = 5


class Order(Enum):
    """The order of a list of jobs."""

    CREATED = 1
    """By creation, the oldest first. An updated job moves to the end."""
    NEWEST = 2
    """By creation, the newest first."""
    NEXT_DUE = 3
    """By the next due time. A job that runs meanwhile may be shown again."""


class Payload(NamedTuple):
    """Data for the worker. The service passes it on untouched."""

    value: bytes
    type_url: str = PAYLOAD_URL

    @classmethod
    def of_json(cls, content: object) -> Payload:
        """JSON in UTF-8."""
        return cls(json.dumps(content, ensure_ascii=False).encode())


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What becomes of a failed run."""

    attempts: int = 0
    """In all; 0 means 1."""
    delay: timedelta | None = None
    backoff: Backoff = Backoff.FIXED
    max_delay: timedelta | None = None
    random_share: float = 0.0
    """By which share, 0 to 1, a delay may be shorter."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What becomes of runs that were missed in an outage."""

    window: timedelta | None = None
    """How far back all runs are made up for; None: without a limit but 10,000 runs."""
    older: MissedRuns | None = None
    """Of the runs before the window; None: the setting of the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The definition of a job: the properties that clients set."""

    type: str
    """Tells workers which work to do."""
    schedule: Schedule | None
    """None: a kind that this version does not know."""
    id: str = ""
    """Unique; empty: one is made."""
    creator: str = ""
    payload: tuple[Payload, ...] = ()
    priority: Priority = Priority.NORMAL
    parallel: int = 0
    """A run starts only while fewer runs of its type are unanswered; 0: no limit."""
    timezone: str = ""
    """IANA name; empty: that of the schedule, else UTC."""
    start_time: datetime | None = None
    end_time: datetime | None = None
    max_runs: int = 0
    start_deadline: timedelta | None = None
    jitter: timedelta | None = None
    retry: RetryPolicy = RetryPolicy()
    overlap: Overlap = Overlap.ALLOW
    missed: Missed | None = None
    completion_timeout: timedelta | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    unique_key: str = ""


class Properties(TypedDict, total=False):
    """The properties that `create` takes by name; see `JobSpec`."""

    id: str
    creator: str
    priority: Priority
    parallel: int
    timezone: str
    start_time: datetime | None
    end_time: datetime | None
    max_runs: int
    start_deadline: timedelta | None
    jitter: timedelta | None
    retry: RetryPolicy
    overlap: Overlap
    missed: Missed | None
    completion_timeout: timedelta | None
    labels: Mapping[str, str]
    unique_key: str


class Changes(Properties, total=False):
    """The properties that `update` takes by name; see `JobSpec`."""

    type: str
    schedule: Schedule
    payload: tuple[Payload, ...]


class Pause(NamedTuple):
    """Since when, why and by whom something is paused."""

    since: datetime | None
    note: str
    by: str


class Counters(NamedTuple):
    """What the runs of a recurring job came to."""

    emitted: int = 0
    done: int = 0
    failed: int = 0
    timed_out: int = 0
    missed: int = 0
    skipped: int = 0
    counted: int = 0
    """Emitted runs that count for `max_runs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the service has it: its definition, and how it stands."""

    spec: JobSpec
    words: str = ""
    """The schedule in words."""
    state: JobState = JobState.UNKNOWN
    next_times: Sequence[datetime] = ()
    create_time: datetime | None = None
    update_time: datetime | None = None
    revision: int = 0
    """Counts the definitions, from 1; 0: the service does not know it."""
    pause: Pause | None = None
    type_pause: Pause | None = None
    counters: Counters | None = None
    last_run: Run | None = None
    open_runs: Sequence[Run] = ()
    existing: bool = False
    """Of a created job: its unique key found this one, and nothing was changed."""

    @property
    def id(self) -> str:
        """The id."""
        return self.spec.id

    @property
    def type(self) -> str:
        """The type."""
        return self.spec.type


class RunState(Enum):
    """How a run stands. It is open in all states but ENDED."""

    UNKNOWN = 0
    HELD = 1
    RUNNING = 2
    RETRYING = 3
    ENDED = 4


class Origin(Enum):
    """Why a run exists."""

    UNKNOWN = 0
    SCHEDULE = 1
    MANUAL = 2
    BACKFILL = 3


class HeldBy(Enum):
    """What holds a run that is due."""

    NOTHING = 0
    PARALLEL = 1
    OVERLAP = 2
    PAUSE = 3
    TYPE_PAUSE = 4


class Outcome(Enum):
    """The final outcome of a run."""

    UNKNOWN = 0
    DONE = 1
    FAILED = 2
    TIMED_OUT = 3
    CANCELLED = 4
    SKIPPED = 5
    MISSED = 6
    REFUSED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One due time of a job."""

    run_id: str
    job_id: str
    type: str = ""
    nominal_time: datetime | None = None
    origin: Origin = Origin.UNKNOWN
    state: RunState = RunState.UNKNOWN
    held_by: HeldBy = HeldBy.NOTHING
    attempts: int = 0
    max_attempts: int = 0
    instance_id: int = 0
    """By which a worker answers the last attempt; 0: none was emitted."""
    start_time: datetime | None = None
    end_time: datetime | None = None
    retry_time: datetime | None = None
    deadline: datetime | None = None
    outcome: Outcome = Outcome.UNKNOWN
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs. All conditions that are set apply; none: all runs."""

    job_id: str = ""
    type: str = ""
    states: Sequence[RunState] = ()
    outcomes: Sequence[Outcome] = ()
    origins: Sequence[Origin] = ()
    since: datetime | None = None
    """With a nominal time not before it."""
    until: datetime | None = None
    """With a nominal time before it."""
    error: str = ""
    """With exactly this error."""


class FailureGroup(NamedTuple):
    """Runs of a type that have failed with the same error."""

    type: str
    error: str
    number: int
    """How many there are."""
    last_time: datetime | None
    """When the last one ended."""
    last_run_id: str
    last_job_id: str


class RunRefusal(NamedTuple):
    """Why a run cannot be tried again."""

    run_id: str
    reason: str
    """A stable reason, as errors have it."""
    message: str


class Retried(NamedTuple):
    """What a call of `retry_runs` came to."""

    matched: int
    changed: int
    """Runs that are tried again, or would be with `dry_run`."""
    refusals: Sequence[RunRefusal]


class UpcomingRun(NamedTuple):
    """A run that will be due, or all those of a job up to an instant."""

    job_id: str
    type: str
    time: datetime | None
    """The first nominal time."""
    number: int
    """How many runs of the job there are, up to 10,000."""
    words: str
    """The schedule in words, of a recurring job."""


class Upcoming(NamedTuple):
    """The runs that are due until an instant, by time."""

    runs: Sequence[UpcomingRun]
    more: bool
    """Whether there is more before the instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs. All conditions that are set apply; none: all jobs."""

    type: str = ""
    creator: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    id_prefix: str = ""
    states: Sequence[JobState] = ()
    due_from: datetime | None = None
    due_until: datetime | None = None


class Backfill(NamedTuple):
    """The runs of a backfill."""

    runs: int
    first_run_id: str
    """Empty: there are none."""
    last_run_id: str


class Started(NamedTuple):
    """What a call that runs jobs came to."""

    matched: int
    """Jobs that matched."""
    changed: int
    """Jobs that got a run, or would get one."""
    runs: Sequence[Run]
    """The new runs. Each gets its instance id when it is emitted."""


class Progress(NamedTuple):
    """What a bulk call came to."""

    matched: int
    """Jobs that matched."""
    changed: int
    """Jobs that were changed, or would be with `dry_run`."""


class PreviewTime(NamedTuple):
    """One of the next times of a schedule."""

    time: datetime
    local_time: str
    """RFC 3339 with the offset of the job's time zone."""
    remark: str
    """A sentence if the clock changes there."""


class Preview(NamedTuple):
    """The next times of a schedule."""

    words: str
    timezone: str
    times: Sequence[PreviewTime]
