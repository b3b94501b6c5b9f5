"""The use cases of a replica, put together over its 1 to n shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduling_srv import __version__
from scheduling_srv.adapters.kafka.consumer import KafkaGroupConsumer, KafkaPartitionConsumer
from scheduling_srv.adapters.kafka.emissions import KafkaEmissions
from scheduling_srv.adapters.kafka.letters import KafkaLetters
from scheduling_srv.adapters.kafka.logs import KafkaLogs
from scheduling_srv.adapters.kafka.tail import KafkaTail
from scheduling_srv.adapters.redis.letters import RedisLetters
from scheduling_srv.app.commands.commands import Commands
from scheduling_srv.app.commands.coordinator import ShardCoordinator
from scheduling_srv.app.commands.restore import RestoreStarter
from scheduling_srv.app.deployments.deployment import tagged
from scheduling_srv.app.giving_way import GivingWay
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.health.overview import Lag, OverviewCalls
from scheduling_srv.app.health.watch import ServerWatch
from scheduling_srv.app.inputs.consume import Consume
from scheduling_srv.app.inputs.event_reader import EventReader
from scheduling_srv.app.inputs.input_reader import InputReader
from scheduling_srv.app.inputs.listener import Listener
from scheduling_srv.app.owner.balance import Balance
from scheduling_srv.app.requests.backfills import Backfills
from scheduling_srv.app.requests.dead_letters import DeadLetterCalls
from scheduling_srv.app.requests.definitions import Definitions
from scheduling_srv.app.requests.explaining import Explaining
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.requests.jobs import Jobs
from scheduling_srv.app.requests.pause_notes import PauseNotes
from scheduling_srv.app.requests.pauses import PauseCalls
from scheduling_srv.app.requests.run_cancels import RunCancels
from scheduling_srv.app.requests.run_control import RunControl
from scheduling_srv.app.requests.run_listing import RunListing
from scheduling_srv.app.requests.run_retries import RunRetries
from scheduling_srv.app.requests.unique_keys import UniqueKeys
from scheduling_srv.app.requests.upcoming import UpcomingListing
from scheduling_srv.app.sharding.courier import Courier
from scheduling_srv.app.sharding.limited_store import LimitedStore
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.sharded_store import ShardedStore
from scheduling_srv.app.starts import Starts
from scheduling_srv.app.supervision import Work
from scheduling_srv.app.watching.hub import Hub
from scheduling_srv.domain.run_rules import MissedRule
from scheduling_srv.domain.validation import Rules, TopicLimit
from scheduling_srv.entrances.grpc_reading import ReadingPorts
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.runtime.failpoint_wrappers import around
from scheduling_srv.runtime.spans import spanned
from scheduling_srv.service import failpoints, spans
from scheduling_srv.service.shard import Shard, Site

OF_EVENTS = (Topic.JOBS, Topic.RESOURCES, Topic.EVENTS)
"""The topics that tell of events."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The use cases that the service runs or the entrances call."""

    jobs: Jobs
    definitions: Definitions
    pauses: PauseCalls
    run_control: RunControl
    reading: ReadingPorts
    explaining: Explaining
    dead_letters: DeadLetterCalls
    events: Hub
    commands: Commands
    giving_way: GivingWay
    listener: Listener
    group: KafkaGroupConsumer
    """The listener's consumer."""
    balance: Balance
    inputs: InputReader


class DeadLetters:
    """Implements `Letters`."""

    def __init__(self, watch: ServerWatch) -> None:
        self.watch = watch

    def largest(self) -> int | None:
        """The largest dead letter that the topic takes, in bytes. None: unknown."""
        return self.watch.limits.dead_letter

    async def are_taken(self) -> bool:
        """Waits a little for a topic that is missing."""
        return await self.watch.is_there(Topic.DEAD_LETTER)


