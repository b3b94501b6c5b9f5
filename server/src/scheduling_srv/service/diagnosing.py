"""The diagnosis, put together: for a replica that runs, and for one that is to be started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduling_srv.adapters.clock import SystemClock
from scheduling_srv.adapters.kafka.examination import KafkaExamination
from scheduling_srv.adapters.kafka.logs import KafkaLogs
from scheduling_srv.adapters.kafka.topics import KafkaTopics
from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.examination import RedisExamination
from scheduling_srv.adapters.redis.jobs import RedisJobStore
from scheduling_srv.adapters.redis.policy import RedisPolicy
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.app.health.checks import (
    HealthChecks,
    KafkaChecks,
    Positions,
    RedisChecks,
    ScheduleChecks,
    ShardAbout,
)
from scheduling_srv.app.health.diagnosis import Check, Diagnosis
from scheduling_srv.app.health.guarantees import Wanted
from scheduling_srv.app.health.health import Health
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.service.from_settings import shard_rules
from scheduling_srv.settings.model import Settings
from scheduling_srv.settings.types import KafkaOptions


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers that a diagnosis asks."""

    settings: Settings
    redis: RedisClient
    kafka: KafkaOptions
    topics: Mapping[Topic, str]
    admin: KafkaTopics


def wanted(settings: Settings, topics: Mapping[Topic, str]) -> Wanted:
    """The settings that those of the servers are compared with."""
    return Wanted(
        names=topics,
        max_job_bytes=settings.max_job_bytes,
        answer_ms=settings.completion_timeout + settings.catch_up_window,
        creates_topics=settings.create_topics,
    )


def build(
    servers: Servers, shards: Sequence[ShardAbout], positions: Positions, health: Health | None
) -> Diagnosis:
    """`health`: of the replica that asks; None: none was started yet."""
    schedule = ScheduleChecks(
        shards, positions, KafkaLogs(servers.kafka), SystemClock(), running=health is not None
    )
    own = HealthChecks(health).checks() if health else {}
    return Diagnosis({**_redis(servers), **_kafka(servers), **schedule.checks(), **own})


def before_start(settings: Settings, servers: Servers) -> Diagnosis:
    """Of a replica that is to be started with these settings."""
    redis, namespace, shards = servers.redis, settings.namespace, settings.shards
    rules = shard_rules(settings)
    schedules = [
        RedisSchedule(redis, namespace, number, rules, shards=shards) for number in range(shards)
    ]
    store = RedisJobStore(
        redis,
        namespace,
        0,
        client_id=settings.kafka_client_id,
        max_backoff=settings.max_backoff,
        outbox_limit=settings.outbox_limit,
        shards=shards,
    )
    return build(servers, schedules, store, None)


def embedded(health: Health) -> Diagnosis:
    """Of the embedded servers: their settings are fixed, and the broker knows few calls."""
    return Diagnosis(HealthChecks(health).checks())


def _redis(servers: Servers) -> Mapping[str, Check]:
    settings, client = servers.settings, servers.redis
    shown = keys.offset(settings.kafka_client_id, settings.topic_jobs, 0)
    about = RedisExamination(client, settings.namespace, shown)
    return RedisChecks(about, RedisPolicy(client), wanted(settings, servers.topics)).checks()


def _kafka(servers: Servers) -> Mapping[str, Check]:
    settings = servers.settings
    about = KafkaExamination(
        servers.kafka,
        servers.topics,
        namespace=settings.namespace,
        group=settings.kafka_group_id,
    )
    expected = wanted(settings, servers.topics)
    return KafkaChecks(about, servers.admin, expected, SystemClock()).checks()
