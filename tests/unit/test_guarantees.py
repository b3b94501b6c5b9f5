"""Which settings of servers put a guarantee at risk."""

from dataclasses import replace
from typing import Any

import pytest

from scheduling_srv.app.health.guarantees import (
    BrokerFacts,
    KafkaFacts,
    RedisFacts,
    TopicFacts,
    Wanted,
    missing,
    notes_of,
    risks_of,
)
from scheduling_srv.formats.kafka_records import Topic

DAY = 86_400_000
GOOD = TopicFacts(
    id="x",
    partitions=1,
    replicas=3,
    max_message_bytes=1_048_588,
    cleanup=frozenset({"compact"}),
    retention_ms=7 * DAY,
    retention_bytes=-1,
    min_insync_replicas=2,
    unclean_leader_election=False,
)
LOG = replace(GOOD, cleanup=frozenset({"delete"}))
WANTED = Wanted({topic: f"the-{topic}" for topic in Topic}, 900_000, 3_660_000)
REDIS = RedisFacts(10**9, "noeviction", appendonly=True, replicas=0)


def kafka(brokers: int = 3, **topics: TopicFacts | None) -> KafkaFacts:
    found: dict[Topic, TopicFacts | None] = dict.fromkeys(Topic, LOG)
    found |= {Topic.JOURNAL: GOOD, Topic.POSITION: GOOD}
    found |= {Topic(name): facts for name, facts in topics.items()}
    return KafkaFacts(BrokerFacts(brokers), found)


def risks(facts: KafkaFacts | None = None, redis: RedisFacts = REDIS) -> list[str]:
    return sorted(risks_of(facts or kafka(), redis, WANTED))


def of(facts: TopicFacts, **changes: Any) -> TopicFacts:
    return replace(facts, **changes)


def test_all_is_well() -> None:
    assert risks() == []
    assert notes_of(kafka(), REDIS, WANTED) == {}


@pytest.mark.parametrize(
    ("topics", "reason"),
    [
        ({"journal": LOG}, "journal_not_kept"),
        ({"journal": of(GOOD, cleanup=frozenset({"compact", "delete"}))}, "journal_not_kept"),
        ({"position": LOG}, "position_not_kept"),
        ({"jobs": None}, "topic_missing"),
        ({"dead_letter": None}, "topic_missing"),
        ({"commands": of(LOG, replicas=1)}, "replication_factor"),
        ({"jobs": of(LOG, min_insync_replicas=1)}, "min_insync_replicas"),
        ({"journal": of(GOOD, unclean_leader_election=True)}, "unclean_leader_election"),
        ({"jobs": of(LOG, retention_ms=3_600_000)}, "jobs_retention"),
    ],
)
def test_a_topic_puts_a_guarantee_at_risk(topics: dict[str, Any], reason: str) -> None:
    assert risks(kafka(**topics)) == [reason]


@pytest.mark.parametrize(
    "topics",
    [
        {"journal": of(GOOD, cleanup=frozenset({"compact", "delete"}), retention_ms=-1)},
        {"journal": of(GOOD, cleanup=None, retention_ms=1)},
        {"jobs": of(LOG, retention_ms=-1)},
        {"jobs": of(LOG, retention_ms=3_660_000)},
        {"jobs": of(GOOD, retention_ms=1)},
        {"jobs": TopicFacts()},
        {"events": None},
    ],
)
def test_what_is_kept_or_unknown_is_no_risk(topics: dict[str, Any]) -> None:
    assert risks(kafka(**topics)) == []


def test_a_single_broker_is_information() -> None:
    one = dict.fromkeys(map(str, Topic), of(LOG, replicas=1, min_insync_replicas=1))
    one |= dict.fromkeys(("journal", "position"), of(GOOD, replicas=1, min_insync_replicas=1))
    facts = kafka(1, **one)
    assert risks(facts) == []
    assert list(notes_of(facts, REDIS, WANTED)) == ["single_broker"]
    assert list(notes_of(KafkaFacts(), RedisFacts(), WANTED, embedded=True)) == ["embedded"]


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        (RedisFacts(), []),
        (of_redis := replace(REDIS, maxmemory_policy="allkeys-lru"), ["redis_eviction"]),
        (replace(of_redis, maxmemory=0), []),
        (replace(REDIS, maxmemory_policy="volatile-ttl"), ["redis_eviction"]),
        (replace(REDIS, appendonly=False), ["redis_no_aof"]),
    ],
)
def test_redis_puts_a_guarantee_at_risk(redis: RedisFacts, expected: list[str]) -> None:
    assert risks(redis=redis) == expected


def test_every_topic_with_a_fault_is_named() -> None:
    facts = kafka(jobs=of(LOG, replicas=1), commands=of(LOG, replicas=1))
    sentence = risks_of(facts, REDIS, WANTED)["replication_factor"]
    assert "the-jobs" in sentence
    assert "the-commands" in sentence


def test_a_job_limit_that_topics_do_not_take_is_a_note() -> None:
    facts = kafka(resources=of(LOG, max_message_bytes=300_000))
    note = notes_of(facts, REDIS, WANTED)["job_limit"]
    assert "the-resources" in note
    assert "SCHEDULING_MAX_JOB_BYTES is 900000" in note


def test_missing_topics() -> None:
    assert missing(kafka(jobs=None)) == {Topic.JOBS}
    assert missing(KafkaFacts()) == frozenset()