def assemble(site: Site, shards: Sequence[Shard], health: Health) -> Parts:
    """Build the use cases, and the loops of the owners of the shards."""
    settings = site.settings
    store = _store(site, [shard.ports for shard in shards])
    jobs = Jobs(store, site.clock, _rules(site), most_bytes=settings.call_memory // 2)
    listing = JobListing([shard.job_index for shard in shards])
    notes = PauseNotes([shard.pauses for shard in shards])
    runs = RunListing([shard.runs for shard in shards], site.clock, settings.history_failures)
    keys = UniqueKeys([shard.unique_keys for shard in shards])
    definitions = Definitions(store, listing, notes, site.clock, jobs.rules, keys=keys, runs=runs)
    pauses = PauseCalls(store, listing, notes, site.clock)
    run_control = RunControl(
        store,
        listing,
        [shard.run_control for shard in shards],
        site.clock,
        backfills=Backfills(store, listing, [shard.backfills for shard in shards], site.clock),
        cancels=RunCancels(store, runs, [shard.run_control for shard in shards], site.clock),
    )
    commands = _commands(site, store, shards, health)
    logs = site.logs
    topics = settings.topic_jobs, settings.topic_commands
    starts = Starts([shard.store for shard in shards], logs, site.clock, topics)
    reader = _reader(site, _consume(site, jobs, commands), starts, logs)
    explaining = _explaining(site, shards, listing, notes, runs)
    reading = ReadingPorts(
        runs,
        RunRetries(store, runs, keys, [shard.runs for shard in shards], site.clock),
        UpcomingListing([shard.runs for shard in shards], site.clock),
        _overview(site, shards, health, logs),
        explaining,
    )
    restores = [shard.restores for shard in shards]
    for shard in shards:
        coordinator = ShardCoordinator(shard.number, restores, store.claims)
        extras = _extras(store.courier, shard.number)
        shard.build_loops(reader, coordinator, extras=extras)
    balance = Balance(
        name=site.name,
        signals=shards[0].signals,
        leases=[shard.schedule for shard in shards],
        owners=[shard.owner for shard in shards],
    )
    group = _group(site)
    listener = Listener(
        around(group, failpoints.GROUP),
        _consume(site, jobs, commands),
        around(starts, failpoints.STARTS),
        around(shards[0].store, failpoints.SHOWN),
        offset_interval=settings.offset_interval,
        strangers=site.neighbours,
    )
    giving_way = GivingWay(lambda: any(shard.owner.is_behind for shard in shards))
    letters = _dead_letters(site, store, shards[0], logs)
    return Parts(
        jobs,
        definitions,
        pauses,
        run_control,
        reading,
        explaining,
        letters,
        _events(site, giving_way),
        commands,
        giving_way,
        listener,
        group,
        balance,
        reader,
    )


def _store(site: Site, shards: Sequence[ShardPorts]) -> ShardedStore:
    settings = site.settings
    waits, ahead = settings.acknowledge == "announced", settings.stage_ahead
    if settings.quota_jobs:
        return LimitedStore(
            shards,
            site.clock,
            wait_for_announcement=waits,
            stage_ahead=ahead,
            most_jobs=settings.quota_jobs,
        )
    return ShardedStore(shards, site.clock, wait_for_announcement=waits, stage_ahead=ahead)


def _events(site: Site, giving_way: GivingWay) -> Hub:
    names = {topic: site.topics[topic] for topic in OF_EVENTS}
    return Hub(
        lambda: KafkaTail(site.kafka, site.settings.namespace, [*names.values()]),
        names,
        giving_way=giving_way,
    )


def _dead_letters(
    site: Site, store: ShardedStore, first: Shard, logs: KafkaLogs
) -> DeadLetterCalls:
    settings = site.settings
    notes = RedisLetters(
        site.redis,
        settings.namespace,
        settings.shards,
        outbox_limit=settings.outbox_limit,
        outbox_bytes=settings.outbox_bytes,
    )
    topics = {settings.topic_jobs: Topic.JOBS, settings.topic_commands: Topic.COMMANDS}
    log = KafkaLetters(first.history, logs)
    return DeadLetterCalls(log, notes, store, site.clock, topics)


def _explaining(
    site: Site,
    shards: Sequence[Shard],
    listing: JobListing,
    notes: PauseNotes,
    runs: RunListing,
) -> Explaining:
    settings, topic = site.settings, site.topics[Topic.JOBS]
    return Explaining(
        listing=listing,
        pauses=notes,
        runs=runs,
        logs=[shard.intervals for shard in shards],
        topic=KafkaEmissions(site.kafka, settings.namespace, topic),
        clock=site.clock,
        missed=MissedRule(settings.catch_up_window, latest=settings.missed_runs == "latest"),
    )


def _overview(
    site: Site, shards: Sequence[Shard], health: Health, logs: KafkaLogs
) -> OverviewCalls:
    lag = Lag([shard.store for shard in shards], logs)
    return OverviewCalls([shard.runs for shard in shards], health, lag, site.clock)


def _group(site: Site) -> KafkaGroupConsumer:
    settings = site.settings

    def client_id() -> str:
        """Other services read there who this is."""
        return tagged(settings.kafka_client_id, site.neighbours.deployment.tag)

    return KafkaGroupConsumer(
        site.kafka,
        group=settings.kafka_group_id,
        topics=(settings.topic_jobs, settings.topic_commands),
        strangers=site.neighbours,
        client_id=client_id,
    )


def _reader(site: Site, consume: Consume, starts: Starts, logs: KafkaLogs) -> InputReader:
    topic, strangers = site.settings.topic_jobs, site.neighbours
    consumer = KafkaPartitionConsumer(site.kafka, site.settings.kafka_group_id, topic, strangers)
    return InputReader(
        consumer=consumer,
        consume=consume,
        starts=starts,
        logs=logs,
        clock=site.clock,
        topic=topic,
        strangers=strangers,
    )


def _consume(site: Site, jobs: Jobs, commands: Commands) -> Consume:
    """Each consumer has its own: it remembers positions."""
    settings = site.settings
    reader = EventReader(
        jobs.rules,
        jobs_topic=settings.topic_jobs,
        commands_topic=settings.topic_commands,
    )
    consume = Consume(jobs, commands, reader, DeadLetters(site.watch))
    return spanned(consume, spans.CONSUME)


def _commands(site: Site, store: ShardedStore, shards: Sequence[Shard], health: Health) -> Commands:
    restores = RestoreStarter([shard.restores for shard in shards], site.clock)
    return Commands(
        store=store,
        inputs=shards[0].store,
        health=health,
        clock=site.clock,
        start_restore=restores.start,
        services=site.settings.services,
        resources_topic=site.settings.topic_resources,
        version=__version__,
        heard=lambda: site.watch.is_there(Topic.COMMANDS),
    )


def _extras(courier: Courier, shard: int) -> tuple[Work, ...]:
    """One shard has nothing to deliver."""

    async def deliver(_token: str) -> None:
        await courier.run(shard)

    return (deliver,) if len(courier.shards) > 1 else ()


def _rules(site: Site) -> Rules:
    settings, kafka = site.settings, TopicLimit()
    site.watch.on_limits.append(lambda limits: kafka.set(limits.job, limits.job_topic))
    return Rules(
        min_interval=settings.min_interval,
        max_items=settings.max_items,
        max_job_bytes=settings.max_job_bytes,
        kafka=kafka,
        stored=site.stored,
    )
