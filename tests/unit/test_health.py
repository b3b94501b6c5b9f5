"""SERVING when, and only when, Redis and Kafka answer and due jobs are being emitted."""

import asyncio
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from scheduling_srv.app.health import health as health_module
from scheduling_srv.app.health.health import CLOSING, Health, Report, Status
from scheduling_srv.app.health.progress import Findings
from scheduling_srv.app.health.watch import Conditions
from scheduling_srv.domain.errors import StoreNotReady, StoreUnavailable
from scheduling_srv.runtime.states import States
from tests.harness.virtual_time import VIRTUAL_TIME


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return VIRTUAL_TIME


@dataclass
class Servers:
    """What the probes find; an exception is raised, "hangs" never answers."""

    redis: object = True
    kafka: object = True
    emitting: object = True
    time: float = 0.0
    asked: list[str] = field(default_factory=list)

    async def probe(self, name: str) -> bool:
        self.asked.append(name)
        await asyncio.sleep(0)
        found = getattr(self, name)
        if isinstance(found, Exception):
            raise found
        if found == "hangs":
            await asyncio.Event().wait()
        return bool(found)

    async def observe(self) -> Findings:
        if isinstance(self.emitting, Findings):
            return self.emitting
        well = await self.probe("emitting")
        return Findings() if well else Findings(["No replica is emitting due jobs."])

    conditions: Conditions = field(default_factory=Conditions)

    def health(self) -> Health:
        return Health(
            conditions=lambda: self.conditions,
            redis=lambda: self.probe("redis"),
            kafka=lambda: self.probe("kafka"),
            observe=self.observe,
            probe_seconds=0.05,
            now=lambda: self.time,
            states=States(lambda: self.time),
        )


async def test_all_is_well() -> None:
    health = Servers().health()
    assert await health.report() == Report(Status.SERVING, "")
    assert await health.status() == "SERVING"


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        (Servers(redis=False), "Redis does not answer."),
        (Servers(redis="hangs", emitting=False), "Redis does not answer."),
        (Servers(redis=StoreUnavailable("Why.")), "Redis does not answer. Why."),
        (Servers(kafka=False), "Kafka does not answer."),
        (Servers(redis=False, kafka="hangs"), "Redis does not answer. Kafka does not answer."),
        (Servers(emitting=False), "No replica is emitting due jobs."),
        (Servers(emitting=StoreNotReady("Why.")), "Due jobs cannot be looked at. Why."),
        (Servers(kafka=KeyError(), redis=False), "Redis does not answer. Cannot find out: Kafka"),
    ],
)
async def test_something_is_wrong(servers: Servers, reason: str) -> None:
    report = await servers.health().report()
    assert report.status is Status.NOT_SERVING
    assert report.reason.startswith(reason)


async def test_a_broken_probe_is_neither_good_nor_bad() -> None:
    report = await Servers(kafka=KeyError()).health().report()
    assert report == Report(Status.UNKNOWN, "Cannot find out: Kafka does not answer.")


async def test_many_questions_are_one_probe_until_the_report_is_old() -> None:
    servers = Servers()
    health = servers.health()
    await asyncio.gather(*[health.report() for _ in range(10)])
    servers.time = 0.49
    await health.report()
    assert servers.asked == ["redis", "kafka", "emitting"]
    servers.time, servers.kafka = 0.5, False
    assert await health.status() == "NOT_SERVING"


async def test_a_question_that_is_given_up_does_not_stop_the_others() -> None:
    servers = Servers(redis="hangs")
    health = servers.health()
    first, second = asyncio.create_task(health.report()), asyncio.create_task(health.report())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).reason == "Redis does not answer."


async def test_a_closing_replica_says_so() -> None:
    health = Servers().health()
    await health.report()
    health.close()
    assert await health.report() == CLOSING


async def test_a_backlog_that_drains_is_serving_and_degraded() -> None:
    degraded = Findings((), ["The oldest due run has waited for 7 s."])
    report = await Servers(emitting=degraded).health().report()
    assert report == Report(Status.SERVING, "", ("The oldest due run has waited for 7 s.",))


