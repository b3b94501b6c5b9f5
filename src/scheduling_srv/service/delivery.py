"""SCHEDULING_DELIVERY: what takes a shard's outbox to Kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from scheduling_srv.adapters.kafka.at_once import AtOncePublisher
from scheduling_srv.adapters.kafka.producer import TransactionalPublisher
from scheduling_srv.app.announce import Announcer
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.owner.at_least_once import AtLeastOnce
from scheduling_srv.app.owner.owner import Extra
from scheduling_srv.app.owner.publisher import OutboxPublisher
from scheduling_srv.app.ports import Clock, Outbox
from scheduling_srv.app.records import Topic
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.settings.model import Settings
from scheduling_srv.settings.types import KafkaOptions

SHORTEST_PATIENCE = 1_000
"""Milliseconds that a broker is given at least, however short the lease is."""

Producers: TypeAlias = TransactionalPublisher | AtOncePublisher
Emptier: TypeAlias = OutboxPublisher | AtLeastOnce


def make_producers(
    settings: Settings,
    kafka: KafkaOptions,
    shard: int,
    topics: Mapping[Topic, str],
    takes: Callable[[], int | None] = lambda: None,
) -> Producers:
    """What sends a shard's records. `takes`: see `TransactionalPublisher`."""
    transactional = TransactionalPublisher(
        kafka, settings.namespace, shard, topics, largest=settings.max_job_bytes, takes=takes
    )
    if settings.delivery == "exactly_once":
        return transactional
    return AtOncePublisher(transactional, patience=max(SHORTEST_PATIENCE, settings.lease))


def make_emptier(  # noqa: PLR0917 - what both need
    producers: Producers,
    outbox: Outbox,
    announcements: Announcements,
    clock: Clock,
    rules: ShardRules,
    announcer: Announcer,
) -> tuple[Emptier, tuple[Extra, ...]]:
    """The loop that empties a shard's outbox, and what runs beside it."""
    if isinstance(producers, TransactionalPublisher):
        return OutboxPublisher(outbox, producers, announcer, announcements, clock), ()
    loop = AtLeastOnce(outbox, producers, announcer, announcements, clock, rules=rules)
    return loop, (loop.settle,)
