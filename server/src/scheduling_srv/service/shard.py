"""Puts one shard together: its store, its way to Kafka, and its owner.

Failpoints lie around the ports here, and only if they are switched on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduling_srv.adapters.kafka.history import KafkaHistory
from scheduling_srv.adapters.kafka.logs import KafkaLogs
from scheduling_srv.adapters.kafka.topics import KafkaTopics
from scheduling_srv.adapters.redis.agenda import SteadySchedule
from scheduling_srv.adapters.redis.backfills import RedisBackfills
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.intervals import RedisIntervals
from scheduling_srv.adapters.redis.job_index import RedisJobIndex
from scheduling_srv.adapters.redis.jobs import RedisJobStore, RedisRestores
from scheduling_srv.adapters.redis.lists import RedisLists
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.refill import RedisRefill
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.adapters.redis.runs import RedisRuns
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.adapters.redis.signals import RedisSignals
from scheduling_srv.adapters.redis.transfers import RedisTransfers
from scheduling_srv.adapters.redis.unique_keys import RedisUniqueKeys
from scheduling_srv.app.announcements import ANNOUNCE_TIMEOUT_SECONDS, Announcements
from scheduling_srv.app.budget import PIECE_BYTES
from scheduling_srv.app.commands.restore import Restorer
from scheduling_srv.app.commands.restore_pass import Coordinator
from scheduling_srv.app.deployments.neighbours import Alone
from scheduling_srv.app.follow import Follower
from scheduling_srv.app.health.guarantees import largest
from scheduling_srv.app.health.watch import ServerWatch
from scheduling_srv.app.known_runs import KnownRuns
from scheduling_srv.app.lists import Lists
from scheduling_srv.app.owner.backfiller import Backfiller
from scheduling_srv.app.owner.balance import Holdings
from scheduling_srv.app.owner.catch_up import RETRY_SECONDS, CatchUp
from scheduling_srv.app.owner.emitter import Emitter
from scheduling_srv.app.owner.historian import Historian
from scheduling_srv.app.owner.hold import Hold
from scheduling_srv.app.owner.indexer import Indexer
from scheduling_srv.app.owner.owner import Owner
from scheduling_srv.app.owner.planner import Planner
from scheduling_srv.app.owner.refusals import Refusals
from scheduling_srv.app.owner.stager import Stager
from scheduling_srv.app.owner.standby import StandBy
from scheduling_srv.app.owner.sweeper import Sweeper
from scheduling_srv.app.owner.upgrade import Upgrade
from scheduling_srv.app.ports import ExactClock, Inputs
from scheduling_srv.app.recovery.hanging import HangingTransactions
from scheduling_srv.app.recovery.rebuild import Rebuild, memory_of_shard
from scheduling_srv.app.recovery.recovery import Recovery
from scheduling_srv.app.recovery.refill import Refill
from scheduling_srv.app.replies import Signal
from scheduling_srv.app.run_ports import HistoryBounds
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.supervision import Work, isolated
from scheduling_srv.domain.errors import NotAnnounced
from scheduling_srv.domain.stored_format import ShardFormat, StoredFormat
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.versions import READS, check_format
from scheduling_srv.runtime.failpoint_wrappers import around
from scheduling_srv.runtime.spans import spanned
from scheduling_srv.service import delivery, failpoints, spans
from scheduling_srv.settings.model import Settings
from scheduling_srv.settings.types import KafkaOptions


@dataclass(frozen=True, slots=True)
class Site:
    """The parts that all shards of a replica share."""

    settings: Settings
    name: str
    """Of the replica."""
    redis: RedisClient
    kafka: KafkaOptions
    topics: Mapping[Topic, str]
    clock: ExactClock
    rules: ShardRules
    admin: KafkaTopics
    logs: KafkaLogs
    watch: ServerWatch
    neighbours: Alone
    """Which deployment this is, and which others there are."""
    restore_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One shard of a replica restores at a time (docs/decisions/0018)."""
    stored: StoredFormat = field(default_factory=StoredFormat)
    """The format of the stored data, as far as it is known."""
    holdings: Holdings = field(default_factory=Holdings)
    """Shards that this replica owns."""
    is_test: bool = False
    """Whether `clock` is one of tests (docs/decisions/0035)."""


