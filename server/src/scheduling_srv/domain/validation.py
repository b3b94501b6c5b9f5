"""Checks the requests of clients. The sentences of its errors are part of docs/contract.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from scheduling_client.schedules.cron import Cron, looks_like_cron
from scheduling_client.schedules.cron_gaps import smallest_gap_ms
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.interval import parse_interval
from scheduling_client.schedules.when import check_not_elapsed, is_relative, parse_when
from scheduling_client.schedules.zone import zone
from scheduling_srv.domain.backoff import BackoffType
from scheduling_srv.domain.errors import FailedPrecondition, InvalidRequest, TooLarge, Violation
from scheduling_srv.domain.job import RANKS, JobRequest, Trigger, TriggerKind
from scheduling_srv.domain.stored_format import StoredFormat

MAX_TEXT = 4096
"""Bytes that an id, a type, a creator, an interval or a `when` text may have."""

TEXTS = ("id", "type", "data.creator", "interval", "when")
BACKOFFS = frozenset(BackoffType)
ONCE = TriggerKind.ONCE
"""Looked up once: a member of an enum takes Python 3.11 70 ns."""

NO_SCHEDULE = "No schedule specified for job. Set one of interval, when and now."
MAX_DELAY_MS = 100.0 * 365 * 86_400_000
"""The longest backoff delay, in ms: a hundred years."""


_MAX_ITEMS = "The setting is SCHEDULING_MAX_ITEMS."
RECORD_ROOM = 2_000
"""Bytes that a record needs beside its job and the job's id: headers, and the frame of a batch."""
ID_COPIES = 8
"""How often a record may hold the id of its job: in headers, in the value, escaped in JSON."""
NO_LIMIT = 1 << 62


