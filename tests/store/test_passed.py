"""Occurrences that pass without a run: they are counted, told of, and say why (decision 31)."""

import json
from typing import Any

import pytest

from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import JobCounters, Run, RunFilter, RunOutcome
from scheduling_srv.domain.run_rules import MissedRule, Overlap
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Topic
from tests.store.shard import DAY, HOUR, MINUTE, NOW, SECOND, Shard, cron, every

FIRST = NOW + 100 * SECOND
"""22:15."""
EACH_SECOND, FIVE_MINUTES = "* * * * * *", "*/5 * * * *"


async def counters(shard: Shard, job: str = "a") -> JobCounters:
    return (await shard.runs.job_runs([job]))[job].counters


async def passed(shard: Shard) -> Run:
    """The run that stands for the last row of them."""
    outcomes = frozenset({RunOutcome.SKIPPED, RunOutcome.MISSED})
    return (await shard.runs.runs(RunFilter("a", outcomes=outcomes), "", 1)).runs[0].run


async def told(shard: Shard) -> list[tuple[str, int, str]]:
    """Kind, number and reason of the events since the last call."""
    records = Announcer().records(await shard.publish(), 0, shard.incarnation)
    found = [json.loads(each.value or b"") for each in records if each.topic is Topic.EVENTS]
    return [(each["kind"], each["count"], each["reason"]) for each in found if "count" in each]


class Pause:
    def __init__(self, shard: Shard) -> None:
        self.store = RedisPauses(shard.client, shard.namespace, 0)

    async def begin(self) -> None:
        await self.store.pause(["a"], '{"since":1}', types=False)

    async def end(self, now: int) -> None:
        await self.store.resume(["a"], now, types=False)


# --- Why ------------------------------------------------------------------------------------------


async def test_an_earlier_run_is_open(shard: Shard) -> None:
    await shard.create(every("a", MINUTE, NOW, properties=Properties(overlap=Overlap.SKIP)))
    await shard.stage(NOW)
    await shard.stage(NOW + MINUTE)
    assert (await passed(shard)).error == "overlap"
    assert await told(shard) == [("SKIPPED", 1, "overlap")]


@pytest.mark.parametrize("by_cron", [False, True])
async def test_it_could_not_start_in_time(shard: Shard, by_cron: bool) -> None:
    """All that were due are past their deadline but the last one, which is just in time."""
    rules = Properties(start_deadline=SECOND, missed=MissedRule(None, latest=True))
    job = cron("a", FIVE_MINUTES, FIRST, properties=rules)
    await shard.create(job if by_cron else every("a", 5 * MINUTE, FIRST, properties=rules))
    await shard.stage(FIRST - SECOND)
    found = await shard.drain(FIRST + 20 * MINUTE)
    assert [run.nominal for run in found] == [FIRST + 20 * MINUTE]
    run = await passed(shard)
    assert (run.error, (await counters(shard)).skipped) == ("start_deadline", 4)


@pytest.mark.parametrize("by_cron", [False, True])
async def test_its_job_was_paused(shard: Shard, by_cron: bool) -> None:
    pause = Pause(shard)
    job = cron("a", FIVE_MINUTES, FIRST)
    await shard.create(job if by_cron else every("a", 5 * MINUTE, FIRST))
    await pause.begin()
    await shard.drain(FIRST)
    await shard.drain(FIRST + 17 * MINUTE)
    await pause.end(FIRST + 17 * MINUTE)
    await shard.drain(FIRST + 17 * MINUTE)
    run = await passed(shard)
    assert (run.error, run.id.nominal) == ("pause", FIRST + 15 * MINUTE)
    assert (await counters(shard)).skipped == 4
    assert await told(shard) == [("SKIPPED", 4, "pause")]
    assert await shard.raw("EXISTS", "passing") == 0
    (after,) = await shard.drain(FIRST + 20 * MINUTE)
    assert after.nominal == FIRST + 20 * MINUTE


@pytest.mark.parametrize("rule", [None, MissedRule(MINUTE, latest=True), MissedRule(HOUR, False)])
@pytest.mark.parametrize("by_cron", [False, True])
async def test_there_was_an_outage(shard: Shard, rule: MissedRule | None, by_cron: bool) -> None:
    rules = Properties(missed=rule)
    job = cron("a", FIVE_MINUTES, FIRST, properties=rules)
    await shard.create(job if by_cron else every("a", 5 * MINUTE, FIRST, properties=rules))
    await shard.stage(FIRST - SECOND)
    later, found = FIRST + DAY + MINUTE, 0
    for _ in range(20):
        found += len(await shard.drain(later))
    due = DAY // (5 * MINUTE) + 1
    assert found == (12 if rule and not rule.latest else 2)
    assert (await counters(shard)).missed == due - found
    assert (await passed(shard)).error == "outage"
    assert ("MISSED", due - found, "outage") in await told(shard)


async def test_a_long_outage_of_a_frequent_job_is_counted_whole(shard: Shard) -> None:
    """At little cost, and told once."""
    await shard.create(cron("a", EACH_SECOND, FIRST))
    await shard.stage(FIRST - SECOND)
    await shard.drain(FIRST + 30 * DAY)
    missed = 30 * DAY // SECOND - 61
    assert (await counters(shard)).missed == missed
    assert await told(shard) == [("MISSED", missed, "outage")]


async def test_nothing_is_counted_after_the_end(shard: Shard) -> None:
    pause = Pause(shard)
    await shard.create(cron("a", FIVE_MINUTES, FIRST, properties=Properties(end=FIRST + HOUR)))
    await pause.begin()
    await shard.drain(FIRST)
    await pause.end(FIRST + DAY)
    await shard.drain(FIRST + DAY)
    assert await shard.ids() == []
    assert await told(shard) == [("SKIPPED", 13, "pause")]


async def test_a_job_that_goes_before_it_is_planned_leaves_nothing(shard: Shard) -> None:
    pause = Pause(shard)
    await shard.create(cron("a", FIVE_MINUTES, FIRST), cron("b", FIVE_MINUTES, FIRST))
    await pause.begin()
    await shard.drain(FIRST)
    await pause.end(FIRST + HOUR)
    await shard.stage(FIRST + HOUR)
    assert await shard.raw("HLEN", "passing") == 1
    await shard.delete("a")
    await shard.drain(FIRST + HOUR)
    assert await shard.raw("EXISTS", "passing") == 0


# --- The brake ------------------------------------------------------------------------------------


async def test_a_job_is_told_of_once_a_second(shard: Shard) -> None:
    """The next event counts those that it has swallowed."""
    await shard.create(every("a", 100, NOW, properties=Properties(overlap=Overlap.SKIP)))
    await shard.stage(NOW)
    events: list[Any] = []
    for number in range(1, 22):
        await shard.stage(NOW + 100 * number)
        events += await told(shard)
    assert [count for _, count, _ in events] == [1, 10, 10]


async def test_each_job_has_its_own_brake(shard: Shard) -> None:
    rules = Properties(overlap=Overlap.SKIP)
    await shard.create(*[every(name, SECOND, NOW, properties=rules) for name in "ab"])
    await shard.stage(NOW)
    await shard.stage(NOW + SECOND)
    assert len(await told(shard)) == 2
    await shard.stage(NOW + 2 * SECOND)
    assert len(await told(shard)) == 2
