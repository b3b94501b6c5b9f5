"""Settings of the servers, and the guarantees that they put at risk (docs/operations.md).

Pure: facts in, findings out. None stands for an unknown fact: the server does not tell it, or the
service may not ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from scheduling_srv.domain.texts import counted
from scheduling_srv.domain.validation import RECORD_ROOM
from scheduling_srv.formats.kafka_records import Topic

COMPACTED = frozenset({Topic.JOURNAL, Topic.POSITION})
"""Topics of the service itself: only the last record of each key counts."""
NEEDED = frozenset({Topic.JOBS, Topic.RESOURCES, Topic.JOURNAL, Topic.POSITION})
"""Topics without which no run can be published."""
JOB_TOPICS = (Topic.JOBS, Topic.RESOURCES, Topic.JOURNAL)
"""Topics that a whole job is written to."""
COMPACT = frozenset({"compact"})
FOREVER = -1
"""Kafka's value for a retention without an end."""


class Risk(StrEnum):
    """Reasons by which a guarantee is at risk. The names are stable: alerts use them."""

    JOURNAL_NOT_KEPT = "journal_not_kept"
    POSITION_NOT_KEPT = "position_not_kept"
    JOURNAL_REFILLING = "journal_refilling"
    JOURNAL_TOO_SMALL = "journal_too_small"
    TOPIC_MISSING = "topic_missing"
    REPLICATION_FACTOR = "replication_factor"
    MIN_INSYNC_REPLICAS = "min_insync_replicas"
    UNCLEAN_LEADER_ELECTION = "unclean_leader_election"
    JOBS_RETENTION = "jobs_retention"
    REDIS_EVICTION = "redis_eviction"
    REDIS_NO_AOF = "redis_no_aof"


class Note(StrEnum):
    """Notes for operators. None of them is a fault."""

    EMBEDDED = "embedded"
    SINGLE_BROKER = "single_broker"
    JOB_LIMIT = "job_limit"
    REDIS_REPLICAS = "redis_replicas"


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic. Sizes are in bytes, times in ms."""

    id: str = ""
    """Its identity; empty where the broker has none (Kafka before 2.8)."""
    partitions: int = 0
    replicas: int = 0
    """Replicas of the partition that has the fewest."""
    max_message_bytes: int | None = None
    cleanup: frozenset[str] | None = None
    retention_ms: int | None = None
    retention_bytes: int | None = None
    min_insync_replicas: int | None = None
    unclean_leader_election: bool | None = None

    @property
    def is_kept(self) -> bool | None:
        """Whether the last record of each key stays for ever."""
        if self.cleanup is None:
            return None
        ends = self.retention_ms != FOREVER or self.retention_bytes not in {None, FOREVER}
        return "compact" in self.cleanup and not ("delete" in self.cleanup and ends)


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """The cluster, and the settings of one of its brokers."""

    brokers: int = 0
    unclean_leader_election: bool | None = None
    longest_transaction_ms: int | None = None
    """None: unknown."""


@dataclass(frozen=True, slots=True)
class KafkaFacts:
    """Facts that the brokers told."""

    broker: BrokerFacts = BrokerFacts()
    topics: Mapping[Topic, TopicFacts | None] = field(default_factory=dict)
    """None: it does not exist. A topic that is not in here could not be asked about."""
    unknown: Sequence[str] = ()
    """Sentences about unknown facts, with the reason."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Facts that Redis told."""

    maxmemory: int | None = None
    maxmemory_policy: str | None = None
    appendonly: bool | None = None
    replicas: int | None = None
    unknown: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Settings of this service, in bytes and ms."""

    names: Mapping[Topic, str]
    max_job_bytes: int
    answer_ms: int
    """The completion timeout and the catch-up window: a rebuild reads that far back."""
    creates_topics: bool = True


class Found(NamedTuple):
    """A sentence for people under a name for machines."""

    name: str
    sentence: str
    remedy: str = ""
    """How to mend it, in a sentence."""

    @property
    def whole(self) -> str:
        """The sentence with its remedy."""
        return f"{self.sentence} {self.remedy}".rstrip()


def missing(facts: KafkaFacts) -> frozenset[Topic]:
    """The topics that do not exist."""
    return frozenset(topic for topic, found in facts.topics.items() if found is None)


def largest(facts: KafkaFacts, topic: Topic) -> int | None:
    """How large a batch of records the topic takes, in bytes."""
    found = facts.topics.get(topic)
    return found.max_message_bytes if found else None


def smallest_of(facts: KafkaFacts, topics: Sequence[Topic]) -> tuple[int, Topic] | None:
    """The smallest of these topics' limits, and whose it is."""
    limits = [(limit, topic) for topic in topics if (limit := largest(facts, topic)) is not None]
    return min(limits, default=None)


def risks_of(kafka: KafkaFacts, redis: RedisFacts, wanted: Wanted) -> dict[str, str]:
    """Reason -> sentence. Several topics with the same fault share a sentence."""
    found: dict[str, str] = {}
    for each in all_risks(kafka, redis, wanted):
        before = found.get(each.name)
        found[each.name] = f"{before} {each.whole}" if before else each.whole
    return found


def all_risks(kafka: KafkaFacts, redis: RedisFacts, wanted: Wanted) -> Sequence[Found]:
    """Each risk by itself."""
    return [*_topic_risks(kafka, wanted), *_redis_risks(redis)]


