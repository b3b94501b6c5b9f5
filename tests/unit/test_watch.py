"""The watch over the servers, by a clock that the test holds."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling_srv.app.health.guarantees import (
    BrokerFacts,
    KafkaFacts,
    RedisFacts,
    Risk,
    TopicFacts,
    Wanted,
)
from scheduling_srv.app.health.watch import ServerWatch
from scheduling_srv.domain.errors import LogUnavailable
from scheduling_srv.formats.kafka_records import Topic


class Servers:
    """Kafka and Redis as the test wants them; and the clock."""

    def __init__(self) -> None:
        self.topics: dict[Topic, TopicFacts | None] = {
            topic: TopicFacts(id=topic, replicas=1, max_message_bytes=1_000_000) for topic in Topic
        }
        self.redis = RedisFacts(1, "noeviction", appendonly=True)
        self.away = self.refuses = False
        self.time = 0.0
        self.looks = self.glances = 0
        self.created: list[Topic] = []

    def watch(self, *, creates: bool = True, require: bool = False) -> ServerWatch:
        names = {topic: f"the-{topic}" for topic in Topic}
        wanted = Wanted(names, 900_000, 1_000, creates)
        redis: Any = Redis(self)
        return ServerWatch(
            self, redis, wanted, require_guarantees=require, monotonic=lambda: self.time
        )

    async def look(self) -> KafkaFacts:
        self._ask()
        self.looks += 1
        return KafkaFacts(BrokerFacts(1), dict(self.topics))

    async def identities(self) -> Mapping[Topic, TopicFacts | None]:
        self._ask()
        self.glances += 1
        return {
            topic: facts and TopicFacts(id=facts.id, replicas=1)
            for topic, facts in self.topics.items()
        }

    async def create(self, topics: Iterable[Topic]) -> None:
        self._ask()
        if self.refuses:
            raise LogUnavailable("It is forbidden.")
        for topic in topics:
            self.created.append(topic)
            self.topics[topic] = TopicFacts(id="new", replicas=1)

    def _ask(self) -> None:
        if self.away:
            raise LogUnavailable("Away.")


class Redis:
    def __init__(self, servers: Servers) -> None:
        self.servers = servers

    async def look(self) -> RedisFacts:
        return self.servers.redis


async def test_it_looks_once_a_minute_and_glances_between() -> None:
    servers = Servers()
    watch = servers.watch()
    for servers.time in range(0, 120, 5):
        await watch.run_once()
    assert (servers.looks, servers.glances) == (2, 22)


async def test_it_looks_after_each_reconnect() -> None:
    servers = Servers()
    watch = servers.watch()
    await watch.run_once()
    servers.away = True
    await watch.run_once()
    servers.away = False
    await watch.run_once()
    assert servers.looks == 2
    watch.notice()
    await watch.run_once()
    assert servers.looks == 3


async def test_limits_follow_the_topics() -> None:
    servers, told = Servers(), list[Any]()
    watch = servers.watch()
    watch.on_limits.append(told.append)
    await watch.run_once()
    servers.topics[Topic.JOURNAL] = TopicFacts(id="journal", max_message_bytes=5_000)
    watch.notice()
    await watch.run_once()
    await watch.run_once()
    assert [(limits.job, limits.job_topic, limits.batch) for limits in told] == [
        (1_000_000, "the-jobs", 1_000_000),
        (5_000, "the-journal", 5_000),
    ]


async def test_a_missing_topic_is_created_after_a_delay() -> None:
    servers, changes = Servers(), list[str]()
    watch = servers.watch()
    watch.on_identity.append(lambda: changes.append("changed"))
    await watch.run_once()
    servers.topics[Topic.JOBS] = None
    for servers.time in (5, 10, 14):
        await watch.run_once()
        assert servers.created == []
        assert watch.conditions().reasons == [
            "The topic the-jobs does not exist. This service creates it if no operator does."
        ]
    servers.time = 15
    await watch.run_once()
    assert servers.created == [Topic.JOBS]
    assert watch.conditions().reasons == []
    assert len(changes) == 2  # gone, and another one


async def test_an_operator_may_create_it_before() -> None:
    servers = Servers()
    watch = servers.watch()
    await watch.run_once()
    servers.topics[Topic.JOBS] = None
    servers.time = 5
    await watch.run_once()
    servers.topics[Topic.JOBS] = TopicFacts(id="his", replicas=1)
    for servers.time in (10, 20):
        await watch.run_once()
    assert servers.created == []


async def test_a_creation_that_an_operator_has_made_is_no_trouble_any_more() -> None:
    servers = Servers()
    watch = servers.watch()
    await watch.run_once()
    servers.topics[Topic.JOBS], servers.refuses = None, True
    for servers.time in (5, 15):
        await watch.run_once()
    assert watch._creates.failing
    servers.topics[Topic.JOBS] = TopicFacts(id="his", replicas=1)
    servers.time = 20
    await watch.run_once()
    assert not watch._creates.failing


async def test_topics_are_never_created_if_that_is_forbidden() -> None:
    servers = Servers()
    watch = servers.watch(creates=False)
    servers.topics[Topic.DEAD_LETTER] = None
    for servers.time in (0, 20, 40):
        await watch.run_once()
    assert servers.created == []
    conditions = watch.conditions()
    assert (conditions.reasons, len(conditions.degraded)) == ([], 1)
    assert not await watch.is_there(Topic.DEAD_LETTER)
    assert await watch.is_there(Topic.JOBS)


async def test_a_record_that_waits_for_its_topic_has_it_created_sooner() -> None:
    servers = Servers()
    watch = servers.watch()
    await watch.run_once()
    servers.topics[Topic.DEAD_LETTER] = None
    servers.time = 5
    await watch.run_once()
    servers.time = 8.5
    assert await watch.is_there(Topic.DEAD_LETTER)
    assert servers.created == [Topic.DEAD_LETTER]


async def test_a_risk_is_said_once_and_when_it_is_over() -> None:
    servers = Servers()
    watch = servers.watch()
    servers.redis = RedisFacts(1, "allkeys-lru", appendonly=True, unknown=("Why.",))
    with capture_logs() as logs:
        for _ in range(3):
            watch.notice()
            await watch.run_once()
        servers.redis = RedisFacts(1, "noeviction", appendonly=True)
        watch.notice()
        await watch.run_once()
    said = [(each["log_level"], each["event"]) for each in logs]
    assert said == [
        ("warning", "a setting of a server needs attention"),
        ("info", "a setting of a server is not known"),
        *[("info", "a setting of a server is in order again")] * 2,
    ]


@pytest.mark.parametrize("require", [False, True])
async def test_a_risk_makes_it_not_serving_where_guarantees_are_required(require: bool) -> None:
    servers = Servers()
    watch = servers.watch(require=require)
    servers.redis = RedisFacts(appendonly=False)
    await watch.run_once()
    assert bool(watch.conditions().reasons) == require
    assert list(watch.conditions().at_risk) == ["redis_no_aof"]


async def test_each_shard_tells_of_its_own_risk() -> None:
    watch = Servers().watch()
    for shard in (0, 1):
        watch.risk(Risk.JOURNAL_REFILLING, shard, f"Shard {shard}.")
    assert watch.conditions().at_risk == {"journal_refilling": "Shard 0. Shard 1."}
    watch.risk(Risk.JOURNAL_REFILLING, 0, "")
    assert watch.conditions().at_risk == {"journal_refilling": "Shard 1."}
    watch.risk(Risk.JOURNAL_REFILLING, 1, "")
    assert watch.conditions().at_risk == {}
