"""Every metric of this product, served at `/metrics`. Times are in seconds."""

from prometheus_client import (
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

# When a counter was made is not worth a third of the page.
disable_created_metrics()  # type: ignore[no-untyped-call]

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

JOBS_ACCEPTED = Counter(
    "scheduling_jobs_accepted",
    "Jobs that this replica created or replaced, whichever way they came.",
)
RUNS_EMITTED = Counter(
    "scheduling_runs_emitted",
    "Runs (queuedJob) that this replica published, retries included.",
)
ANSWERS = Counter(
    "scheduling_answers",
    "Answers of consumers that this replica read: done or failed.",
    ["outcome"],
)
RUNS_ENDED = Counter(
    "scheduling_runs_ended",
    "Runs that have ended for good: done, failed or timed-out after the last attempt.",
    ["outcome"],
)
for _outcome in ("done", "failed", "timed-out"):
    RUNS_ENDED.labels(outcome=_outcome)
RUNS_EXPIRED = Counter(
    "scheduling_runs_expired",
    "Runs that counted as failed because no answer came within the completion timeout.",
)
RETRIES_GIVEN_UP = Counter(
    "scheduling_retries_given_up",
    "Failed runs that are not retried because too many retries of their job wait.",
)
UNPLANNABLE = Gauge(
    "scheduling_unplannable_jobs",
    "Cron jobs that are set aside because this version cannot compute their next time.",
)
DEAD_LETTERS = Counter(
    "scheduling_dead_letters",
    "Consumed records that could not be applied, by the status that gRPC would have answered.",
    ["reason"],
)
UNKNOWN_EVENTS = Counter(
    "scheduling_unknown_events",
    "Consumed records that are skipped, as no event has their key.",
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
    " deletion, tombstone, retry, parcel, list or journal (a job that lives, written again).",
    ["kind"],
)
LATENESS = Histogram(
    "scheduling_lateness_seconds",
    "Punctuality: from the instant that a run was due to its publication.",
    buckets=(*_FAST, 30.0, 60.0, 300.0, 3600.0),
)
OUTBOX = Gauge(
    "scheduling_outbox_entries",
    "Announcements that wait in Redis to be published; grows while Kafka is away.",
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
    "Shards that this replica owns, emitting their runs; 0 while it stands by.",
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
    "How long the oldest due run that may start has waited, over all shards.",
)
RECOVERIES = Counter(
    "scheduling_recoveries",
    "Times that this replica took over the shard: from Redis as usual, or rebuilt from Kafka.",
    ["how"],
)
GUARANTEE_AT_RISK = Gauge(
    "scheduling_guarantee_at_risk",
    "1 while a server is set up so that a guarantee does not hold, by reason.",
    ["reason"],
)
DEAD_LETTERS_DROPPED = Counter(
    "scheduling_dead_letters_dropped",
    "Dead letters that were not written, because their topic does not exist.",
)
CONSUMER_LAG = Gauge(
    "scheduling_consumer_lag_records",
    "Records of a partition that this replica has not applied yet.",
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


class Part:
    """The part of one shard in a gauge of all shards."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.value = 0

    def set(self, value: int) -> None:
        """Instead of what it was."""
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
