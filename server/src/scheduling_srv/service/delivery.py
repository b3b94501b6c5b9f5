"""SCHEDULING_DELIVERY: builds what takes a shard's outbox to Kafka.

`exactly_once` publishes each batch in a transaction; `at_least_once` sends runs ahead of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from scheduling_srv.adapters.kafka.at_once import AtOncePublisher
from scheduling_srv.adapters.kafka.producer import TransactionalPublisher
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.owner.batch import BatchPublisher
from scheduling_srv.app.owner.idempotent_publisher import IdempotentPublisher
from scheduling_srv.app.owner.publisher import OutboxPublisher
from scheduling_srv.app.ports import Clock, ExactClock
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.runtime.failpoint_wrappers import around
from scheduling_srv.runtime.spans import spanned
from scheduling_srv.service import failpoints, spans
from scheduling_srv.settings.model import Settings
from scheduling_srv.settings.types import KafkaOptions

SHORTEST_PATIENCE_MS = 1_000
"""A broker is given so long at least, however short the lease is."""

Producers: TypeAlias = TransactionalPublisher | AtOncePublisher


def make_producers(
    settings: Settings,
    kafka: KafkaOptions,
    shard: int,
    topics: Mapping[Topic, str],
    *,
    clock: ExactClock,
    takes: Callable[[], int | None] = lambda: None,
) -> Producers:
    """What sends a shard's records. `takes`: see `TransactionalPublisher`."""
    transactional = TransactionalPublisher(
        kafka,
        settings.namespace,
        shard,
        topics,
        clock,
        largest=settings.max_job_bytes,
        early=settings.produce_ahead,
        takes=takes,
    )
    if settings.delivery == "exactly_once":
        return transactional
    return AtOncePublisher(transactional, patience=max(SHORTEST_PATIENCE_MS, settings.lease))


def make_publisher(
    producers: Producers,
    *,
    announcer: Announcer,
    announcements: Announcements,
    clock: Clock,
    rules: ShardRules,
) -> BatchPublisher:
    """What publishes the batches of a shard's outbox."""
    if isinstance(producers, TransactionalPublisher):
        exact = OutboxPublisher(
            publisher=producers, announcer=announcer, announcements=announcements, clock=clock
        )
        return spanned(around(exact, failpoints.EXACTLY_ONCE), spans.PUBLISHER)
    swift = IdempotentPublisher(
        publisher=around(producers, failpoints.FOLLOWING),
        announcer=announcer,
        announcements=announcements,
        clock=clock,
        rules=rules,
    )
    return spanned(around(swift, failpoints.AT_LEAST_ONCE), spans.PUBLISHER)
