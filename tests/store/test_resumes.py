"""What has passed in a pause stays passed, also if Redis loses all it has after the Resume."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from scheduling_client.schedules.spread import jitter_ms
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.refill import RedisRefill
from scheduling_srv.app.recovery import rebuild
from scheduling_srv.app.recovery.rebuild import Rebuild
from scheduling_srv.app.recovery.refill import Extent
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import MissedRule, Overlap
from scheduling_srv.formats.entry_groups import groups
from scheduling_srv.formats.versions import READS
from tests.harness.names import Names
from tests.store.kafka_log import KafkaLog
from tests.store.shard import (
    ANY,
    HOUR,
    MINUTE,
    NOW,
    PARTITION,
    SECOND,
    Run,
    Shard,
    briefly,
    cron,
    every,
    ids_of,
    once,
)

FIRST = NOW + 100 * SECOND
"""22:15."""
RESUMED = FIRST + 12 * MINUTE
NEXT = FIRST + 15 * MINUTE
SPAN = 5 * MINUTE
TYPE, JOB = ["t"], ["a"]
BOTH = pytest.mark.parametrize("paused", [JOB, TYPE], ids=["job", "type"])
SCHEDULES = {
    "interval": every("a", SPAN, FIRST),
    "cron": cron("a", "*/5 * * * *", FIRST),
    "jitter": every("a", SPAN, FIRST, properties=Properties(jitter=1)),
    "retries": every("a", SPAN, FIRST, attempts=3, delay=SECOND),
}
ALL = pytest.mark.parametrize("job", SCHEDULES.values(), ids=SCHEDULES)


@dataclass
class Host:
    """Implements `Clock`."""

    time: int = NOW

    def now(self) -> int:
        return self.time


@dataclass
class Service:
    """A shard whose outbox goes to a log, and which can be made anew from that log alone."""

    shard: Shard
    log: KafkaLog = field(default_factory=lambda: KafkaLog("first", NOW))

    async def begin(self) -> None:
        """With a run that stays unanswered: a rebuild reads everything from then on."""
        self.log.position = replace(self.log.position, format=READS)
        await self.shard.own()
        position = self.log.position
        self.shard.lineage = await self.shard.schedule.initialise(self.shard.token, position, NOW)
        await self.publish(NOW)
        await self.shard.create(once("old", NOW, type="other"))
        assert ids_of(await self.drain(NOW)) == ["old"]

    async def create(self, *jobs: NewJob) -> None:
        await self.shard.create(*jobs)
        await self.publish(NOW)

    @property
    def store(self) -> RedisPauses:
        return RedisPauses(self.shard.client, self.shard.namespace, 0)

    async def pause(self, names: list[str], now: int = NOW + SECOND) -> None:
        note = f'{{"since": {now}, "note": "", "by": ""}}'
        assert (await self.store.pause(names, note, types=names == TYPE)).changed == len(names)
        await self.publish(now)

    async def resume(self, names: list[str], now: int = RESUMED) -> None:
        """Up to its answer."""
        assert (await self.store.resume(names, now, types=names == TYPE)).changed == len(names)
        await self.publish(now)

    async def drain(self, now: int) -> list[Run]:
        """All that is due, published."""
        runs = await self.shard.drain(now)
        await self.publish(now)
        return runs

    async def stage(self, now: int) -> list[Run]:
        """One call of the owner, published."""
        runs = await self.shard.stage(now)
        await self.publish(now)
        return runs

    async def publish(self, now: int) -> None:
        self.log.publish(await self.shard.publish(now), now)

    async def lose(self, now: int = RESUMED) -> None:
        """Redis is empty."""
        await self.end()
        self.shard = Shard.of(self.shard.client, Names.unique().namespace)
        await self.shard.own()
        topic = PARTITION.removesuffix(":0")
        maker = Rebuild(self.shard.schedule, self.log, jobs_topic=topic, clock=Host(now))
        position, self.shard.lineage = await maker.run(self.shard.token, self.log.position)
        self.log.position = position
        await self.publish(now)

    async def end(self) -> None:
        await self.shard.schedule.begin_rebuild(self.shard.token)
        await self.shard.raw("DEL", "meta", self.shard.jobs.base + "lease")

    async def ways_to_lose(self, now: int = RESUMED) -> AsyncIterator[None]:
        """Redis is lost behind each transaction that may publish what waits in the outbox."""
        made, log = await self.shard.publish(now), self.log
        for end in (0, *(group.end for group in groups(made))):
            self.log = log.copy()
            self.log.publish(made[:end], now)
            await self.lose(now)
            yield

    def kept(self) -> list[bytes]:
        """Keys of pauses that the compacted journal has."""
        last = {record.key or b"": record.value for record in self.log.kept}
        return [key for key, value in last.items() if b"\0pause" in key and value is not None]


@pytest.fixture
async def service(
    client: RedisClient, names: Names, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    monkeypatch.setattr(rebuild, "SKEW", 0)  # here all clocks are one
    made = Service(Shard.of(client, names.namespace))
    await made.begin()
    yield made
    await made.end()


async def passed(service: Service, job: NewJob, paused: list[str]) -> None:
    """Three occurrences pass in a pause of the job or its type, which ends."""
    await service.create(job)
    await service.pause(paused)
    assert await service.drain(RESUMED) == []
    await service.resume(paused)


async def goes_on(service: Service) -> None:
    assert await service.drain(RESUMED) == []
    assert await service.drain(NEXT - 1) == []
    (run,) = await service.drain(NEXT + 1)
    assert (run.id, run.nominal) == ("a", NEXT)
    assert service.kept() == []


@ALL
@BOTH
@pytest.mark.parametrize("calls", range(4))
async def test_it_is_lost_after_so_many_calls_of_the_owner(
    service: Service, job: NewJob, paused: list[str], calls: int
) -> None:
    await passed(service, job, paused)
    for _ in range(calls):
        await service.shard.plan()
        assert await service.stage(RESUMED) == []
    await service.lose()
    await goes_on(service)


@ALL
@BOTH
async def test_it_is_lost_before_the_wake_is_published(
    service: Service, job: NewJob, paused: list[str]
) -> None:
    await passed(service, job, paused)
    assert await service.shard.drain(RESUMED) == []
    await service.lose()
    await goes_on(service)


@ALL
@BOTH
async def test_it_is_lost_again_and_again(service: Service, job: NewJob, paused: list[str]) -> None:
    await passed(service, job, paused)
    for _ in range(3):
        await service.lose()
        await service.lose()
        assert await service.stage(RESUMED) == []
    await goes_on(service)


@ALL
@BOTH
@pytest.mark.parametrize("lost", [False, True])
async def test_the_owner_is_away_since_before_the_pause(
    service: Service, job: NewJob, paused: list[str], *, lost: bool
) -> None:
    """What was due before the pause passes with it, and so does what an outage would make up."""
    await service.create(job)
    await service.pause(paused, FIRST + MINUTE)
    await service.resume(paused)
    if lost:
        await service.lose()
    await goes_on(service)


@BOTH
@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("schedule", ["interval", "cron"])
async def test_an_outage_of_a_job_with_a_window_of_its_own(
    service: Service, schedule: str, paused: list[str], overlap: Overlap
) -> None:
    asked = Properties(missed=MissedRule(3 * MINUTE, latest=True), overlap=overlap)
    jobs = {
        "interval": every("a", SPAN, FIRST, properties=asked),
        "cron": cron("a", "*/5 * * * *", FIRST, properties=asked),
    }
    await service.create(jobs[schedule])
    await service.pause(paused, FIRST + MINUTE)
    await service.resume(paused)
    await goes_on(service)


@ALL
async def test_an_update_after_the_pause_while_the_owner_is_away(
    service: Service, job: NewJob
) -> None:
    """The new job is younger than the pause."""
    await service.create(job)
    await service.pause(TYPE, FIRST + MINUTE)
    await service.resume(TYPE)
    same = {name: each for name, each in UPDATES.items() if SCHEDULES[name] is job}
    await service.shard.update(*same.values(), now=RESUMED)
    await service.publish(RESUMED)
    await goes_on(service)


@BOTH
@pytest.mark.parametrize("updated", [False, True])
@pytest.mark.parametrize("lost", [False, True])
async def test_the_owner_dies_before_it_plans(
    service: Service, paused: list[str], *, updated: bool, lost: bool
) -> None:
    """A cron job stands in `plan` for the whole pause."""
    await service.create(SCHEDULES["cron"])
    assert ids_of(await service.stage(FIRST)) == ["a"]
    await service.pause(paused, FIRST + 1)
    await service.resume(paused)
    if updated:
        await service.shard.update(UPDATES["cron"], now=RESUMED)
        await service.publish(RESUMED)
    if lost:
        await service.lose()
    await goes_on(service)


@BOTH
async def test_the_owner_dies_before_it_plans_a_missed_run(
    service: Service, paused: list[str]
) -> None:
    """The latest occurrence before the end of the outage lies in the pause."""
    await service.create(SCHEDULES["cron"])
    assert await service.stage(FIRST + 2 * MINUTE) == []
    await service.pause(paused, FIRST + 3 * MINUTE)
    await service.resume(paused)
    assert await service.stage(RESUMED) == []
    await goes_on(service)


@BOTH
@pytest.mark.parametrize("lost", [False, True])
async def test_a_missed_run_is_planned_in_the_pause(
    service: Service, paused: list[str], *, lost: bool
) -> None:
    """The owner chooses the latest occurrence of the outage: it lies in the pause."""
    await service.create(SCHEDULES["cron"])
    assert await service.stage(FIRST + 2 * MINUTE) == []
    await service.pause(paused, FIRST + 3 * MINUTE)
    assert await service.drain(FIRST + 11 * MINUTE) == []
    await service.resume(paused)
    if lost:
        await service.lose()
    await goes_on(service)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("updated", [False, True])
@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("schedule", ["interval", "cron"])
@BOTH
async def test_a_run_is_held_for_the_whole_pause(
    service: Service, paused: list[str], schedule: str, *, looks: bool, updated: bool, lost: bool
) -> None:
    """It starts once it has a place; what follows it has passed.

    If Redis loses its data, nothing says of a type that a run was held: it passes.
    """
    held = {
        "interval": every("a", SPAN, FIRST, parallel=1),
        "cron": cron("a", "*/5 * * * *", FIRST, parallel=1),
    }[schedule]
    await service.create(once("first", FIRST - 1, parallel=1), held)
    (first,) = await service.drain(FIRST)
    await service.pause(paused, FIRST + 1)
    if looks:
        assert await service.drain(RESUMED - 1) == []
    await service.resume(paused)
    if looks:
        assert await service.drain(RESUMED) == []
    if updated:
        await service.shard.update(held, now=RESUMED)
        await service.publish(RESUMED)
    if lost:
        await service.lose()
    assert await service.shard.done(first, now=RESUMED) == 1
    await service.publish(RESUMED)
    runs = await service.drain(RESUMED)
    is_known = not lost or updated or paused == JOB
    assert briefly(runs) == [("a", FIRST - NOW)] * is_known
    await service.shard.done(*runs, now=RESUMED)
    await service.publish(RESUMED)
    await goes_on(service)


@pytest.mark.parametrize("updated", [False, True])
@BOTH
async def test_a_missed_run_waits_for_the_whole_pause(
    service: Service, paused: list[str], *, updated: bool
) -> None:
    await service.create(SCHEDULES["cron"])
    assert await service.stage(FIRST + 2 * MINUTE) == []
    await service.shard.plan()
    await service.pause(paused, FIRST + 3 * MINUTE)
    await service.resume(paused)
    if updated:
        await service.shard.update(UPDATES["cron"], now=RESUMED)
        await service.publish(RESUMED)
    assert briefly(await service.drain(RESUMED)) == [("a", FIRST - NOW)]
    await goes_on(service)


@pytest.mark.parametrize("planning", [False, True])
@pytest.mark.parametrize("schedule", ["interval", "cron"])
async def test_an_update_in_the_pause_leaves_the_paused_type(
    service: Service, schedule: str, *, planning: bool
) -> None:
    """The next occurrence was due before the pause, and no owner has seen it."""
    others = {
        "interval": every("a", SPAN, FIRST, type="awake"),
        "cron": cron("a", "*/5 * * * *", FIRST, type="awake"),
    }
    await service.create(SCHEDULES[schedule])
    if planning:
        assert ids_of(await service.stage(FIRST)) == ["a"]
    await service.pause(TYPE, FIRST + MINUTE)
    await service.shard.update(others[schedule], now=RESUMED)
    await service.publish(RESUMED)
    assert await service.drain(RESUMED) == []
    assert briefly(await service.drain(NEXT)) == [("a", NEXT - NOW)]


@ALL
@BOTH
@pytest.mark.parametrize("looks", [False, True], ids=["away", "looks"])
@pytest.mark.parametrize("updated", [False, True])
async def test_what_is_due_after_the_pause_starts_late(
    service: Service, job: NewJob, paused: list[str], *, looks: bool, updated: bool
) -> None:
    """The owner is away from the resume on."""
    await service.create(job)
    await service.pause(paused)
    if looks:
        assert await service.drain(RESUMED - 1) == []
    await service.resume(paused)
    late = NEXT + MINUTE // 2
    if updated:
        same = {name: each for name, each in UPDATES.items() if SCHEDULES[name] is job}
        await service.shard.update(*same.values(), now=late)
        await service.publish(late)
    assert briefly(await service.drain(late)) == [("a", NEXT - NOW)]


async def test_a_one_time_job_of_the_type_starts(service: Service) -> None:
    await service.create(once("a", FIRST), every("b", SPAN, FIRST))
    await service.pause(TYPE)
    assert await service.drain(RESUMED) == []
    await service.resume(TYPE)
    await service.lose()
    assert briefly(await service.drain(RESUMED)) == [("a", FIRST - NOW)]
    assert ids_of(await service.drain(NEXT)) == ["b"]


@ALL
@BOTH
async def test_the_owner_is_away_for_the_whole_pause(
    service: Service, job: NewJob, paused: list[str]
) -> None:
    await service.create(job)
    await service.pause(paused)
    await service.resume(paused)
    await goes_on(service)


@ALL
@BOTH
async def test_it_is_lost_in_the_pause_and_resumed_before_the_owner_looks(
    service: Service, job: NewJob, paused: list[str]
) -> None:
    await service.create(job)
    await service.pause(paused)
    assert await service.drain(RESUMED) == []
    await service.lose()
    await service.resume(paused)
    await goes_on(service)


async def test_a_type_is_woken_piece_by_piece(service: Service) -> None:
    """Redis is lost while half of its jobs sleep."""
    jobs = [every(f"j{number}", SPAN, FIRST) for number in range(2100)]
    for first in range(0, len(jobs), 300):
        await service.create(*jobs[first : first + 300])
    await service.pause(TYPE)
    assert await service.drain(FIRST) == []
    await service.resume(TYPE)
    await service.stage(RESUMED)
    assert len(await service.shard.raw("HKEYS", "waking")) == 1
    await service.lose()
    assert await service.drain(RESUMED) == []
    assert await service.shard.raw("HGET", "meta", "resting") == b"0"
    assert len(await service.drain(NEXT)) == len(jobs)
    assert service.kept() == []


@pytest.mark.parametrize("calls", range(3))
async def test_a_type_is_paused_again_before_it_has_woken(service: Service, calls: int) -> None:
    await passed(service, SCHEDULES["cron"], TYPE)
    await service.pause(TYPE, RESUMED + 1)
    for _ in range(calls):
        await service.stage(RESUMED + 1)
    await service.lose(RESUMED + 1)
    if calls:
        assert await service.drain(RESUMED + 1) == []
    await service.resume(TYPE, RESUMED + 2)
    await service.lose(RESUMED + 2)
    assert await service.drain(RESUMED + 2) == []
    (run,) = await service.drain(NEXT)
    assert run.nominal == NEXT
    assert service.kept() == []


async def test_many_runs_of_a_type_that_is_paused_again_rest(service: Service) -> None:
    """The owner does not look at them over and over."""
    await service.create(*[once(f"j{number}", NOW) for number in range(1500)])
    await service.pause(TYPE)
    assert await service.drain(NOW + MINUTE) == []
    await service.resume(TYPE, NOW + MINUTE)
    await service.pause(TYPE, NOW + MINUTE)
    assert await service.drain(NOW + MINUTE) == []
    assert await service.shard.raw("HGET", "meta", "resting") == b"1500"
    await service.resume(TYPE, NOW + MINUTE)
    assert len(await service.drain(NOW + MINUTE)) == 1500


@ALL
@pytest.mark.parametrize("type_first", [True, False])
async def test_the_pauses_of_a_job_and_its_type_overlap(
    service: Service, job: NewJob, type_first: bool
) -> None:
    """What has passed in the one has passed when the other ends."""
    outer, inner = (TYPE, JOB) if type_first else (JOB, TYPE)
    await service.create(job)
    await service.pause(outer)
    assert await service.drain(FIRST) == []
    await service.pause(inner, FIRST + MINUTE)
    assert await service.drain(FIRST + 6 * MINUTE) == []
    await service.resume(outer, FIRST + 6 * MINUTE)
    assert await service.drain(FIRST + 6 * MINUTE) == []
    await service.resume(inner)
    await service.lose()
    await goes_on(service)


@ALL
@BOTH
async def test_an_update_before_the_wake(service: Service, job: NewJob, paused: list[str]) -> None:
    """Of the creator alone: the schedule goes on in phase."""
    await passed(service, job, paused)
    same = {name: each for name, each in UPDATES.items() if SCHEDULES[name] is job}
    await service.shard.update(*same.values(), now=RESUMED)
    await service.publish(RESUMED)
    await service.lose()
    await goes_on(service)


UPDATES = {
    "interval": every("a", SPAN, FIRST, creator="x"),
    "cron": cron("a", "*/5 * * * *", NEXT, creator="x"),
    "jitter": every("a", SPAN, FIRST, creator="x", properties=Properties(jitter=1)),
    "retries": every("a", SPAN, FIRST, creator="x", attempts=3, delay=SECOND),
}


@ALL
async def test_it_is_lost_while_the_resume_is_published(service: Service, job: NewJob) -> None:
    """The job is paused, or goes on."""
    await service.create(job)
    await service.pause(JOB)
    assert await service.drain(RESUMED) == []
    await service.store.resume(JOB, RESUMED, types=False)
    async for _ in service.ways_to_lose():
        assert await service.drain(RESUMED) == []
        if service.kept():
            await service.resume(JOB)
        await goes_on(service)


async def ends(service: Service) -> None:
    await service.store.resume(JOB, RESUMED, types=False)


async def is_deleted(service: Service) -> None:
    await service.shard.delete("a", now=RESUMED)


async def is_restored(service: Service) -> None:
    assert await service.shard.put_back([every("a", SPAN, FIRST, creator="x")], [], ANY)


OVER = Properties(end=FIRST + 6 * MINUTE)
GOES = {
    "it is over": (every("a", SPAN, FIRST, properties=OVER), ends),
    "but for retries": (every("a", SPAN, NOW, attempts=2, properties=OVER), ends),
    "deleted": (SCHEDULES["interval"], is_deleted),
    "restored": (SCHEDULES["interval"], is_restored),
}


@pytest.mark.parametrize(("job", "goes"), GOES.values(), ids=GOES)
async def test_a_pause_goes_with_its_job(
    service: Service, job: NewJob, goes: Callable[[Service], Awaitable[None]]
) -> None:
    """The job is paused, or a new one with its id is not, after another loss either."""
    await service.create(job)
    await service.drain(NOW)
    await service.pause(JOB)
    assert await service.drain(RESUMED) == []
    await goes(service)
    async for _ in service.ways_to_lose():
        (note,), _types = await service.store.pauses(JOB, [])
        is_there = "a" in await service.shard.ids()
        assert (note is not None) == is_there
        if not is_there:
            await service.create(every("a", SPAN, NEXT))
            await service.lose()
            assert ids_of(await service.drain(NEXT)) == ["a"]


@ALL
@pytest.mark.parametrize("is_away", [False, True])
async def test_a_job_that_is_paused_when_its_type_wakes_is_resumed_before_the_owner_looks(
    service: Service, job: NewJob, is_away: bool
) -> None:
    """The pause of the job began behind the occurrence, that of its type has left the journal."""
    await service.create(job)
    await service.pause(TYPE)
    if not is_away:
        assert await service.drain(FIRST + 1) == []
    await service.pause(JOB, FIRST + MINUTE)
    await service.resume(TYPE, FIRST + 2 * MINUTE)
    assert await service.drain(FIRST + 2 * MINUTE) == []
    await service.lose(FIRST + 2 * MINUTE)
    await service.resume(JOB)
    await goes_on(service)


TO_UPDATE = {
    "same": (SCHEDULES["interval"], UPDATES["interval"]),
    "jitter": (SCHEDULES["jitter"], UPDATES["jitter"]),
    "cron": (SCHEDULES["cron"], UPDATES["cron"]),
    "schedule": (SCHEDULES["interval"], every("a", 7 * MINUTE, NEXT)),
    "type": (SCHEDULES["interval"], every("a", SPAN, FIRST, type="awake")),
}


@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize(("job", "new"), TO_UPDATE.values(), ids=TO_UPDATE)
async def test_an_update_before_the_owner_looks(
    service: Service, job: NewJob, new: NewJob, rebuilt: bool
) -> None:
    """What was due in the pause of the type is in no rest yet."""
    await service.create(job)
    await service.pause(TYPE)
    await service.resume(TYPE)
    if rebuilt:
        await service.lose()
    await service.shard.update(new, now=RESUMED)
    await service.publish(RESUMED)
    await goes_on(service)


@pytest.mark.parametrize(("job", "new"), TO_UPDATE.values(), ids=TO_UPDATE)
async def test_it_is_lost_after_such_an_update(service: Service, job: NewJob, new: NewJob) -> None:
    await service.create(job)
    await service.pause(TYPE)
    await service.resume(TYPE)
    await service.shard.update(new, now=RESUMED)
    await service.publish(RESUMED)
    assert await service.drain(RESUMED) == []
    await service.lose()
    await goes_on(service)


OTHERS = {
    "interval": every("a", 7 * MINUTE, FIRST + 8 * MINUTE),
    "cron": cron("a", "*/10 * * * *", FIRST + 5 * MINUTE),
}
"""Other schedules: an occurrence in the pause, and one at `NEXT`."""
LOOKS = pytest.mark.parametrize("looks", [False, True], ids=["away", "looks"])


@ALL
@BOTH
@LOOKS
@pytest.mark.parametrize("lost", [0, FIRST + MINUTE, RESUMED], ids=["never", "in it", "after it"])
@pytest.mark.parametrize("new", OTHERS.values(), ids=OTHERS)
async def test_an_update_in_the_pause_to_another_schedule(
    service: Service, job: NewJob, new: NewJob, *, paused: list[str], looks: bool, lost: int
) -> None:
    """Occurrences of the pause do not start, whether they were due before or after the Update."""
    await service.create(job)
    await service.pause(paused)
    now = FIRST + MINUTE
    if looks:
        assert await service.drain(now) == []
    await service.shard.update(new, now=now)
    await service.publish(now)
    if lost == now:
        await service.lose(now)
    if looks:
        assert await service.drain(RESUMED) == []
    await service.resume(paused)
    if lost == RESUMED:
        await service.lose()
    await goes_on(service)


@BOTH
@LOOKS
@pytest.mark.parametrize(("job", "new"), TO_UPDATE.values(), ids=TO_UPDATE)
async def test_an_update_at_the_end_of_the_pause(
    service: Service, job: NewJob, new: NewJob, paused: list[str], looks: bool
) -> None:
    """Nothing of the pause starts, although the job leaves the paused type."""
    await service.create(job)
    await service.pause(paused)
    if looks:
        assert await service.drain(FIRST + MINUTE) == []
    await service.shard.update(new, now=RESUMED)
    await service.publish(RESUMED)
    assert await service.drain(RESUMED) == []
    await service.resume(paused)
    await goes_on(service)


@BOTH
async def test_an_update_in_the_pause_keeps_what_was_due_before_it(
    service: Service, paused: list[str]
) -> None:
    await service.create(SCHEDULES["interval"])
    await service.pause(paused, FIRST + MINUTE)
    await service.shard.update(OTHERS["interval"], now=FIRST + 2 * MINUTE)
    await service.resume(paused, FIRST + 3 * MINUTE)
    assert briefly(await service.drain(FIRST + 3 * MINUTE)) == [("a", FIRST - NOW)]


@BOTH
async def test_an_update_in_the_pause_drops_what_jitter_delays(
    service: Service, paused: list[str]
) -> None:
    """Its time lies in the pause, and its schedule is gone: nothing would delay it any more."""
    jitter = 4 * MINUTE
    now = FIRST + jitter_ms("a", FIRST, jitter) - 1
    assert now >= FIRST
    await service.create(every("a", SPAN, FIRST, properties=Properties(jitter=jitter)))
    await service.pause(paused)
    assert await service.drain(now) == []
    await service.shard.update(OTHERS["interval"], now=now)
    await service.resume(paused, now)
    assert await service.drain(FIRST + 8 * MINUTE - 1) == []
    assert briefly(await service.drain(FIRST + 8 * MINUTE)) == [("a", FIRST - NOW + 8 * MINUTE)]


async def test_a_reset_ends_it(service: Service) -> None:
    await passed(service, SCHEDULES["cron"], TYPE)
    assert len(service.kept()) == 1
    await service.shard.reset(RESUMED)
    await service.publish(RESUMED)
    assert service.kept() == []
    assert await service.shard.raw("EXISTS", "waking") == 0
    assert await service.shard.raw("HGET", "meta", "paused") == b"0"


async def test_a_new_journal_knows_it(service: Service) -> None:
    await passed(service, SCHEDULES["cron"], TYPE)
    service.log.kept.clear()
    refill = RedisRefill(service.shard.client, service.shard.namespace, 0)
    token, log = service.shard.token, Extent("new", 0, 0)
    while (await refill.refill(token, log, RESUMED, 100, 0)).state != "published":
        await service.publish(RESUMED)
    await service.lose()
    await goes_on(service)


async def test_large_jobs_are_resumed_within_the_budget(service: Service) -> None:
    """One call of the API, several of Redis."""
    jobs = [every(f"j{number}", SPAN, FIRST, payload=900_000) for number in range(6)]
    for job in jobs:
        await service.create(job)
    names = [job.id for job in jobs]
    await service.pause(names)
    while await service.shard.raw("HGET", "meta", "resting") != b"6":
        assert await service.stage(FIRST) == []
    store = service.store
    reply = await store.scripts.run("resume", names, now=RESUMED, kind="job", within="")
    assert reply[-1] == 3
    done = await store.resume(names, RESUMED, types=False)
    assert (done.matched, done.changed) == (6, 3)
    await service.publish(RESUMED)
    assert done.receipt.number <= await service.shard.tail()
    await service.lose()
    assert await service.drain(RESUMED) == []
    assert len(await service.drain(FIRST + HOUR)) >= 6
