"""What several parts make of the settings."""

from __future__ import annotations

from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.settings.model import Settings
from scheduling_srv.settings.types import KafkaOptions


def topic_names(settings: Settings) -> dict[Topic, str]:
    """Kafka's names of our topics."""
    return {
        Topic.JOBS: settings.topic_jobs,
        Topic.RESOURCES: settings.topic_resources,
        Topic.COMMANDS: settings.topic_commands,
        Topic.DEAD_LETTER: settings.topic_dead_letter,
        Topic.JOURNAL: f"{settings.namespace}.journal",
        Topic.POSITION: f"{settings.namespace}.position",
        Topic.EVENTS: f"{settings.namespace}.events",
    }


def kafka_config(settings: Settings) -> KafkaOptions:
    """The properties of every Kafka client."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": settings.kafka_client_id,
        # A broker that creates a topic by itself does not compact it.
        "allow.auto.create.topics": False,
        "log_level": 2,  # the service logs each fault itself, as one sentence
        # librdkafka opens connections half of this apart, which delays a start.
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 1_000,  # not ten seconds: runs wait for a broker that is back
        **settings.kafka_options,
    }


def shard_rules(settings: Settings) -> ShardRules:
    """The settings that rule a shard."""
    return ShardRules(
        completion_timeout=settings.completion_timeout,
        stage_ahead=settings.stage_ahead,
        produce_ahead=settings.produce_ahead,
        max_backoff=settings.max_backoff,
        catch_up_window=settings.catch_up_window,
        missed_runs=settings.missed_runs,
        lease=settings.lease,
        catch_up_limit=settings.input_timeout,
        outbox_limit=settings.outbox_limit,
        outbox_bytes=settings.outbox_bytes,
        waiting_retries=settings.waiting_retries,
    )
