"""The checks of a diagnosis: each asks a server, and says what it has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scheduling_srv.app.health import server_checks
from scheduling_srv.app.health.diagnosis import Check
from scheduling_srv.app.health.guarantees import RedisFacts, Wanted
from scheduling_srv.app.health.health import Health, Status
from scheduling_srv.app.health.progress import judge
from scheduling_srv.app.health.server_checks import RedisServer
from scheduling_srv.app.health.watch import StorePolicy, TopicAdmin
from scheduling_srv.app.ports import Clock, ShardProgress
from scheduling_srv.app.positions import Logs
from scheduling_srv.app.replies import Holder
from scheduling_srv.domain.errors import StoreNotReady
from scheduling_srv.domain.finding import Finding, Severity
from scheduling_srv.formats.positions import InputPosition, Place

NO_OWNER = "No replica owns shard {}: no run of it is emitted."
START_ONE = "Start a replica, or look into the log of those that run."


class RedisAbout(Protocol):
    """Redis, as a diagnosis asks it. Raises `StoreUnavailable`."""

    async def server(self) -> RedisServer:
        """Its version, memory, speed and clock."""

    async def lacks(self) -> Sequence[str]:
        """Commands that are refused and only useful. Raises `StoreRefused` for another one."""


class KafkaAbout(Protocol):
    """Kafka, as a diagnosis asks it. Raises `LogUnavailable`."""

    async def lacks(self) -> Sequence[str]:
        """A sentence for each right that is refused."""

    async def newest(self) -> int | None:
        """The newest time stamp of a record, in epoch ms."""


class ShardAbout(ShardProgress, Protocol):
    """A shard, as a diagnosis asks for it. Raises `StoreUnavailable`."""

    async def holder(self) -> Holder | None:
        """Who owns it."""


class Positions(Protocol):
    """Where the topics are read from. Raises `StoreUnavailable` and `StoreNotReady`."""

    async def positions(self) -> tuple[str, Mapping[str, InputPosition]]:
        """The lineage, and `topic:partition` -> its applied position."""


class RedisChecks:
    """Everything about Redis."""

    def __init__(self, about: RedisAbout, policy: StorePolicy, wanted: Wanted) -> None:
        self._about = about
        self._policy = policy
        self._wanted = wanted

    def checks(self) -> Mapping[str, Check]:
        """Name -> check."""
        return {"redis": self.server, "redis.settings": self.settings, "redis.rights": self.rights}

    async def server(self) -> Sequence[Finding]:
        """Version, memory, speed, clock."""
        return server_checks.redis_server(await self._about.server())

    async def settings(self) -> Sequence[Finding]:
        """Persistence, eviction, replicas."""
        facts: RedisFacts = await self._policy.look()
        return server_checks.redis_settings(facts, self._wanted)

    async def rights(self) -> Sequence[Finding]:
        """The commands and keys that the service needs, tried."""
        lacking = await self._about.lacks()
        if not lacking:
            return [
                Finding("redis.rights", Severity.OK, "Redis grants all rights that are needed.")
            ]
        return [
            Finding(
                "redis.rights",
                Severity.WARNING,
                f"Redis refuses {name}, which is useful.",
                "Let the service's user do it (docs/operations.md, Rights in Redis).",
            )
            for name in lacking
        ]


class KafkaChecks:
    """Everything about Kafka."""

    def __init__(self, about: KafkaAbout, admin: TopicAdmin, wanted: Wanted, clock: Clock) -> None:
        self._about = about
        self._admin = admin
        self._wanted = wanted
        self._clock = clock

    def checks(self) -> Mapping[str, Check]:
        """Name -> check."""
        return {"kafka": self.settings, "kafka.rights": self.rights, "kafka.clock": self.clock}

    async def settings(self) -> Sequence[Finding]:
        """Whether it answers, and how brokers and topics are set up."""
        facts = await self._admin.look()
        brokers = facts.broker.brokers
        answers = Finding("kafka", Severity.OK, f"Kafka answers; it has {brokers} brokers.")
        return [answers, *server_checks.kafka_settings(facts, self._wanted)]

    async def rights(self) -> Sequence[Finding]:
        """Rights to topics, groups and transactions."""
        return server_checks.kafka_rights(await self._about.lacks())

    async def clock(self) -> Sequence[Finding]:
        """Whether its clock is ahead."""
        newest = await self._about.newest()
        return [server_checks.kafka_clock(newest, self._clock.now())]


class ScheduleChecks:
    """The shards, and how far the topics are read."""

    def __init__(
        self,
        shards: Sequence[ShardAbout],
        positions: Positions,
        logs: Logs,
        clock: Clock,
        *,
        running: bool,
    ) -> None:
        """`running`: a replica asks. Else none may have been started yet."""
        self._shards = shards
        self._positions = positions
        self._logs = logs
        self._clock = clock
        self._running = running

    def checks(self) -> Mapping[str, Check]:
        """Name -> check."""
        return {"service.owner": self.owners, "kafka.lag": self.lag}

    async def owners(self) -> Sequence[Finding]:
        """Who owns each shard, and whether its runs are emitted."""
        return [await self._owner(number) for number in range(len(self._shards))]

    async def _owner(self, number: int) -> Finding:
        check, shard = "service.owner", self._shards[number]
        holder = await shard.holder()
        if holder is None:
            severity = Severity.ERROR if self._running else Severity.OK
            remedy = START_ONE if self._running else ""
            return Finding(check, severity, NO_OWNER.format(number), remedy)
        name, place = holder.token.rpartition(":")[0], f" of shard {number}"
        try:
            found = judge(await shard.progress(), self._clock.now(), place)
        except StoreNotReady as fault:
            remedy = "Wait: the owner rebuilds the schedule from Kafka."
            return Finding(check, Severity.WARNING, f"{name} owns shard {number}. {fault}", remedy)
        told = " ".join((f"{name} owns shard {number}.", *found.problems, *found.degraded))
        if found.problems:
            return Finding(check, Severity.ERROR, told, START_ONE)
        severity = Severity.WARNING if found.degraded else Severity.OK
        remedy = "Look at the load of Redis and Kafka." if found.degraded else ""
        return Finding(check, severity, told, remedy)

    async def lag(self) -> Sequence[Finding]:
        """Records that the service has not applied."""
        try:
            _, positions = await self._positions.positions()
        except StoreNotReady:
            return [server_checks.lag(None)]
        known = {Place.of(name): position.next for name, position in positions.items()}
        ends = await self._logs.ends([*known])
        behind = (max(0, end - known[place]) for place, (_, end) in ends.items())
        return [server_checks.lag(sum(behind) if known else None)]


class HealthChecks:
    """What a replica says of itself."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def checks(self) -> Mapping[str, Check]:
        """Name -> check."""
        return {"service.health": self.health}

    async def health(self) -> Sequence[Finding]:
        """Whether it serves."""
        status, reason, degraded = await self._health.report()
        if status is not Status.SERVING:
            remedy = "Look into the log of this replica (docs/runbooks.md)."
            return [Finding("service.health", Severity.ERROR, reason, remedy)]
        if degraded:
            sentence, remedy = " ".join(degraded), "See docs/runbooks.md."
            return [Finding("service.health", Severity.WARNING, sentence, remedy)]
        return [Finding("service.health", Severity.OK, "This replica serves.")]
