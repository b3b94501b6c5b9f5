"""Every metric of this product, served at `/metrics`. Times are in seconds.

The help of each is its row in docs/metrics.md, which `make docs` writes. Label sets that are known
exist from the start: an alert on an increase misses the increase that a counter appears with.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scheduling_srv import __version__

# When a counter was made is not worth a third of the page.
disable_created_metrics()  # type: ignore[no-untyped-call]

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

OTHER = "other"
"""The label of types of jobs that the settings do not name."""
TYPE = "type"

JOBS_ACCEPTED = Counter(
    "scheduling_jobs_accepted",
    "Jobs that this replica created or replaced, whichever way they came, by type.",
    [TYPE],
)
RUNS_EMITTED = Counter(
    "scheduling_runs_emitted",
    "Runs (queuedJob) that this replica published, retries included, by type.",
    [TYPE],
)
ANSWERS = Counter(
    "scheduling_answers",
    "Answers of consumers that this replica read: done or failed.",
    ["outcome"],
)
HEARTBEATS = Counter(
    "scheduling_heartbeats",
    "Heartbeats (jobHeartbeat) of workers that this replica read.",
)
ANSWERS_IGNORED = Counter(
    "scheduling_answers_ignored",
    "Answers that changed nothing: their run was answered or expired already, or another service"
    " emitted it.",
)
RUNS_ENDED = Counter(
    "scheduling_runs_ended",
    "Runs that have ended for good, by type and outcome: done, failed or timed-out after the last"
    " attempt. An increase of failed or timed-out is an alarm.",
    ["outcome", TYPE],
)
RUNS_EXPIRED = Counter(
    "scheduling_runs_expired",
    "Runs that counted as failed because no answer came within the completion timeout: a worker is"
    " missing.",
)
RETRIES_GIVEN_UP = Counter(
    "scheduling_retries_given_up",
    "Failed runs that are not retried because SCHEDULING_WAITING_RETRIES retries of their job wait"
    " already.",
)
UNPLANNABLE = Gauge(
    "scheduling_unplannable_jobs",
    "Cron jobs that an older version accepted and this one cannot plan. They do not run; each start"
    " tries them again.",
)
DEAD_LETTERS = Counter(
    "scheduling_dead_letters",
    "Consumed records that could not be applied, by the status that gRPC would have answered: a"
    " client sends records that cannot be applied.",
    ["reason"],
)
UNKNOWN_EVENTS = Counter(
    "scheduling_unknown_events",
    "Consumed records that are skipped, as no event has their key, by topic. The log names each key"
    " once an hour: look for misspelled ones.",
    ["topic"],
)
IGNORED_TRIGGERS = Counter(
    "scheduling_ignored_triggers",
    "Accepted jobs with more than one of interval, when and now, by a field that was ignored.",
    ["transport", "field"],
)
for _transport in ("grpc", "kafka"):
    for _field in ("when", "now"):
        IGNORED_TRIGGERS.labels(transport=_transport, field=_field)
RECORDS_REFUSED = Counter(
    "scheduling_records_refused",
    "Records that Kafka refuses for good and that were set aside: job, run, dead_letter, response,"
    " deletion, tombstone, retry, parcel (a change for another shard), list, count, pause or"
    " journal (a job that lives, written again). Compare SCHEDULING_MAX_JOB_BYTES with the topics'"
    " max.message.bytes.",
    ["kind"],
)
CALLS_REFUSED = Counter(
    "scheduling_calls_refused",
    "Calls that the doors refused: unauthenticated (no valid credentials), forbidden (no right) or"
    " quota. An increase of the first two may be an attack, or a token that has expired.",
    ["reason"],
)
for _reason in ("unauthenticated", "forbidden", "quota"):
    CALLS_REFUSED.labels(reason=_reason)
AUDIT_LINES_LOST = Counter(
    "scheduling_audit_lines_lost",
    "Lines of the audit log that could not be written.",
)
LATENESS = Histogram(
    "scheduling_lateness_seconds",
    "Punctuality: from the instant that a run was due to its publication; the first and the last"
    " run of each batch, without retries.",
    buckets=(*_FAST, 30.0, 60.0, 300.0, 3600.0),
)
OUTBOX = Gauge(
    "scheduling_outbox_entries",
    "Announcements that wait in Redis to be published, as the owner sees them. Growing means that"
    " Kafka is slow or away.",
)
TRANSACTIONS = Counter(
    "scheduling_transactions",
    "Kafka transactions of this replica: committed or failed.",
    ["outcome"],
)
TRANSACTION_SECONDS = Histogram(
    "scheduling_transaction_seconds",
    "How long Kafka takes for a transaction, from its begin to its commit.",
    buckets=_FAST,
)
OWNER = Gauge(
    "scheduling_owner",
    "Shards that this replica owns, emitting their runs; 0 while it stands by. The sum over all"
    " replicas is SCHEDULING_SHARDS; less for longer than a lease is an alarm.",
)
SERVING = Gauge(
    "scheduling_serving",
    "1 while this replica reports SERVING, 0 while it does not.",
)
DEGRADED = Gauge(
    "scheduling_degraded",
    "1 while a backlog drains: SERVING, but the oldest due run has waited for more than 5 s.",
)
OLDEST_DUE = Gauge(
    "scheduling_oldest_due_seconds",
    "How long the oldest due run that may start has waited, over all shards. Growing means that"
    " runs are not emitted.",
)
RECOVERIES = Counter(
    "scheduling_recoveries",
    "Times that this replica took over a shard: from redis as usual, or rebuilt from Kafka because"
    " Redis had lost something.",
    ["how"],
)
GUARANTEE_AT_RISK = Gauge(
    "scheduling_guarantee_at_risk",
    "1 while a server is set up so that a guarantee does not hold, by reason (operations,"
    " Guarantees at risk).",
    ["reason"],
)
DEAD_LETTERS_DROPPED = Counter(
    "scheduling_dead_letters_dropped",
    "Dead letters that were not written, because their topic does not exist.",
)
CONSUMER_LAG = Gauge(
    "scheduling_consumer_lag_records",
    "Records of a partition that this replica has not applied yet. Growing means that events and"
    " answers arrive faster than they are applied, or not at all.",
    ["topic", "partition"],
)
CALLS = Counter(
    "scheduling_grpc_calls",
    "gRPC calls that ended, by method and canonical code.",
    ["method", "code"],
)
CALL_SECONDS = Histogram(
    "scheduling_grpc_call_seconds",
    "How long gRPC calls took, waiting for the announcement on Kafka included.",
    ["method"],
    buckets=_FAST,
)
GRPC_CONNECTIONS = Gauge(
    "scheduling_grpc_connections",
    "Open gRPC connections. At 2,000 the service refuses further clients.",
)
BUILD = Gauge(
    "scheduling_build_info",
    "1; the labels say which version runs, and on which Python.",
    ["version", "python"],
)


# --- Types of jobs --------------------------------------------------------------------------------


class ByType:
    """A counter by type of job. Its children are made once: a type costs one lookup in a dict."""

    def __init__(self, counter: Counter, **labels: str) -> None:
        self._counter = counter
        self._labels = labels
        self._children: dict[bytes, Counter] = {}
        self._other = counter.labels(**labels, type=OTHER)

    def allow(self, types: Iterable[str]) -> None:
        """Give these types a label of their own."""
        self._children = {
            name.encode(): self._counter.labels(**self._labels, type=name) for name in types
        }

    def count(self, amount: int, types: Callable[[], Iterable[bytes]]) -> None:
        """Count `amount`; calls `types` only if a type has a label."""
        if not self._children:
            self._other.inc(amount)
            return
        for name, number in Tally(types()).items():
            self.of(name).inc(number)

    def of(self, type_: bytes) -> Counter:
        """The counter of this type."""
        return self._children.get(type_, self._other)


ACCEPTED = ByType(JOBS_ACCEPTED)
EMITTED = ByType(RUNS_EMITTED)
ENDED = {
    outcome: ByType(RUNS_ENDED, outcome=outcome) for outcome in ("done", "failed", "timed-out")
}


def allow_types(types: Sequence[str]) -> None:
    """Give these types of jobs labels of their own (SCHEDULING_METRICS_TYPES)."""
    for counter in (ACCEPTED, EMITTED, *ENDED.values()):
        counter.allow(types)
    STORE.types = tuple(types)


# --- Figures of Redis -----------------------------------------------------------------------------


class StoreMetrics(Collector):
    """Figures of Redis. Unknown figures are left out: an old value would be wrong."""

    HELP: Mapping[str, str] = {
        "scheduling_jobs": "Jobs that Redis holds, over all shards; those that wait for an answer"
        " are among them.",
        "scheduling_jobs_waiting": "Jobs and retries that wait for their time, or are due and have"
        " not started yet.",
        "scheduling_retries_waiting": "Failed runs that wait for their next attempt.",
        "scheduling_runs_held": "Due runs that `parallel` holds back. Growing means that workers"
        " are too slow or do not answer.",
        "scheduling_runs_unanswered": "Emitted runs that no consumer has answered yet, by type."
        " Growing means that workers are missing.",
    }
    """Every metric of this kind. Each replica shows the same; take the maximum, not the sum."""
    LABELS: Mapping[str, Sequence[str]] = {"scheduling_runs_unanswered": (TYPE,)}

    def __init__(self) -> None:
        self.types: Sequence[str] = ()
        """Types that have their own label."""
        self.figures: Mapping[str, float] = {}
        """By name, without those that have a label."""
        self.unanswered: Mapping[str, float] = {}
        """By type, `OTHER` included."""

    def forget(self) -> None:
        """Drop the figures: Redis does not answer."""
        self.figures, self.unanswered = {}, {}

    def collect(self) -> Iterator[Metric]:
        """The figures that are known."""
        for family in self.describe():
            if family.name in self.LABELS:
                for type_, value in self.unanswered.items():
                    family.add_metric([type_], value)
            elif family.name in self.figures:
                family.add_metric([], self.figures[family.name])
            if family.samples:
                yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """All of them, without values."""
        for name, sentence in self.HELP.items():
            yield GaugeMetricFamily(name, sentence, labels=self.LABELS.get(name, ()))


STORE = StoreMetrics()
REGISTRY.register(STORE)


# --- Label sets that are known --------------------------------------------------------------------

METHODS = ("Create", "Read", "Update", "Upsert", "Delete", "Command")
STATUSES = (
    "INVALID_ARGUMENT",
    "ALREADY_EXISTS",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "INTERNAL",
)
"""Answers to a request that is at fault, or that meets a fault of the service."""
KINDS = (
    *("job", "run", "dead_letter", "response", "deletion"),
    *("tombstone", "retry", "parcel", "list", "count", "pause", "journal"),
    *("note", "replay", "event", "backfill"),
)

BUILD.labels(version=__version__, python=platform.python_version()).set(1)
for _outcome in ("done", "failed"):
    ANSWERS.labels(outcome=_outcome)
for _outcome in ("committed", "failed"):
    TRANSACTIONS.labels(outcome=_outcome)
for _how in ("redis", "rebuilt"):
    RECOVERIES.labels(how=_how)
for _status in STATUSES:
    DEAD_LETTERS.labels(reason=_status)
for _kind in KINDS:
    RECORDS_REFUSED.labels(kind=_kind)
for _method in METHODS:
    CALL_SECONDS.labels(method=_method)
    for _code in ("OK", "UNAVAILABLE", *STATUSES):
        CALLS.labels(method=_method, code=_code)


class Part:
    """The part of one shard in a gauge of all shards."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.value = 0

    def set(self, value: int) -> None:
        """Replace the value of this part."""
        self.gauge.inc(value - self.value)
        self.value = value


_owned: set[int] = set()


def note_owner(shard: int, *, emits: bool) -> None:
    """Count a shard in or out."""
    (_owned.add if emits else _owned.discard)(shard)
    OWNER.set(len(_owned))


def exposition() -> bytes:
    """All of them, and those of Python and the process, in the text format of Prometheus."""
    return generate_latest()
