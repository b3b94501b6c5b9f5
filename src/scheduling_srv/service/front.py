"""The use cases that the entrances call, for one shard or for several."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from scheduling_srv import __version__
from scheduling_srv.adapters.kafka.logs import KafkaLogs
from scheduling_srv.app.commands.commands import Commands, ResetPort
from scheduling_srv.app.commands.payloads import RestoreRequest
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.health.watch import ServerWatch
from scheduling_srv.app.jobs import Jobs
from scheduling_srv.app.owner.balance import Balance
from scheduling_srv.app.ports import InputStore, Receipt, Source
from scheduling_srv.app.records import Topic
from scheduling_srv.app.sharding.claims import Claims
from scheduling_srv.app.sharding.courier import Courier, Station
from scheduling_srv.app.sharding.sharded_jobs import ShardedJobs
from scheduling_srv.app.sharding.sharded_restore import (
    RestoreStarter,
    ShardCoordinator,
    ShardedReset,
)
from scheduling_srv.app.sharding.shards import Part, Shards
from scheduling_srv.app.starts import Starts
from scheduling_srv.app.supervision import Work
from scheduling_srv.domain.validation import Rules, TopicLimit
from scheduling_srv.entrances import convert
from scheduling_srv.entrances.input_reader import InputReader
from scheduling_srv.entrances.intake import Intake
from scheduling_srv.entrances.listener import Application
from scheduling_srv.entrances.sharded_intake import ShardedIntake
from scheduling_srv.service.shard import Shard, Site


@dataclass(frozen=True, slots=True)
class Front:
    """The use cases for calls, events and commands."""

    jobs: Jobs
    intake: Application
    starts: Starts
    commands: Commands
    balance: Balance | None = None


StartRestore = Callable[[RestoreRequest, Source | None], Awaitable[None]]
Announced = Callable[[Receipt], Awaitable[None]]


def build_front(site: Site, shards: Sequence[Shard], health: Health) -> Front:
    """Also builds what the owners of the shards do."""
    return _of_one(site, shards[0], health) if len(shards) == 1 else _of_all(site, shards, health)


def _of_one(site: Site, shard: Shard, health: Health) -> Front:
    settings = site.settings
    shard.build_restorer()
    jobs = Jobs(
        shard.store,
        shard.announcements,
        site.clock,
        _rules(site),
        wait_for_announcement=settings.acknowledge == "announced",
        most_bytes=settings.call_memory // 2,
        lists=shard.lists,
    )
    commands = _commands(
        site, shard.store, shard.store, health, shard.restorer.start, jobs.announced
    )

    def intake() -> Intake:
        return Intake(
            jobs=jobs,
            inputs=shard.store,
            commands=commands,
            clock=site.clock,
            jobs_topic=settings.topic_jobs,
            commands_topic=settings.topic_commands,
            letters=DeadLetters(site.watch),
        )

    starts, logs = _starts(site, [shard])
    shard.build_loops(_reader(site, intake(), starts, logs))
    return Front(jobs, intake(), starts, commands)


def _of_all(site: Site, shards: Sequence[Shard], health: Health) -> Front:
    settings, clock = site.settings, site.clock
    stations = [Station(each.transfers, each.store, each.announcements) for each in shards]
    courier = Courier(stations, clock)
    claims = Claims([each.transfers for each in shards], courier)
    parts = [
        Part(each.store, each.store, each.transfers, each.announcements, each.lists)
        for each in shards
    ]
    router = Shards(parts, claims, courier, clock)
    restores = [each.restores for each in shards]
    for each in shards:
        each.build_restorer(ShardCoordinator(each.number, restores, claims))
    jobs = ShardedJobs(
        router,
        clock,
        _rules(site),
        wait_for_announcement=settings.acknowledge == "announced",
        most_bytes=settings.call_memory // 2,
    )
    commands = _commands(
        site,
        ShardedReset(router),
        shards[0].store,
        health,
        RestoreStarter(restores, clock).start,
        jobs.announced,
    )

    def intake() -> ShardedIntake:
        return ShardedIntake(
            jobs,
            commands,
            clock,
            jobs_topic=settings.topic_jobs,
            commands_topic=settings.topic_commands,
            letters=DeadLetters(site.watch),
        )

    starts, logs = _starts(site, shards)
    reader = _reader(site, intake(), starts, logs)
    for each in shards:
        extras = (_deliver(courier, each.number),)
        each.build_loops(reader, extras=extras)
    balance = Balance(
        name=site.name,
        signals=shards[0].signals,
        leases=[each.schedule for each in shards],
        owners=[each.owner for each in shards],
    )
    return Front(jobs, intake(), starts, commands, balance)


def _starts(site: Site, shards: Sequence[Shard]) -> tuple[Starts, KafkaLogs]:
    logs = KafkaLogs(site.kafka)
    topics = site.settings.topic_jobs, site.settings.topic_commands
    return Starts([each.store for each in shards], logs, site.clock, topics), logs


def _reader(site: Site, intake: Application, starts: Starts, logs: KafkaLogs) -> InputReader:
    return InputReader(
        config=site.kafka,
        group=site.settings.kafka_group_id,
        topic=site.settings.topic_jobs,
        intake=intake,
        starts=starts,
        logs=logs,
        clock=site.clock,
        strangers=site.neighbours,
    )


def _deliver(courier: Courier, shard: int) -> Work:
    async def run(_token: str) -> None:
        await courier.run(shard)

    return run


def _rules(site: Site) -> Rules:
    settings, kafka = site.settings, TopicLimit()
    site.watch.on_limits.append(lambda limits: kafka.set(limits.job, limits.job_topic))
    return Rules(settings.min_interval, settings.max_items, settings.max_job_bytes, kafka)


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


def _commands(  # noqa: PLR0917
    site: Site,
    store: ResetPort,
    inputs: InputStore,
    health: Health,
    start_restore: StartRestore,
    announced: Announced,
) -> Commands:
    return Commands(
        store=store,
        inputs=inputs,
        health=health,
        clock=site.clock,
        encode=convert.encode_command_response,
        start_restore=start_restore,
        announced=announced,
        services=site.settings.services,
        resources_topic=site.settings.topic_resources,
        version=__version__,
        heard=lambda: site.watch.is_there(Topic.COMMANDS),
    )