def all_notes(
    kafka: KafkaFacts, redis: RedisFacts, wanted: Wanted, *, embedded: bool = False
) -> Sequence[Found]:
    """Each note by itself."""
    return [*_notes(kafka, redis, wanted, embedded=embedded)]


def notes_of(
    kafka: KafkaFacts, redis: RedisFacts, wanted: Wanted, *, embedded: bool = False
) -> dict[str, str]:
    """Name -> sentence."""
    notes = all_notes(kafka, redis, wanted, embedded=embedded)
    return {each.name: each.whole for each in notes}


def _topic_risks(kafka: KafkaFacts, wanted: Wanted) -> Iterator[Found]:
    for topic, facts in sorted(kafka.topics.items()):
        name = wanted.names[topic]
        if facts is None and topic is Topic.EVENTS:
            continue  # nothing depends on it
        if facts is None:
            yield Found(Risk.TOPIC_MISSING, absence(name, creates=wanted.creates_topics))
        else:
            yield from _kept(topic, name, facts)
            yield from _copies(topic, name, facts, kafka.broker)
    if jobs := kafka.topics.get(Topic.JOBS):
        yield from _jobs_retention(wanted, jobs)


def absence(name: str, *, creates: bool) -> str:
    """The sentence about a topic that does not exist."""
    then = (
        "This service creates it if no operator does."
        if creates
        else "SCHEDULING_CREATE_TOPICS is false: an operator has to create it."
    )
    return f"The topic {name} does not exist. {then}"


def _kept(topic: Topic, name: str, facts: TopicFacts) -> Iterator[Found]:
    if topic not in COMPACTED or facts.is_kept is not False or facts.cleanup is None:
        return
    policy = ",".join(sorted(facts.cleanup))
    risk = Risk.JOURNAL_NOT_KEPT if topic is Topic.JOURNAL else Risk.POSITION_NOT_KEPT
    yield Found(
        risk,
        f"The topic {name} has cleanup.policy={policy}: Kafka deletes records that a rebuild "
        "needs.",
        "Set it to compact.",
    )


def _copies(topic: Topic, name: str, facts: TopicFacts, broker: BrokerFacts) -> Iterator[Found]:
    """Risks of losing one broker. A cluster of one broker cannot have a second copy."""
    if broker.brokers > 1 and facts.replicas == 1:
        yield Found(
            Risk.REPLICATION_FACTOR,
            f"The topic {name} has one replica on a cluster of {broker.brokers} brokers.",
            "Give it three replicas.",
        )
    elif broker.brokers > 1 and facts.min_insync_replicas == 1:
        yield Found(
            Risk.MIN_INSYNC_REPLICAS,
            f"The topic {name} has min.insync.replicas=1: the loss of one broker may lose records.",
            "Set it to 2.",
        )
    if broker.brokers > 1 and facts.unclean_leader_election:
        yield Found(
            Risk.UNCLEAN_LEADER_ELECTION,
            f"The topic {name} has unclean.leader.election.enable=true: a broker that lacks "
            "committed records may become the leader.",
            "Set it to false.",
        )
    del topic


def _jobs_retention(wanted: Wanted, facts: TopicFacts) -> Iterator[Found]:
    kept = facts.retention_ms
    deletes = facts.cleanup is None or "delete" in facts.cleanup
    if deletes and kept is not None and kept != FOREVER and kept < wanted.answer_ms:
        yield Found(
            Risk.JOBS_RETENTION,
            f"The topic {wanted.names[Topic.JOBS]} has retention.ms={kept}, which is shorter than "
            "SCHEDULING_COMPLETION_TIMEOUT and SCHEDULING_CATCH_UP_WINDOW together "
            f"({wanted.answer_ms} ms): a rebuild may emit a run again.",
            "Let Kafka keep the topic for longer.",
        )


def _redis_risks(redis: RedisFacts) -> Iterator[Found]:
    policy = redis.maxmemory_policy
    if redis.maxmemory and policy is not None and policy != "noeviction":
        yield Found(
            Risk.REDIS_EVICTION,
            f"Redis has maxmemory-policy {policy}: it may remove parts of the schedule.",
            "Set maxmemory-policy to noeviction.",
        )
    if redis.appendonly is False:
        yield Found(
            Risk.REDIS_NO_AOF,
            "Redis has appendonly off: after a restart the schedule is rebuilt from Kafka.",
            "Set appendonly to yes.",
        )


def _notes(
    kafka: KafkaFacts, redis: RedisFacts, wanted: Wanted, *, embedded: bool
) -> Iterator[Found]:
    if embedded:
        yield Found(
            Note.EMBEDDED, "The embedded servers are for trying out: no guarantee holds there."
        )
    elif kafka.broker.brokers == 1:
        yield Found(Note.SINGLE_BROKER, "Kafka has one broker: its disk is the only copy.")
    if smallest := smallest_of(kafka, JOB_TOPICS):
        limit, topic = smallest
        if limit < wanted.max_job_bytes + RECORD_ROOM:
            yield Found(
                Note.JOB_LIMIT,
                f"SCHEDULING_MAX_JOB_BYTES is {wanted.max_job_bytes}, but the topic "
                f"{wanted.names[topic]} takes max.message.bytes={limit}: larger jobs are refused.",
                "Raise max.message.bytes of the topic, or lower the setting.",
            )
    if redis.replicas:
        yield Found(
            Note.REDIS_REPLICAS,
            f"Redis has {counted(redis.replicas, 'replica')}. A failover may lose the last writes:"
            " the schedule is rebuilt from Kafka then.",
        )