async def test_the_details_name_a_server_that_is_away_before_its_consequences() -> None:
    """`/readyz?verbose` told of missing topics while Redis was away."""
    missing = "The topic jobs does not exist."
    servers = Servers(redis=StoreUnavailable("Redis is away."), conditions=Conditions([missing]))
    found = await servers.health().details()
    assert found.reasons == ("Redis does not answer. Redis is away.", missing)
    servers = Servers(conditions=Conditions([missing]))
    assert (await servers.health().details()).reasons == [missing]
    assert (await Servers().health().details()).reasons == ()


async def test_each_change_is_logged_once() -> None:
    servers = Servers()
    health = servers.health()
    with capture_logs() as lines:
        await health.report()
        servers.kafka = False
        for servers.time in (1.0, 2.0, 3.0):
            await health.report()
        servers.kafka = True
        for servers.time in (4.0, 5.0):
            await health.report()
    assert [line["event"] for line in lines] == [
        "serving",
        "Kafka does not answer",
        "not serving",
        "Kafka answers again",
        "serving again",
    ]
    assert lines[2]["reason"] == "Kafka does not answer."


async def test_a_backlog_that_ends_in_a_trouble_is_not_left_open() -> None:
    servers = Servers(emitting=Findings((), ["Late."]))
    health = servers.health()
    with capture_logs() as lines:
        for servers.time in (1.0, 7.0):
            await health.report()
        servers.emitting = Findings(["Too late."])
        servers.time = 8.0
        await health.report()
        servers.emitting = True
        servers.time = 9.0
        await health.report()
    assert [line["event"] for line in lines] == [
        *("serving", "degraded", "degraded, no longer watched", "not serving", "serving again")
    ]


async def test_a_start_has_a_few_seconds_before_it_is_a_trouble() -> None:
    """Before, every first start had warnings."""
    servers = Servers(emitting=False)
    health = servers.health()
    with capture_logs() as lines:
        for servers.time in (1.0, 2.0, 3.0):
            await health.report()
        servers.emitting, servers.time = True, 4.0
        await health.report()
    assert [line["event"] for line in lines] == ["serving"]
    servers = Servers(emitting=False)
    health = servers.health()
    with capture_logs() as lines:
        for servers.time in (1.0, 5.9, 6.1, 7.0):
            await health.report()
        servers.emitting, servers.time = True, 8.0
        await health.report()
    assert [line["event"] for line in lines] == ["not serving yet", "serving"]


async def test_what_fails_is_looked_at_at_once() -> None:
    servers = Servers()
    health = servers.health()
    await health.report()
    servers.kafka = False
    assert await health.status() == "SERVING"
    health.notice()
    assert await health.status() == "NOT_SERVING"


async def test_a_server_that_does_not_answer_is_noticed_between_two_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is frozen breaks no connection: nothing but a question tells."""
    monkeypatch.setattr(health_module, "PING_SECONDS", 0.001)
    monkeypatch.setattr(health_module, "CALM_SECONDS", 0.0)
    monkeypatch.setattr(health_module, "WATCH_SECONDS", 1_000_000)
    servers = Servers()
    health = servers.health()
    with capture_logs() as lines:
        watching = asyncio.create_task(health.watch())
        while servers.asked.count("redis") < 5:  # noqa: ASYNC110 - as often as it asks
            await asyncio.sleep(0)
        assert servers.asked.count("emitting") == 1
        servers.redis = "hangs"
        while len(lines) < 3:  # noqa: ASYNC110 - as long as it takes
            await asyncio.sleep(0.001)
        watching.cancel()
    assert [line["event"] for line in lines] == ["serving", "Redis does not answer", "not serving"]


async def test_a_server_says_its_reason_once() -> None:
    servers = Servers(redis=StoreUnavailable("Redis does not answer: it is gone."))
    assert (await servers.health().report()).reason == "Redis does not answer: it is gone."


async def test_the_figures_follow_the_report() -> None:
    servers = Servers(emitting=Findings((), ["Late."]))
    await servers.health().report()
    assert (figure("scheduling_serving"), figure("scheduling_degraded")) == (1, 1)
    await Servers(redis=False).health().report()
    assert (figure("scheduling_serving"), figure("scheduling_degraded")) == (0, 0)


def figure(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)
