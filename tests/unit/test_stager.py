"""One round of the stager, and how long it sleeps after it; what the planner makes of cron jobs."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from scheduling_client.wire import job_pb2
from scheduling_srv.app.owner.catch_up import CatchUp
from scheduling_srv.app.owner.planner import Planner
from scheduling_srv.app.owner.stager import (
    FULL_PAUSE_MS,
    INPUTS_LOOK_MS,
    SAFETY_LOOK_MS,
    Stager,
    StageResult,
)
from scheduling_srv.app.replies import (
    Cursor,
    Expired,
    GivenUp,
    Instants,
    Lapse,
    Planned,
    Staged,
    Unplanned,
)
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.job import JobRequest, Trigger, TriggerKind
from scheduling_srv.domain.run import PassedBy
from scheduling_srv.domain.trigger import CronText, StoredCron
from scheduling_srv.formats.job_record import pack
from scheduling_srv.runtime import time_slice

LEAD_MS = ShardRules().stage_ahead
WAKE_MS = LEAD_MS // 2
NOW = 1_700_000_000_000
HOUR = 3_600_000


class World:
    """The schedule and the clock."""

    def __init__(self, staged: Staged | None = None) -> None:
        self.staged = staged or Staged(full=False)
        self.unplanned_jobs: list[Unplanned] = []
        self.cutoff = 0
        self.planned: list[Planned] = []
        self.called: list[tuple[Any, ...]] = []
        self.aside = 0
        self.given_up = GivenUp()

    def now(self) -> int:
        return NOW

    async def stage(
        self, token: str, now: int, limit: int, cursor: Cursor | None = None, lead: int = 0
    ) -> Staged:
        assert cursor is None
        self.called.append(("stage", token, now, limit, lead))
        return self.staged

    async def unplanned(self, token: str, limit: int) -> tuple[Instants, Sequence[Unplanned]]:
        self.called.append(("unplanned", token))
        return Instants(self.cutoff), self.unplanned_jobs

    async def plan(self, token: str, planned: Sequence[Planned], now: int) -> int:
        self.planned += planned
        self.aside += sum(job.aside for job in planned)
        return self.aside

    async def plan_again(self, token: str) -> int:
        self.called.append(("plan again", token))
        self.aside = max(0, self.aside - 1000)
        return self.aside

    async def expire(self, token: str, now: int, limit: int) -> Expired:
        self.called.append(("expire", token, now))
        return Expired(3, 2, self.given_up)


def cron_record(text: str) -> bytes:
    """Of a job with this text as its interval."""
    rest = job_pb2.Job(interval=text).SerializeToString()
    data = job_pb2.Data(timezone="UTC").SerializeToString()
    request = JobRequest("j", "t", "UTC", "", data, rest)
    return pack(request, Trigger(TriggerKind.CRON, NOW))


def stager_of(world: World, *, read_at: int = NOW, **rules: Any) -> Stager:
    """`read_at`: the instant up to which inputs are applied."""
    schedule: Any = world
    settings = ShardRules(**rules)
    catch_up = CatchUp(inputs=schedule, limit_ms=1_000)
    catch_up.read_at = read_at
    planner = Planner(schedule=schedule, rules=settings)
    planner.begun = True
    return Stager(schedule=schedule, planner=planner, catch_up=catch_up, rules=settings)


async def round_of(world: World, **options: Any) -> StageResult:
    return await one_round(stager_of(world, **options))


async def one_round(stager: Stager) -> StageResult:
    staged = await stager.stage("token", NOW)
    return await stager.finish("token", NOW, staged)


async def test_it_sleeps_until_the_next_run_is_due() -> None:
    world = World(Staged(full=False, entries=4, next_due=NOW + 700))
    assert await round_of(world) == StageResult(4, NOW + 700 - WAKE_MS)
    assert world.called == [("stage", "token", NOW, 500, LEAD_MS)]


async def test_what_it_has_looked_at_is_due_at_its_time() -> None:
    """A place of a type with `parallel` is decided then: looking at once finds the same."""
    world = World(Staged(full=False, next_due=NOW + WAKE_MS))
    assert await round_of(world) == StageResult(0, NOW + WAKE_MS)


@pytest.mark.parametrize("due", [None, NOW + HOUR])
async def test_it_looks_again_in_any_case(due: int | None) -> None:
    """Signals may be lost."""
    assert await round_of(World(Staged(full=False, next_due=due))) == StageResult(
        0, NOW + SAFETY_LOOK_MS
    )


async def test_it_comes_back_at_once_while_something_is_due() -> None:
    result = await round_of(World(Staged(full=False, entries=500, next_due=NOW)))
    assert result.sleep_until <= NOW


async def test_it_waits_a_little_when_kafka_is_behind() -> None:
    assert await round_of(World(Staged(full=True))) == StageResult(0, NOW + FULL_PAUSE_MS)


async def plans_one(_planner: Planner, _token: str) -> int:
    return 1


async def test_it_plans_what_has_run_and_comes_back_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Planner, "run_once", plans_one)
    world = World(Staged(full=False, entries=1, unplanned=1))
    assert await round_of(world) == StageResult(1, NOW)


async def test_nothing_to_plan_does_not_keep_it_awake() -> None:
    world = World(Staged(full=False, entries=1, unplanned=1))
    assert await round_of(world) == StageResult(1, NOW + SAFETY_LOOK_MS)
    assert ("unplanned", "token") in world.called


async def test_jobs_that_were_set_aside_are_tried_again_once_after_a_start() -> None:
    """A newer version may understand them. All pieces are back before the first one is tried."""
    world = World()
    world.aside = 2500
    stager = stager_of(world)
    stager.planner.begun = False
    for _ in range(2):
        await one_round(stager)
    called = [name for name, *_ in world.called]
    assert called == ["stage", *["plan again"] * 3, "unplanned", "stage"]


async def test_it_times_runs_out_and_comes_back_at_once() -> None:
    """Counted are those that have expired, not those that were only looked at."""
    before = counted("scheduling_runs_expired_total")
    world = World(Staged(full=False, oldest_start=NOW - HOUR))
    assert await round_of(world, completion_timeout=HOUR) == StageResult(0, NOW)
    assert ("expire", "token", NOW) in world.called
    assert counted("scheduling_runs_expired_total") == before + 2


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_no_run_expires_before_the_inputs_up_to_its_deadline_are_read() -> None:
    world = World(Staged(full=False, oldest_start=NOW - HOUR - 50))
    result = await round_of(world, completion_timeout=HOUR, read_at=NOW - 51)
    assert result == StageResult(0, NOW + INPUTS_LOOK_MS)
    assert len(world.called) == 1


async def test_runs_expire_as_of_the_instant_up_to_which_inputs_are_read() -> None:
    world = World(Staged(full=False, oldest_start=NOW - HOUR - 50))
    await round_of(world, completion_timeout=HOUR, read_at=NOW - 20)
    assert ("expire", "token", NOW - 20) in world.called


async def test_it_wakes_up_for_the_next_time_out() -> None:
    world = World(Staged(full=False, oldest_start=NOW - HOUR + 5))
    assert await round_of(world, completion_timeout=HOUR) == StageResult(0, NOW + 5)
    assert len(world.called) == 1


HOURLY = cron_record("0 * * * *")
FULL_HOUR = 1_699_999_200_000
"""22:00."""


async def planned(world: World, **rules: Any) -> list[Planned]:
    schedule: Any = world
    planner = Planner(schedule=schedule, rules=ShardRules(**rules))
    assert await planner.run_once("token") == len(world.unplanned_jobs)
    return world.planned


async def test_a_cron_job_goes_on_behind_its_last_run() -> None:
    world = World()
    world.unplanned_jobs = [Unplanned(b"a", FULL_HOUR, missed=False, record=HOURLY)]
    assert await planned(world) == [Planned(b"a", FULL_HOUR + HOUR, settled=False)]


async def test_the_latest_missed_run_is_settled() -> None:
    world = World()
    world.cutoff = FULL_HOUR + 5 * HOUR
    world.unplanned_jobs = [Unplanned(b"a", FULL_HOUR, missed=True, record=HOURLY)]
    lapse = Lapse(4, FULL_HOUR + 3 * HOUR, PassedBy.OUTAGE)
    assert await planned(world) == [Planned(b"a", FULL_HOUR + 4 * HOUR, settled=True, lapse=lapse)]


async def test_missed_runs_are_skipped() -> None:
    """The first run is the one at the cutoff or behind it."""
    world = World()
    world.cutoff = FULL_HOUR + 5 * HOUR
    world.unplanned_jobs = [Unplanned(b"a", FULL_HOUR, missed=True, record=HOURLY)]
    lapse = Lapse(5, FULL_HOUR + 4 * HOUR, PassedBy.OUTAGE)
    assert await planned(world, missed_runs="skip") == [
        Planned(b"a", FULL_HOUR + 5 * HOUR, settled=False, lapse=lapse)
    ]


async def test_what_passes_in_a_pause_is_counted() -> None:
    world = World()
    resumed = FULL_HOUR + 5 * HOUR + 1
    waits = Unplanned(b"a", resumed, missed=False, record=HOURLY, passed_since=FULL_HOUR)
    world.unplanned_jobs = [waits]
    lapse = Lapse(6, FULL_HOUR + 5 * HOUR, PassedBy.PAUSE)
    assert await planned(world) == [Planned(b"a", FULL_HOUR + 6 * HOUR, settled=False, lapse=lapse)]


async def test_a_job_that_cannot_be_planned_is_set_aside() -> None:
    """Those after it are planned. An older version has accepted it."""
    world = World()
    world.unplanned_jobs = [
        Unplanned(b"a", FULL_HOUR, missed=True, record=cron_record("every blue moon")),
        Unplanned(b"b", FULL_HOUR, missed=False, record=HOURLY),
    ]
    assert await planned(world) == [
        Planned(b"a", None, settled=True, aside=True),
        Planned(b"b", FULL_HOUR + HOUR, settled=False),
    ]


async def test_others_get_their_turn_while_jobs_are_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of 500 jobs may take a millisecond."""
    monkeypatch.setattr(time_slice, "SLICE_MS", 0)
    world = World()
    world.unplanned_jobs = [Unplanned(b"a", FULL_HOUR, missed=False, record=HOURLY)] * 10
    planning = asyncio.ensure_future(planned(world))
    turns = 0
    while not planning.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 10


def test_a_job_that_has_no_further_time_is_over() -> None:
    """Behind the last year that can be searched."""
    assert StoredCron(CronText("0 0 1 1 *", "UTC")).next_after(250_000_000_000_001) is None


def test_the_missed_run_that_is_known_is_the_latest_when_there_is_no_later_one() -> None:
    assert (
        StoredCron(CronText("0 0 1 1 *", "UTC")).latest_before(FULL_HOUR + HOUR, FULL_HOUR)
        == FULL_HOUR
    )


async def test_it_stages_more_at_once_while_more_is_due() -> None:
    world = World(Staged(full=False, entries=500, next_due=NOW))
    stager = stager_of(world)
    await one_round(stager)
    await one_round(stager)
    await one_round(stager)
    calls = [call[3:] for call in world.called if call[0] == "stage"]
    assert calls == [(500, LEAD_MS), (1_000, 0), (500, LEAD_MS)]