class Shard:
    """All parts of one shard in this replica."""

    owner: Owner
    restorer: Restorer
    follower: Follower

    def __init__(self, site: Site, number: int) -> None:
        self.site = site
        self.number = number
        settings, redis, namespace = site.settings, site.redis, site.settings.namespace
        shards = settings.shards
        store = RedisJobStore(
            redis,
            namespace,
            number,
            client_id=settings.kafka_client_id,
            max_backoff=settings.max_backoff,
            outbox_limit=settings.outbox_limit,
            outbox_bytes=settings.outbox_bytes,
            waiting_retries=settings.waiting_retries,
            completion_timeout=settings.completion_timeout,
            shards=shards,
        )
        self.store = spanned(around(store, failpoints.JOBS), spans.JOBS)
        restores = RedisRestores(redis, namespace, number, shards)
        self.restores = around(restores, failpoints.RESTORES)
        kind = SteadySchedule if site.is_test else RedisSchedule
        self.schedule = kind(redis, namespace, number, site.rules, shards=shards)
        self.transfers = RedisTransfers(
            redis,
            namespace,
            number,
            shards,
            outbox_limit=settings.outbox_limit,
            outbox_bytes=settings.outbox_bytes,
        )
        self.signals = RedisSignals(redis, namespace, number, name=site.name)
        self.producers = delivery.make_producers(
            settings,
            site.kafka,
            number,
            site.topics,
            clock=site.clock,
            takes=lambda: site.watch.limits.batch,
        )
        self.hanging = HangingTransactions(ends=site.logs, publisher=self.producers, shard=number)
        self.history = KafkaHistory(
            site.kafka,
            namespace,
            number,
            site.topics,
            start=settings.start_offset,
            shards=shards,
        )
        self.announcements = around(Announcements(), failpoints.ANNOUNCEMENTS)
        lists = RedisLists(
            redis,
            namespace,
            number,
            shards,
            outbox_limit=settings.outbox_limit,
            outbox_bytes=settings.outbox_bytes,
        )
        self.lists = Lists(
            store=spanned(around(lists, failpoints.LISTS), spans.LISTS),
            inputs=self.store,
            announcements=self.announcements,
            clock=site.clock,
            piece_bytes=min(PIECE_BYTES, settings.max_job_bytes),
        )
        self._format = ShardFormat(site.stored, number)
        self.pauses = spanned(RedisPauses(redis, namespace, number, shards), spans.PAUSES)
        self.backfills = RedisBackfills(redis, namespace, number, site.rules, shards)
        self.backfiller = Backfiller(self.backfills, site.clock)
        self.unique_keys = RedisUniqueKeys(redis, namespace, number, shards)
        control = RedisRunControl(redis, namespace, number, site.rules, shards)
        self.run_control = spanned(control, spans.RUN_CONTROL)
        self.sweeper = Sweeper(self.store)
        self.job_index = spanned(RedisJobIndex(redis, namespace, number, shards), spans.INDEX)
        timeout = settings.completion_timeout
        runs = RedisRuns(redis, namespace, number, shards, timeout=timeout)
        self.runs = spanned(runs, spans.RUNS)
        self.intervals = RedisIntervals(redis, namespace, number, shards)
        self.refill = Refill(
            store=RedisRefill(redis, namespace, number, shards),
            logs=site.admin,
            shard=number,
            clock=site.clock,
            board=site.watch,
            most_bytes=lambda: largest(site.watch.kafka, Topic.JOURNAL),
        )
        site.watch.on_identity.append(self.refill.notice)

    @property
    def ports(self) -> ShardPorts:
        """Its ports, as callers and consumed records use them."""
        inputs = around(self.store, failpoints.INPUTS)
        return ShardPorts(self.store, inputs, self.transfers, self.announcements, self.lists)

    async def found_format(self) -> int:
        """The format of what Redis or Kafka has; 0: none is noted. Raises `NewerData`.

        A Redis that was emptied knows an earlier one than Kafka, or none.
        """
        found = await self.schedule.note_format(0)
        if found < READS and (position := await self.history.committed_position()):
            check_format(position.format)
            return max(found, position.format)
        return found

    def build_loops(
        self, inputs: Inputs, coordinator: Coordinator, *, extras: Sequence[Work] = ()
    ) -> None:
        """Build the owner. `extras` run beside what the owner of every shard does."""
        self.restorer = self._build_restorer(coordinator)
        limit, rest = self.site.rules.catch_up_limit, 0.0 if self.site.is_test else RETRY_SECONDS
        catch_up = CatchUp(inputs=inputs, limit_ms=limit, rest_seconds=rest)
        beside = (
            catch_up.run,
            isolated("hanging", self.hanging.run),
            isolated("restorer", self.restorer.run),
            isolated("sweeper", self.sweeper.run),
            isolated("refill", self.refill.run),
            isolated("backfiller", self.backfiller.run),
            isolated("indexer", Indexer(self.job_index).run),
            isolated("upgrade", self._build_upgrade().run),
            isolated("historian", self._build_historian().run),
            isolated("lists", self.lists.run),
            *(isolated("courier", extra) for extra in extras),
        )
        self.owner = self._build_owner(inputs, catch_up, beside)
        self.follower = Follower(
            signals=self.signals,
            shard=self.schedule,
            announcements=self.announcements,
            listeners=(self.owner.notice, self._notice),
            format=self._format,
        )

    def _build_historian(self) -> Historian:
        settings = self.site.settings
        bounds = HistoryBounds(
            settings.history_runs // settings.shards,
            settings.history_bytes // settings.shards,
            settings.history_failures,
        )
        return Historian(self.runs, self.site.clock, bounds)

    def _build_upgrade(self) -> Upgrade:
        after_ms = self.site.settings.raise_format_after
        return Upgrade(self.schedule, after_ms, stored=self.site.stored)

    def _build_restorer(self, coordinator: Coordinator) -> Restorer:
        return Restorer(
            store=self.store,
            restores=self.restores,
            history=around(self.history, failpoints.RESTORED_LOG),
            clock=self.site.clock,
            services=self.site.settings.services,
            coordinator=coordinator,
            published=self._published,
            heard=lambda: self.site.watch.is_there(Topic.COMMANDS),
            lock=self.site.restore_lock,
            stored=self.site.stored,
        )

    def _build_owner(self, inputs: Inputs, catch_up: CatchUp, beside: Sequence[Work]) -> Owner:
        clock, rules, schedule = self.site.clock, self.site.rules, self.schedule
        announcer = Announcer(
            self.site.settings.recurring_spelling,
            self.site.neighbours.deployment.headers,
            clock.now,
            tells=lambda: not self.site.watch.is_missing(Topic.EVENTS),
        )
        hold, known = Hold(clock, rules.stage_ahead, early=rules.produce_ahead), KnownRuns()
        refusals = Refusals(
            outbox=around(schedule, failpoints.REFUSALS),
            publisher=self.producers,
            announcer=announcer,
            announcements=self.announcements,
            hold=hold,
            known=known,
            clock=clock,
            topics=self.site.topics,
        )
        return Owner(
            name=self.site.name,
            shard=self.number,
            lease=around(schedule, failpoints.LEASE),
            standby=StandBy(
                lease=schedule,
                clock=clock,
                rules=rules,
                connect=(self.producers.prepare, self.history.prepare, inputs.prepare),
            ),
            holdings=self.site.holdings,
            recovery=self._build_recovery(known),
            refusals=refusals,
            emitter=self._build_emitter(catch_up, announcer, refusals),
            beside=beside,
            clock=clock,
            rules=rules,
        )

    def _build_emitter(
        self, catch_up: CatchUp, announcer: Announcer, refusals: Refusals
    ) -> Emitter:
        clock, rules = self.site.clock, self.site.rules
        schedule = around(self.schedule, failpoints.STAGING)
        planner = Planner(schedule=schedule, rules=rules)
        return Emitter(
            shard=self.number,
            stager=Stager(schedule=schedule, planner=planner, catch_up=catch_up, rules=rules),
            outbox=around(self.schedule, failpoints.OUTBOX),
            publisher=delivery.make_publisher(
                self.producers,
                announcer=announcer,
                announcements=self.announcements,
                clock=clock,
                rules=rules,
            ),
            refusals=refusals,
            hold=refusals.hold,
            known=refusals.known,
            clock=clock,
        )

    def _build_recovery(self, known: KnownRuns) -> Recovery:
        return Recovery(
            shard=around(self.schedule, failpoints.RECOVERED_STORE),
            publisher=around(self.producers, failpoints.FENCING),
            history=around(self.history, failpoints.RECOVERED_LOG),
            rebuild=self._build_rebuild(),
            store=self.store,
            known=known,
            hanging=self.hanging,
            clock=self.site.clock,
            neighbours=self.site.neighbours,
            format=self._format,
        )

    def _build_rebuild(self) -> Rebuild:
        shards, number = self.site.settings.shards, self.number
        return Rebuild(
            shard=around(self.schedule, failpoints.REBUILT_STORE),
            history=around(self.history, failpoints.REBUILT_LOG),
            jobs_topic=self.site.settings.topic_jobs,
            clock=self.site.clock,
            is_ours=lambda instance: instance % shards == number,
            deployment=self.site.neighbours.deployment,
            memory_bytes=memory_of_shard(shards),
        )

    async def _published(self) -> None:
        """Returns when all that is stored by now is on Kafka. Raises `Unavailable`."""
        receipt = await self.store.append([], self.site.clock.now())
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_SECONDS):
                await self.announcements.wait(receipt)
        except TimeoutError as fault:
            raise NotAnnounced("Kafka does not answer.") from fault

    def _notice(self, heard: Signal) -> None:
        if heard.kind in {"restore", "connected"}:
            self.restorer.notice()
        if heard.kind in {"sweep", "connected"}:
            self.sweeper.notice()
        if heard.kind in {"backfill", "connected"}:
            self.backfiller.notice()
        if heard.kind == "connected":
            self.site.watch.notice()
