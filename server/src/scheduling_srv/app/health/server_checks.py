"""Facts about Redis and Kafka as findings of a diagnosis. Pure: facts in, findings out."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scheduling_srv.app.health.guarantees import (
    Found,
    KafkaFacts,
    Note,
    RedisFacts,
    Risk,
    Wanted,
    all_notes,
    all_risks,
)
from scheduling_srv.domain.finding import Finding, Severity
from scheduling_srv.domain.texts import counted

OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
"""The oldest versions that have what the scripts need."""
SLOW_MS = 5.0
"""An answer of Redis that takes longer slows every call."""
LARGEST_OFFSET_MS = 100.0
"""Milliseconds by which the clock of a server may differ."""
FULL, NEARLY_FULL = 0.98, 0.9
"""Shares of maxmemory. From the first one on, writes may be refused at any time."""
CROWDED = 0.8
"""The share of the host's memory from which a Redis without maxmemory may be killed."""
LARGE_LAG = 10_000
"""Records."""
SYNCHRONISE = "Let the hosts synchronise their clocks (NTP)."

RISKS: Mapping[str, tuple[str, Severity]] = {
    Risk.JOURNAL_NOT_KEPT: ("kafka.compaction", Severity.ERROR),
    Risk.POSITION_NOT_KEPT: ("kafka.compaction", Severity.ERROR),
    Risk.TOPIC_MISSING: ("kafka.topics", Severity.ERROR),
    Risk.REPLICATION_FACTOR: ("kafka.replication", Severity.WARNING),
    Risk.MIN_INSYNC_REPLICAS: ("kafka.replication", Severity.WARNING),
    Risk.UNCLEAN_LEADER_ELECTION: ("kafka.replication", Severity.WARNING),
    Risk.JOBS_RETENTION: ("kafka.retention", Severity.WARNING),
    Risk.REDIS_EVICTION: ("redis.eviction", Severity.ERROR),
    Risk.REDIS_NO_AOF: ("redis.persistence", Severity.WARNING),
    Note.SINGLE_BROKER: ("kafka.replication", Severity.OK),
    Note.JOB_LIMIT: ("kafka.sizes", Severity.WARNING),
    Note.REDIS_REPLICAS: ("redis.replication", Severity.OK),
}
"""Name of a risk or a note -> its check, and how bad it is."""
KAFKA_WELL = {
    "kafka.topics": "All topics exist.",
    "kafka.compaction": "Kafka keeps the journal and the positions for ever.",
    "kafka.retention": "Kafka keeps runs for longer than a worker may take to answer.",
    "kafka.replication": "Each topic has copies on several brokers.",
    "kafka.sizes": "The topics take jobs of SCHEDULING_MAX_JOB_BYTES.",
}
REDIS_WELL = {
    "redis.eviction": "Redis does not remove keys by itself.",
    "redis.persistence": "Redis keeps the schedule over a restart.",
}


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis or Valkey, as it describes itself. None: it does not tell."""

    product: str
    version: str | None
    used_bytes: int | None
    limit_bytes: int | None
    """`maxmemory`; 0: none."""
    host_bytes: int | None
    latencies_ms: Sequence[float]
    """Of some PINGs."""
    offset_ms: float
    """Its clock less that of this host."""
    uncertainty_ms: float


def redis_settings(facts: RedisFacts, wanted: Wanted) -> list[Finding]:
    """How Redis is set up."""
    nothing = KafkaFacts()
    found = [*all_risks(nothing, facts, wanted), *all_notes(nothing, facts, wanted)]
    unknown = [Finding("redis.settings", Severity.UNKNOWN, text) for text in facts.unknown]
    return [*_judged(found, wanted, {} if unknown else REDIS_WELL), *unknown]


def redis_server(server: RedisServer) -> list[Finding]:
    """Which version it is, and whether it has room and answers quickly."""
    return [_version(server), _memory(server), _latency(server), _clock(server)]


def kafka_settings(facts: KafkaFacts, wanted: Wanted) -> list[Finding]:
    """How the brokers and the topics are set up."""
    nothing = RedisFacts()
    found = [*all_risks(facts, nothing, wanted), *all_notes(facts, nothing, wanted)]
    unknown = [Finding("kafka.settings", Severity.UNKNOWN, text) for text in facts.unknown]
    return [*_judged(found, wanted, {} if unknown else KAFKA_WELL), *unknown]


def kafka_rights(lacking: Sequence[str]) -> list[Finding]:
    """`lacking`: a sentence for each right that Kafka refuses."""
    if not lacking:
        return [Finding("kafka.rights", Severity.OK, "Kafka grants all rights that are needed.")]
    remedy = "Add the ACL (docs/operations.md, Rights in Kafka)."
    return [Finding("kafka.rights", Severity.ERROR, each, remedy) for each in lacking]


def kafka_clock(newest: int | None, now: int) -> Finding:
    """`newest`: time stamp of the newest record. Kafka does not tell its clock otherwise."""
    check = "kafka.clock"
    if newest is None:
        return Finding(check, Severity.UNKNOWN, "There is no record that tells Kafka's clock.")
    ahead = newest - now
    if ahead > LARGEST_OFFSET_MS:
        sentence = (
            f"The newest record on Kafka is from {ahead / 1000:.1f} s after this host's time."
        )
        return Finding(check, Severity.WARNING, sentence, SYNCHRONISE)
    return Finding(check, Severity.OK, "No record on Kafka is from later than this host's time.")


def lag(records: int | None) -> Finding:
    """`records` that the group has not applied. None: no position is stored."""
    if records is None:
        return Finding("kafka.lag", Severity.OK, "No position is stored: nothing was read yet.")
    sentence = f"The service has {counted(records, 'record')} of its topics still to apply."
    if records > LARGE_LAG:
        remedy = "Look whether a replica consumes (docs/operations.md, Metrics)."
        return Finding("kafka.lag", Severity.WARNING, sentence, remedy)
    return Finding("kafka.lag", Severity.OK, sentence)


def _judged(found: Sequence[Found], wanted: Wanted, well: Mapping[str, str]) -> Iterator[Finding]:
    seen = set[str]()
    for each in found:
        check, severity = RISKS[each.name]
        seen.add(check)
        if each.name == Risk.TOPIC_MISSING and wanted.creates_topics:
            severity = Severity.OK
        yield Finding(check, severity, each.sentence, each.remedy)
    yield from (
        Finding(check, Severity.OK, text) for check, text in well.items() if check not in seen
    )


def _version(server: RedisServer) -> Finding:
    check, oldest = "redis.version", OLDEST[server.product]
    if server.version is None:
        return Finding(check, Severity.UNKNOWN, "Redis does not tell its version.")
    sentence = f"The server is {server.product} {server.version}."
    if version_numbers(server.version) >= oldest:
        return Finding(check, Severity.OK, sentence)
    wanted = f"{server.product} {'.'.join(map(str, oldest))}"
    return Finding(check, Severity.ERROR, sentence, f"Update it to {wanted} or later.")


def version_numbers(text: str) -> tuple[int, ...]:
    """`7.2.4-rc1` as numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("-")[0]))


