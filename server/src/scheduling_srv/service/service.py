"""One replica, from its start to its end. `shard.py` and `assemble.py` build its parts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog
import uvloop
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from scheduling_srv.adapters.clock import SystemClock
from scheduling_srv.adapters.kafka.clients import brokers_of
from scheduling_srv.adapters.kafka.consumer import SESSION_MS
from scheduling_srv.adapters.kafka.logs import KafkaLogs
from scheduling_srv.adapters.kafka.neighbours import KafkaNeighbours
from scheduling_srv.adapters.kafka.options import Client, check_options, check_transactions
from scheduling_srv.adapters.kafka.probe import KafkaProbe
from scheduling_srv.adapters.kafka.topics import KafkaTopics
from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.namespace import RedisHome, check_shards, fix_shards
from scheduling_srv.adapters.redis.policy import RedisPolicy
from scheduling_srv.adapters.redis.preflight import preflight
from scheduling_srv.app.access.limited_definitions import LimitedDefinitions
from scheduling_srv.app.access.limited_jobs import LimitedJobs
from scheduling_srv.app.access.limited_pauses import LimitedPauses
from scheduling_srv.app.access.limited_reading import (
    LimitedExplaining,
    LimitedRunListing,
    LimitedUpcoming,
)
from scheduling_srv.app.access.limited_runs import LimitedRetries, LimitedRunControl
from scheduling_srv.app.access.noted_letters import NotedLetters
from scheduling_srv.app.deployments.deployment import Deployment, replica_name
from scheduling_srv.app.deployments.neighbours import Alone, Neighbours, Rules
from scheduling_srv.app.destructive import DELETIONS
from scheduling_srv.app.ended import ENDED
from scheduling_srv.app.given_up import GIVEN_UP
from scheduling_srv.app.health.figures import Figures
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.health.progress import Findings, Observer
from scheduling_srv.app.health.system import SystemCalls
from scheduling_srv.app.health.watch import Conditions, EmbeddedWatch, ServerWatch
from scheduling_srv.app.inputs.dead_letters import REFUSED as REFUSED_RECORDS
from scheduling_srv.app.owner.refusals import REFUSED as REFUSED_BY_KAFKA
from scheduling_srv.app.ports import SettableClock
from scheduling_srv.app.recovery.recovery import has_records
from scheduling_srv.app.supervision import Part, supervised
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import NewerData, StartError, StoreRefused, Unavailable
from scheduling_srv.entrances.addresses import with_port
from scheduling_srv.entrances.admin import MAX_CONNECTIONS as MAX_HTTP
from scheduling_srv.entrances.admin import OFF, AdminServer, Lazy
from scheduling_srv.entrances.admin import SETTING as ADMIN_SETTING
from scheduling_srv.entrances.grpc_dead_letters import dead_letter_methods
from scheduling_srv.entrances.grpc_events import watch_events
from scheduling_srv.entrances.grpc_reading import reading_methods
from scheduling_srv.entrances.grpc_server import MAX_CONNECTIONS as MAX_GRPC
from scheduling_srv.entrances.grpc_server import GrpcServer
from scheduling_srv.entrances.grpc_system import system_methods
from scheduling_srv.entrances.grpc_v1 import Services, built_methods, together
from scheduling_srv.entrances.memory_budget import Limits
from scheduling_srv.formats.kafka_records import LogRecord
from scheduling_srv.formats.v1.dead_letters import DEAD_LETTER_SERVICE
from scheduling_srv.formats.v1.event_records import UNREAD
from scheduling_srv.formats.v1.system import SYSTEM_SERVICE
from scheduling_srv.formats.versions import FRESH, WRITES
from scheduling_srv.runtime import (
    failpoints,
    file_descriptors,
    garbage,
    heap,
    last_resort,
    logs,
    metrics,
)
from scheduling_srv.runtime.states import STATES, Kind, State
from scheduling_srv.runtime.throttle import tick_all
from scheduling_srv.service import diagnosing, doors, tracing
from scheduling_srv.service.assemble import assemble
from scheduling_srv.service.diagnosing import Servers
from scheduling_srv.service.from_settings import kafka_config, shard_rules, topic_names
from scheduling_srv.service.pages import Pages
from scheduling_srv.service.shard import Shard, Site
from scheduling_srv.service.test_clock import clocked, held_settings
from scheduling_srv.service.tracing import OFF as NO_TRACES
from scheduling_srv.service.tracing import Tracing
from scheduling_srv.settings.effective import effective
from scheduling_srv.settings.load import origin
from scheduling_srv.settings.model import Settings

log = structlog.get_logger(__name__)

GRACE_SECONDS = 3.0
"""Seconds that calls under way have to end."""
STOP_SECONDS = 8.0
"""Seconds after which tasks that do not end are cancelled: the process ends within ten."""
CUT_OFF_SECONDS = 9.0
"""Seconds after which the process ends, even if a task still waits for a server that is away."""
SERVER_PAUSE_SECONDS = 0.5
"""Seconds between looks for a server that is not there yet."""
THROTTLES = (
    ENDED.throttle,
    GIVEN_UP.throttle,
    DELETIONS.throttle,
    REFUSED_RECORDS,
    REFUSED_BY_KAFKA,
    UNREAD,
)
"""Lines of the log that stand for many."""
WATCH_AFTER_SECONDS = 2.0
"""Seconds after which the servers are watched although the start has not come to its end."""


def serve(
    settings: Settings,
    *,
    embedded: bool = False,
    data_dir: Path | None = None,
    clock: SettableClock | None = None,
) -> int:
    """Run one replica until SIGTERM or SIGINT; returns the exit code. Raises `StartError`.

    `clock`: a test clock, only for `embedded`.
    """
    last_resort.report()
    failpoints.enable(os.environ)
    name = replica_name(socket.gethostname(), os.getpid())
    traces = tracing.begin(os.environ, name)
    logs.configure(settings.log_level, settings.log_format, traces.processors)
    garbage.tune()
    heap.tune()
    file_descriptors.raise_limit(file_descriptors.needed(settings.shards, MAX_GRPC + MAX_HTTP))
    return uvloop.run(_serve(settings, traces, embedded=embedded, data_dir=data_dir, clock=clock))


async def _serve(
    settings: Settings,
    traces: Tracing = NO_TRACES,
    *,
    embedded: bool,
    data_dir: Path | None,
    clock: SettableClock | None = None,
) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    for sentence in settings.ignored(embedded=embedded):
        log.warning("a setting is ignored", reason=sentence)
    async with AsyncExitStack() as stack:
        if embedded:
            from scheduling_srv.service.embedded import start_embedded  # noqa: PLC0415 - it needs an extra

            settings, ended = await start_embedded(stack, settings, data_dir)
            service = Service(
                settings, stack, stopping, traces=traces, embedded=True, test_clock=clock
            )
            service.guard("embedded servers", ended)
            return await service.run()
        return await Service(settings, stack, stopping, traces=traces).run()


@dataclass(slots=True)
class Task:
    """A background task and how it is told to end."""

    name: str
    task: asyncio.Task[None]
    stop: Callable[[], None] | None = None
    """None: it is cancelled."""


class Service:
    """One replica."""

    def __init__(
        self,
        settings: Settings,
        stack: AsyncExitStack,
        stopping: asyncio.Event,
        *,
        traces: Tracing = NO_TRACES,
        embedded: bool = False,
        test_clock: SettableClock | None = None,
    ) -> None:
        """`stopping` is set when the process is told to end."""
        self.traces = traces
        self.settings = held_settings(settings) if test_clock else settings
        self.stack = stack
        self.stopping = stopping
        self.embedded = embedded
        self.test_clock = test_clock
        self.servers_there = asyncio.Event()
        self.tasks: list[Task] = []
        self.broken: BaseException | None = None
        """The error of a part of the service that must not end."""
        self.topics = topic_names(settings)
        self.kafka = kafka_config(settings)
        metrics.allow_types(settings.metrics_types)
        for topic in (settings.topic_jobs, settings.topic_commands):
            metrics.UNKNOWN_EVENTS.labels(topic=topic)
        self._build_shards()
        self._build_entrances()

    def _build_shards(self) -> None:
        settings = self.settings
        self.redis = RedisClient(
            settings.redis_url,
            password=_reveal(settings.redis_password),
            supplied_by=origin(
                "redis_password" if settings.redis_password else "redis_url", settings
            ),
            shards=settings.shards,
        )
        self.admin_client = KafkaTopics(
            self.kafka, self.topics, shards=settings.shards, creates=settings.create_topics
        )
        self.watch = self._build_watch()
        self.deployment = Deployment(replica_name(socket.gethostname(), os.getpid()))
        self.neighbours = self._build_neighbours()
        self.site = Site(
            settings,
            name=self.deployment.name,
            redis=self.redis,
            kafka=self.kafka,
            topics=self.topics,
            clock=self.test_clock or SystemClock(),
            rules=shard_rules(settings),
            admin=self.admin_client,
            logs=KafkaLogs(self.kafka),
            watch=self.watch,
            neighbours=self.neighbours,
            is_test=self.test_clock is not None,
        )
        self.shards = [Shard(self.site, number) for number in range(settings.shards)]
        probe = KafkaProbe(self.kafka, settings.topic_jobs)
        self.health = Health(
            redis=_probe(self.redis.ping),
            kafka=_probe(probe.ping),
            observe=self._observe,
            conditions=self._conditions,
        )
        self.parts = assemble(self.site, self.shards, self.health)
        self.system = self._build_system()

    def _build_system(self) -> SystemCalls:
        settings = self.settings
        servers = Servers(settings, self.redis, self.kafka, self.topics, self.admin_client)
        schedules, store = [shard.schedule for shard in self.shards], self.shards[0].store
        if self.embedded:
            diagnosis = diagnosing.embedded(self.health)
        else:
            diagnosis = diagnosing.build(servers, schedules, store, self.health)
        return SystemCalls(
            namespace=settings.namespace,
            shards=settings.shards,
            settings=[*effective(settings)],
            names=self.topics,
            topics=lambda: self.watch.kafka.topics,
            diagnosis=diagnosis,
        )

    def _build_neighbours(self) -> Alone:
        settings, home = self.settings, RedisHome(self.redis, self.settings.namespace)
        if self.embedded:
            return Alone(self.deployment, home)
        session = settings.kafka_options.get("session.timeout.ms", SESSION_MS)
        rules = Rules(
            settings.namespace,
            settings.kafka_group_id,
            settings.topic_jobs,
            settings.topic_commands,
            session_seconds=int(session) / 1000,
            shared=settings.shared_topic,
        )
        groups = KafkaNeighbours(
            self.admin_client.client,
            group=settings.kafka_group_id,
            client_id=settings.kafka_client_id,
        )
        return Neighbours(
            deployment=self.deployment,
            home=home,
            groups=groups,
            rules=rules,
            clock=SystemClock(),
            runs_since=self._runs_since,
            is_continued_here=self._is_continued_here,
        )

    def _runs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        return self.shards[0].history.jobs_since(instant)

    async def _is_continued_here(self) -> bool:
        """See `Neighbours`."""
        first = self.shards[0]
        state = await first.schedule.state()
        position = await first.history.committed_position()
        return state.ready and position is not None and position.incarnation == state.incarnation

    def _build_watch(self) -> ServerWatch:
        settings = self.settings
        kind = EmbeddedWatch if self.embedded else ServerWatch
        return kind(
            self.admin_client,
            RedisPolicy(self.redis),
            diagnosing.wanted(settings, self.topics),
            require_guarantees=settings.require_guarantees,
        )

    def _build_entrances(self) -> None:
        settings, parts = self.settings, self.parts
        self.doors = doors.build(settings)
        gate = self.doors.gate
        definitions = LimitedDefinitions(parts.definitions) if gate else parts.definitions
        pauses = LimitedPauses(parts.pauses) if gate else parts.pauses
        run_control = LimitedRunControl(parts.run_control) if gate else parts.run_control
        more = self._reading_methods(noted=gate is not None)
        self.grpc = GrpcServer(
            settings.grpc_address,
            jobs=LimitedJobs(parts.jobs) if gate else parts.jobs,
            definitions=definitions,
            pauses=pauses,
            run_control=run_control,
            commands=clocked(self.test_clock, self.shards, parts),
            health=self.health,
            services=settings.services,
            max_items=settings.max_items,
            max_job_bytes=settings.max_job_bytes,
            call_memory=settings.call_memory,
            more=more,
            streams={"WatchEvents": watch_events(parts.events)},
            gate=gate,
            spans=self.traces.calls,
            certificates=self.doors.certificates,
            reflection=settings.reflection,
        )
        self.figures = Figures([shard.schedule for shard in self.shards])
        limits = Limits(settings.max_items, settings.max_job_bytes)
        methods = together(built_methods(definitions, pauses, run_control, limits), more)
        self.pages = Pages(
            settings,
            self.doors,
            self.health,
            self.redis,
            methods,
            events=parts.events,
            giving_way=parts.giving_way,
        )
        self.admin = self._admin(
            settings.admin_address, pages=None if settings.pages_address else self.pages.application
        )
        self.apart = self._admin(
            settings.pages_address or OFF,
            pages=self.pages.application,
            setting=doors.PAGES_SETTING,
        )
        """The server of the pages, if they have an address of their own."""
        self.listener = parts.listener

    def _reading_methods(self, *, noted: bool) -> Services:
        """Methods beside those of `built_methods`. `noted`: an audit log wants their ids."""
        reading, letters = self.parts.reading, self.parts.dead_letters
        if noted:
            reading = replace(
                reading,
                listing=LimitedRunListing(
                    reading.listing, LimitedDefinitions(self.parts.definitions)
                ),
                retries=LimitedRetries(reading.retries),
                upcoming=LimitedUpcoming(reading.upcoming),
                explaining=LimitedExplaining(self.parts.explaining),
            )
        return together(
            reading_methods(reading),
            {
                SYSTEM_SERVICE: system_methods(self.system),
                DEAD_LETTER_SERVICE: dead_letter_methods(
                    NotedLetters(letters) if noted else letters
                ),
            },
        )

    def _admin(
        self, address: str, *, pages: Lazy | None, setting: str = ADMIN_SETTING
    ) -> AdminServer:
        return AdminServer(
            address,
            self.health,
            self._measure,
            door=self.doors.door,
            certificates=self.doors.certificates,
            pages=pages,
            setting=setting,
        )

    def _conditions(self) -> Conditions:
        """Also another service that is in the way."""
        found, neighbours = self.watch.conditions(), self.neighbours
        if self.settings.create_topics and not self.servers_there.is_set():
            found = found._replace(reasons=())  # the start is about to create the topics
        reasons = filter(None, (neighbours.waits_for, neighbours.blocked))
        return found._replace(reasons=(*reasons, *found.reasons))

    async def _measure(self) -> None:
        """Bring figures up to date that nothing else does."""
        self.listener.note_lag()
        await self.figures.refresh()

    async def _observe(self) -> Findings:
        observer = Observer(
            [shard.schedule for shard in self.shards],
            self.site.clock,
            polled_at=lambda: self.listener.polled_at,
            problems=self._problems,
        )
        return await observer.observe()

    def _problems(self) -> Sequence[str]:
        """Why shards that this replica owns are not emitting."""
        owners = (shard.owner for shard in self.shards)
        return list(dict.fromkeys(each.problem for each in owners if each.owning and each.problem))

    async def run(self) -> int:
        """Run until told to stop, or until a part breaks; returns the exit code."""
        check_options(self.settings.kafka_options, self._kafka_clients())
        doors.check_ports(self.settings)
        admin = await self.admin.start()
        apart = await self.apart.start()
        self.pages.listen(admin if apart is None else apart)
        grpc = await self.grpc.start()
        log.info(
            "listening",
            grpc=with_port(self.settings.grpc_address, grpc),
            admin=with_port(self.settings.admin_address, admin),
            pages=self.pages.base or OFF,
            tls=self.doors.certificates is not None,
            credentials=self.doors.door is not None,
        )
        self._watch_states()
        self._spawn("servers", self._wait_for_servers())
        await self._until_stopped()
        return await self._stop()

    async def _wait_for_servers(self) -> None:
        """Begin as soon as both are there; until then calls answer UNAVAILABLE."""
        self._keep("watch", self._watch)
        about = self.redis, self.settings.namespace, self.settings.shards
        await self._until_there("Redis", self._ask_redis)
        await self._until_there("Redis", lambda: check_shards(*about))
        await self._until_there("Redis", lambda: self._note_format(0))
        # Kafka may know another number than a Redis that has lost its own: first it is asked.
        await self._until_there("Kafka", self.admin_client.ensure)
        await self._until_there("Redis", lambda: fix_shards(*about))
        await self._meet_neighbours()
        await self._until_there("Kafka", self._settle_format)
        for shard in self.shards:
            self._keep("signals", shard.follower.run)
            self._keep("looks", shard.follower.look)
            self._keep("owner", shard.owner.run, shard.owner.stop)
        self._keep("balance", self.parts.balance.run)
        self._keep("health", self.health.watch)
        # The size limits of topics must be known before records are put aside.
        await self.watch.first()
        for properties in self.shards[0].producers.properties():
            check_transactions(properties, self.watch.kafka.broker.longest_transaction_ms)
        self.servers_there.set()
        self._keep("listener", self.listener.run, self.listener.stop)

    async def _meet_neighbours(self) -> None:
        """Return when no service but replicas of this one would be disturbed."""
        neighbours, ask_kafka = self.neighbours, self.shards[0].history.deployment
        if self.embedded:
            ask_kafka = _no_other
        await self._until_there("Kafka", lambda: neighbours.introduce(ask_kafka))
        if isinstance(neighbours, Neighbours):
            await neighbours.until_alone(partial(self._until_there, "Kafka"))
            self._keep("neighbours", neighbours.run)

    def _watch_states(self) -> None:
        """Check the health as soon as something fails, and log lasting failures."""
        STATES.listeners.append(self.health.notice)
        loop = asyncio.get_running_loop()

        def notice() -> None:
            with suppress(RuntimeError):  # the loop has ended, and so does the process
                loop.call_soon_threadsafe(self.health.notice)

        brokers_of(self.kafka).listeners.append(notice)
        self._keep("states", STATES.run)
        for name, part in self.doors.parts:
            self._keep(name, part)
        self._keep("descriptors", file_descriptors.watch)
        self._keep("connections", self.grpc.connections.watch)
        self._keep("untold", lambda: tick_all(THROTTLES))

    async def _ask_redis(self) -> None:
        settings = self.settings
        shown = keys.offset(settings.kafka_client_id, settings.topic_jobs, 0)
        await preflight(self.redis, settings.namespace, shown)

    async def _settle_format(self) -> None:
        """Raise the format, before this replica writes anything in it (docs/decisions/0024)."""
        found = [await shard.found_format() for shard in self.shards]
        writes = max(WRITES, *found)
        if not any(found) and await self._is_new():
            writes = FRESH
        await self._note_format(writes)

    async def _is_new(self) -> bool:
        """Whether no version has stored anything yet, neither in Redis nor on Kafka."""
        for shard in self.shards:
            if (await shard.schedule.state()).incarnation:
                return False
            if await shard.history.committed_position() or await has_records(shard.history):
                return False
        return True

    async def _note_format(self, writes: int) -> None:
        """`writes` 0 only looks for later formats."""
        for shard in self.shards:
            before = await shard.schedule.note_format(writes)
            found = max(before, writes)
            # Redis that was emptied says none until the format is noted again.
            sure = found >= FRESH or bool(found and (await shard.schedule.state()).incarnation)
            self.site.stored.note(shard.number, found, sure=sure)
            if before < writes:
                log.info(
                    "the stored data has a new format",
                    shard=shard.number,
                    before=before,
                    format=writes,
                )

    def _kafka_clients(self) -> Sequence[Client]:
        producers = [Client(Producer, each) for each in self.shards[0].producers.properties()]
        consumers = [
            Client(Consumer, each)
            for each in (self.parts.group.config, self.shards[0].history.config)
        ]
        return [*producers, *consumers, Client(AdminClient, self.kafka)]

    async def _watch(self) -> None:
        """Watch the servers once the start has reached them, or has waited for too long."""
        await wait(self.servers_there, WATCH_AFTER_SECONDS)
        await self.watch.run()

    async def _until_there(self, server: str, attempt: Callable[[], Awaitable[None]]) -> None:
        state = State("waiting for a server", "the server answers", kind=Kind.CAUSE, server=server)
        while True:
            try:
                await attempt()
            except (NewerData, StoreRefused) as fault:
                raise StartError(str(fault)) from fault
            except Unavailable as fault:
                state.fails(str(fault))
                await asyncio.sleep(SERVER_PAUSE_SECONDS)
            else:
                state.works()
                return

    def guard(self, name: str, ended: Coroutine[None, None, None]) -> None:
        """End this process when `ended` raises."""
        self._spawn(name, ended)

    def _keep(self, name: str, part: Part, stop: Callable[[], None] | None = None) -> None:
        """A part that nothing ends but a stop: the process has served, and goes on."""
        self._spawn(name, supervised(name, part, stopping=self.stopping), stop)

    def _spawn(
        self, name: str, work: Awaitable[None], stop: Callable[[], None] | None = None
    ) -> None:
        task = Task(name, asyncio.ensure_future(work), stop)
        self.tasks.append(task)
        task.task.add_done_callback(lambda _: self._note_end(task))

    def _note_end(self, task: Task) -> None:
        if task.task.cancelled() or not (fault := task.task.exception()):
            return
        self.broken = fault
        if not isinstance(fault, StartError):
            log.error("a part of the service broke", part=task.name, exc_info=fault)
        self.stopping.set()

    async def _until_stopped(self) -> None:
        await self.stopping.wait()
        log.info("stopping")
        self.health.close()

    async def _stop(self) -> int:
        """Accept no new work, and finish the current work (docs/operations.md)."""
        last_resort.end_within(CUT_OFF_SECONDS, 1 if self.broken else 0)
        self.parts.events.close()
        await self.grpc.stop(GRACE_SECONDS)
        for task in self.tasks:
            if task.stop:
                task.stop()
        ending = [task.task for task in self.tasks if task.stop]
        if ending:
            await asyncio.wait(ending, timeout=STOP_SECONDS - GRACE_SECONDS)
        for task in self.tasks:
            task.task.cancel()
        await asyncio.gather(*(task.task for task in self.tasks), return_exceptions=True)
        await self.admin.stop()
        await self.apart.stop()
        await self.redis.close()
        await self.traces.stop()
        if isinstance(self.broken, StartError):
            raise self.broken
        log.info("stopped")
        return 1 if self.broken else 0


async def _no_other() -> str:
    """The embedded broker has forgotten all deployments."""
    return ""


def _probe(ping: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        await ping()
        return True

    return answers


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
