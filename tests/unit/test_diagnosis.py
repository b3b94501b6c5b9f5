"""What a diagnosis makes of facts, and of servers that do not answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from scheduling_srv.app.health import server_checks
from scheduling_srv.app.health.checks import ScheduleChecks
from scheduling_srv.app.health.diagnosis import Diagnosis
from scheduling_srv.app.health.guarantees import Note, RedisFacts, Risk
from scheduling_srv.app.health.server_checks import RISKS, RedisServer
from scheduling_srv.app.replies import Holder, Progress
from scheduling_srv.domain.errors import (
    LogUnavailable,
    StoreNotReady,
    StoreRefused,
    StoreUnavailable,
)
from scheduling_srv.domain.finding import Finding, Severity
from scheduling_srv.formats.positions import InputPosition, Place
from tests.unit.test_guarantees import LOG, REDIS, WANTED, kafka

NOW = 1_000_000
SERVER = RedisServer("Valkey", "8.0.1", 2**30, 2**32, 2**34, [0.2, 0.3, 9.0], 3.0, 0.1)


def by_check(found: Sequence[Finding]) -> dict[str, Severity]:
    return {each.check: each.severity for each in found}


def bad(found: Sequence[Finding]) -> dict[str, Severity]:
    return {check: each for check, each in by_check(found).items() if each is not Severity.OK}


# --- Facts --------------------------------------------------------------------------------------


def test_all_is_well() -> None:
    found = [
        *server_checks.kafka_settings(kafka(), WANTED),
        *server_checks.redis_settings(REDIS, WANTED),
        *server_checks.redis_server(SERVER),
    ]
    assert bad(found) == {}
    assert {each.remedy for each in found} == {""}
    wells = {*server_checks.KAFKA_WELL, *server_checks.REDIS_WELL}
    assert wells <= by_check(found).keys()


def test_every_risk_and_note_of_the_servers_has_a_check() -> None:
    of_shards = {Risk.JOURNAL_REFILLING, Risk.JOURNAL_TOO_SMALL, Note.EMBEDDED}
    assert set(RISKS) == {*Risk, *Note} - of_shards


@pytest.mark.parametrize(
    ("topics", "check", "severity"),
    [
        ({"journal": LOG}, "kafka.compaction", Severity.ERROR),
        ({"jobs": replace(LOG, retention_ms=1)}, "kafka.retention", Severity.WARNING),
        ({"jobs": replace(LOG, replicas=1)}, "kafka.replication", Severity.WARNING),
        ({"jobs": replace(LOG, max_message_bytes=9)}, "kafka.sizes", Severity.WARNING),
    ],
)
def test_a_topic_at_fault_has_a_remedy(
    topics: dict[str, Any], check: str, severity: Severity
) -> None:
    found = server_checks.kafka_settings(kafka(**topics), WANTED)
    assert bad(found) == {check: severity}
    assert all(each.remedy for each in found if each.severity is not Severity.OK)


def test_a_missing_topic_is_bad_only_if_nothing_creates_it() -> None:
    facts = kafka(jobs=None)
    assert bad(server_checks.kafka_settings(facts, WANTED)) == {}
    kept = replace(WANTED, creates_topics=False)
    assert bad(server_checks.kafka_settings(facts, kept)) == {"kafka.topics": Severity.ERROR}


def test_what_the_servers_do_not_tell_is_not_called_well() -> None:
    found = server_checks.redis_settings(RedisFacts(unknown=("No.",)), WANTED)
    assert by_check(found) == {"redis.settings": Severity.UNKNOWN}
    silent = RedisServer("Redis", None, None, None, None, [1.0], 0, 0)
    assert bad(server_checks.redis_server(silent)) == {
        "redis.version": Severity.UNKNOWN,
        "redis.memory": Severity.UNKNOWN,
    }


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (replace(SERVER, version="7.1.9"), {"redis.version": Severity.ERROR}),
        (replace(SERVER, product="Redis", version="6.2.14"), {"redis.version": Severity.ERROR}),
        (replace(SERVER, product="Redis", version="7.0.0-rc1"), {}),
        (replace(SERVER, version="10.0"), {}),
        (replace(SERVER, used_bytes=int(2**32 * 0.91)), {"redis.memory": Severity.WARNING}),
        (replace(SERVER, used_bytes=2**32), {"redis.memory": Severity.ERROR}),
        (
            replace(SERVER, limit_bytes=0, used_bytes=int(2**34 * 0.85)),
            {"redis.memory": Severity.WARNING},
        ),
        (replace(SERVER, latencies_ms=[0.1, 6.0, 7.0]), {"redis.latency": Severity.WARNING}),
        (replace(SERVER, offset_ms=-101.0), {"redis.clock": Severity.WARNING}),
        (replace(SERVER, offset_ms=-101.0, uncertainty_ms=5.0), {}),
    ],
)
def test_redis_is_judged(server: RedisServer, expected: dict[str, Severity]) -> None:
    assert bad(server_checks.redis_server(server)) == expected


def test_a_record_from_the_future_tells_of_a_clock() -> None:
    assert server_checks.kafka_clock(NOW + 101, NOW).severity is Severity.WARNING
    assert server_checks.kafka_clock(NOW + 100, NOW).severity is Severity.OK
    assert server_checks.kafka_clock(None, NOW).severity is Severity.UNKNOWN


def test_rights_and_lag_are_judged() -> None:
    assert by_check(server_checks.kafka_rights(())) == {"kafka.rights": Severity.OK}
    assert len(server_checks.kafka_rights(["a", "b"])) == 2
    assert server_checks.lag(10_001).severity is Severity.WARNING
    assert server_checks.lag(10_000).severity is Severity.OK
    assert server_checks.lag(None).severity is Severity.OK


# --- Shards -------------------------------------------------------------------------------------


class Shard:
    """A shard, and the store of positions."""

    def __init__(self, holder: Holder | None, progress: Progress | None) -> None:
        self._holder = holder
        self._progress = progress

    async def holder(self) -> Holder | None:
        return self._holder

    async def progress(self) -> Progress:
        if self._progress is None:
            raise StoreNotReady("The schedule is being recovered from Kafka.")
        return self._progress

    async def positions(self) -> tuple[str, dict[str, InputPosition]]:
        if self._progress is None:
            raise StoreNotReady("Not yet.")
        return "", {"jobs:0": InputPosition(90), "jobs:1": InputPosition(5), "gone:0": _AT}


_AT = InputPosition(1)


class Kafka:
    """The ends of partitions, and a clock."""

    async def ends(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        ends = {Place("jobs", 0): (0, 100), Place("jobs", 1): (0, 3)}
        return {place: ends[place] for place in places if place in ends}

    def now(self) -> int:
        return NOW


MINE = Holder("host-1-abc:7", 3000, gone=False)
WORKS = Progress(working=True, oldest_due=None, waiting=0, idle_ms=0)


def schedule(shard: Shard, *, running: bool = True) -> ScheduleChecks:
    about: Any = Kafka()
    return ScheduleChecks([shard], shard, about, about, running=running)


@pytest.mark.parametrize(
    ("shard", "severity"),
    [
        (Shard(MINE, WORKS), Severity.OK),
        (Shard(None, WORKS), Severity.ERROR),
        (Shard(MINE, None), Severity.WARNING),
        (Shard(MINE, WORKS._replace(working=False)), Severity.ERROR),
        (Shard(MINE, WORKS._replace(oldest_due=NOW - 60_000)), Severity.WARNING),
    ],
)
async def test_the_owner_of_a_shard(shard: Shard, severity: Severity) -> None:
    (found,) = await schedule(shard).owners()
    assert found.severity is severity
    assert bool(found.remedy) is (severity is not Severity.OK)
    assert ("host-1-abc" in found.message) is (shard._holder is not None)


async def test_before_a_start_no_owner_is_no_fault() -> None:
    (found,) = await schedule(Shard(None, None), running=False).owners()
    assert found.severity is Severity.OK


async def test_the_lag_is_that_of_the_partitions_that_exist() -> None:
    (found,) = await schedule(Shard(MINE, WORKS)).lag()
    assert "10 records" in found.message
    (found,) = await schedule(Shard(None, None)).lag()
    assert "No position" in found.message


# --- The run of all checks ----------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked = 0

    def __call__(self) -> float:
        return self.seconds

    async def well(self) -> Sequence[Finding]:
        self.asked += 1
        return [Finding("well", Severity.OK, "Yes.")]


@pytest.mark.parametrize(
    "error",
    [LogUnavailable("Away."), StoreUnavailable("Away."), StoreRefused("No."), StoreNotReady("x")],
)
async def test_a_server_that_is_away_is_a_finding(error: Exception) -> None:
    async def away() -> Sequence[Finding]:
        raise error

    found = await Diagnosis({"well": Clock().well, "redis": away}).run()
    assert [each.check for each in found] == ["redis", "well"]
    assert (found[0].severity, found[0].message) == (Severity.ERROR, str(error))
    assert found[0].remedy


async def test_a_server_that_is_silent_is_a_finding() -> None:
    async def silent() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    (found,) = await Diagnosis({"kafka": silent}, check_seconds=0.01).run()
    assert found.severity is Severity.ERROR


async def test_findings_are_shown_again_for_a_while() -> None:
    clock = Clock()
    diagnosis = Diagnosis({"well": clock.well}, monotonic=clock)
    for seconds, asked in ((0.0, 1), (4.9, 1), (5.0, 2)):
        clock.seconds = seconds
        await diagnosis.run()
        assert clock.asked == asked