def _memory(server: RedisServer) -> Finding:
    check, used = "redis.memory", server.used_bytes
    limit = server.limit_bytes or server.host_bytes
    if used is None or not limit:
        return Finding(check, Severity.UNKNOWN, "Redis does not tell its memory.")
    share, of = used / limit, "maxmemory" if server.limit_bytes else "its host's memory"
    sentence = f"Redis uses {share:.0%} of {of} ({limit / 2**30:.1f} GiB)."
    if server.limit_bytes and share >= FULL:
        return Finding(check, Severity.ERROR, sentence, "Raise maxmemory: no job is accepted soon.")
    if share >= (NEARLY_FULL if server.limit_bytes else CROWDED):
        return Finding(check, Severity.WARNING, sentence, "Give Redis more memory.")
    return Finding(check, Severity.OK, sentence)


def _latency(server: RedisServer) -> Finding:
    median = statistics.median(server.latencies_ms)
    sentence = f"Redis answers in {median:.1f} ms."
    if median > SLOW_MS:
        remedy = "Run Redis near the replicas, on a host that is less busy."
        return Finding("redis.latency", Severity.WARNING, sentence, remedy)
    return Finding("redis.latency", Severity.OK, sentence)


def _clock(server: RedisServer) -> Finding:
    offset, check = server.offset_ms, "redis.clock"
    side = "ahead of" if offset > 0 else "behind"
    sentence = f"The clock of Redis is {abs(offset) / 1000:.3f} s {side} this host's."
    if abs(offset) > LARGEST_OFFSET_MS + server.uncertainty_ms:
        return Finding(check, Severity.WARNING, sentence, SYNCHRONISE)
    return Finding(check, Severity.OK, sentence)