@dataclass(slots=True)
class TopicLimit:
    """Kafka's limit. It may change while the service runs, so all copies of rules share it."""

    largest: int = NO_LIMIT
    """Bytes of the largest batch of records."""
    topic: str = ""
    """The topic with that limit."""
    sure: int = NO_LIMIT
    """A job of at most so many bytes fits with any id."""

    def set(self, largest: int | None, topic: str) -> None:
        """Another limit; None: it is not known."""
        self.largest, self.topic = NO_LIMIT if largest is None else largest, topic
        self.sure = self.largest - RECORD_ROOM - ID_COPIES * MAX_TEXT

    def check(self, size: int, job_id: str) -> None:
        """Raise `FailedPrecondition` for a job of `size` bytes that the topic does not take."""
        needed = size + RECORD_ROOM + ID_COPIES * len(job_id.encode())
        if needed > self.largest:
            sentence = (
                f"Job is too large for the topic {self.topic}: it needs {needed} bytes, and "
                f"max.message.bytes is {self.largest}. SCHEDULING_MAX_JOB_BYTES allows more."
            )
            raise FailedPrecondition(sentence, [Violation("data", sentence)])


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits that the operator sets: see docs/settings.md for the settings of these names."""

    min_interval: int = 100
    """The shortest interval, in ms."""
    max_items: int = 10_000
    """How many jobs or ids one request may hold."""
    max_job_bytes: int = 900_000
    """How large a job may be."""
    kafka: TopicLimit = field(default_factory=TopicLimit)
    """How large one may be to fit into a record on Kafka."""
    stored: StoredFormat = field(default_factory=StoredFormat)
    """The format in which it is stored. It may grow, so all copies of rules share it."""


DEFAULTS = Rules()
"""The defaults of the settings of the same names."""


def check_fields(request: JobRequest) -> None:
    """All of a job but its schedule. Raises `InvalidRequest`."""
    _check_texts(request)
    _check_numbers(request)


def find_trigger(request: JobRequest, now: int, rules: Rules, *, is_new: bool = True) -> Trigger:
    """When the job runs: `interval`, else `when`, else `now` (docs/contract.md).

    An absolute `when` in the past is refused only if the job `is_new`: the store knows whether a
    job that is replaced was due then before.
    """
    field = "data.timezone"
    try:
        place = zone(request.timezone)
        if request.interval:
            field = "interval"
            return _recurring(request.interval, now, place, rules)
        if request.when:
            field = "when"
            due = parse_when(request.when, now, place)
            if is_new or is_relative(request.when):
                check_not_elapsed(due, now, place, request.when)
            return Trigger(ONCE, due)
    except (InvalidRequest, ScheduleError) as fault:
        sentence = str(fault)
        raise InvalidRequest(sentence, [Violation(field, sentence)]) from fault
    if request.now:
        return Trigger(TriggerKind.NOW, now)
    raise InvalidRequest(NO_SCHEDULE, [Violation("interval", NO_SCHEDULE)])


def _recurring(interval: str, now: int, place: ZoneInfo, rules: Rules) -> Trigger:
    if looks_like_cron(interval):
        cron = Cron.parse(interval)
        gap = smallest_gap_ms(cron, rules.min_interval)
        if gap < rules.min_interval:
            raise InvalidRequest(
                f"The shortest interval is {rules.min_interval} ms. The cron expression is due"
                f" every {gap} ms at its shortest. The setting is SCHEDULING_MIN_INTERVAL."
            )
        return Trigger(TriggerKind.CRON, cron.next_after(now, place), cron.fingerprint)
    period = parse_interval(interval)
    if period < rules.min_interval:
        raise InvalidRequest(
            f"The shortest interval is {rules.min_interval} ms. The setting is"
            " SCHEDULING_MIN_INTERVAL."
        )
    return Trigger(TriggerKind.INTERVAL, now + period, period)


def too_many(count: int | str, what: str, limit: int) -> str:
    """The sentence for a list of more items or ids than the operator allows."""
    return f"The list has {count} {what}; the limit is {limit}. {_MAX_ITEMS}"


def too_large(limit: int) -> str:
    """The sentence for a job of more bytes than the operator allows."""
    return f"Job is larger than {limit} bytes. The setting is SCHEDULING_MAX_JOB_BYTES."


def check_ids(ids: Sequence[str], rules: Rules) -> None:
    """The ids of a delete or read request. Raises `TooLarge`."""
    if len(ids) > rules.max_items:
        msg = too_many(len(ids), "ids", rules.max_items)
        raise TooLarge(msg, [Violation("ids", msg)])


def _check_texts(request: JobRequest) -> None:
    if not request.type:
        _fail("type", "Job type not specified.")
    if request.data is None:
        _fail("data", "No job data specified.")
    job_id, creator, interval, when = request.id, request.creator, request.interval, request.when
    size = len(job_id) + len(request.type) + len(creator) + len(interval) + len(when)
    if size > MAX_TEXT // 4:  # a character has at most four bytes
        texts = (job_id, request.type, creator, interval, when)
        for field, text in zip(TEXTS, texts, strict=True):
            if len(text) > MAX_TEXT or len(text.encode()) > MAX_TEXT:
                _fail(field, f"The text is longer than {MAX_TEXT} bytes.")
    if not job_id.isprintable():
        _fail("id", "A job id has only printable characters.")
    if len(request.rest) > 0xFFFF:
        _fail("", "Job has too many unknown fields.")


def _check_numbers(request: JobRequest) -> None:
    if request.priority not in RANKS:
        _fail("priority", "The priority is none of LOW, NORMAL, MEDIUM, HIGH and CRITICAL.")
    if request.backoff_type not in BACKOFFS:
        _fail("backoff.type", "The backoff type is neither FIXED nor EXPONENTIAL.")
    if not 0 <= request.backoff_delay <= MAX_DELAY_MS:  # nor is NaN
        _fail("backoff.delay", "The backoff delay is a number of milliseconds, not negative.")


def _fail(field: str, sentence: str) -> None:
    raise InvalidRequest(sentence, [Violation(field, sentence)])
