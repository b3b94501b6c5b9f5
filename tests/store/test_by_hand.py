"""Runs by hand: beside the schedule, whatever pauses and overlap say."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.app.run_control_ports import Step, Target
from scheduling_srv.domain.errors import FormatTooOld, Overloaded, TooMany
from scheduling_srv.domain.job import Priority
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import RunId, RunOrigin
from scheduling_srv.domain.run_rules import Overlap
from scheduling_srv.formats import job_record
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Emission, JournalRetry, LogRecord, RunKey
from scheduling_srv.formats.position_record import Position
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    Run,
    Shard,
    at_once,
    briefly,
    cron,
    every,
    ids_of,
    once,
)


def control(shard: Shard) -> RedisRunControl:
    return RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)


async def run_now(shard: Shard, *ids: str, now: int = NOW, request: str = "") -> list[RunId]:
    done = await control(shard).run(Step(list(ids), len(ids), ""), now, request)
    return [run.id for run in done.runs]


async def published(shard: Shard) -> list[dict[str, str]]:
    """The headers of the runs that were not published before."""
    records = Announcer().records(await shard.publish(), 0, "x")
    return [
        {name: text.decode() for name, text in record.headers}
        for record in records
        if record.key == b"queuedJob"
    ]


async def nothing_waits(shard: Shard) -> None:
    for key in ("retries", "resting", "waiting", "runs", "open"):
        assert await shard.raw("EXISTS", key) == 0, key


async def test_a_run_beside_the_schedule(shard: Shard) -> None:
    """The schedule is that of before, and the record says where the run comes from."""
    await shard.create(every("a", HOUR))
    (name,) = await run_now(shard, "a", "gone", now=NOW + 5)
    assert (name.job_id, name.nominal, name.origin) == ("a", NOW + 5, RunOrigin.MANUAL)
    (run,) = await shard.drain(NOW + 5)
    assert (run.nominal, run.attempt, run.kind) == (NOW + 5, 1, 2)
    (headers,) = await published(shard)
    assert (headers["origin"], headers["run-id"]) == ("manual", str(name))
    assert headers["occurrence-id"] == f"{name}/1"
    assert headers["attempts"] == "1"
    await shard.done(run)
    assert briefly(await shard.drain(NOW + HOUR)) == [("a", HOUR)]
    assert await shard.raw("EXISTS", "retries") == 0


async def test_two_runs_at_once_have_names_of_their_own(shard: Shard) -> None:
    await shard.create(every("a", HOUR))
    names = [*await run_now(shard, "a"), *await run_now(shard, "a"), *await run_now(shard, "a")]
    assert [name.nominal - NOW for name in names] == [0, 1, 2]
    assert len(await shard.drain(NOW)) == 3


async def test_its_retries(shard: Shard) -> None:
    """They keep the name, and end as others do."""
    await shard.create(every("a", DAY, attempts=3, delay=MINUTE))
    (name,) = await run_now(shard, "a")
    (run,) = await shard.drain(NOW)
    await shard.fail(run)
    (again,) = await shard.drain(NOW + MINUTE)
    assert (again.nominal, again.attempt) == (NOW, 2)
    assert (await published(shard))[-1]["occurrence-id"] == f"{name}/2"
    await shard.done(again)
    await nothing_waits(shard)


@pytest.mark.parametrize("types", [False, True], ids=["job", "type"])
async def test_a_pause_does_not_hold_it_but_its_retry(shard: Shard, types: bool) -> None:
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(every("a", MINUTE, NOW, attempts=2))
    await pauses.pause(["t" if types else "a"], '{"since": 1}', types=types)
    await run_now(shard, "a")
    (run,) = await shard.drain(NOW)
    await shard.fail(run)
    assert await shard.drain(NOW + 1) == []
    await pauses.resume(["t" if types else "a"], NOW + 2, types=types)
    (again,) = await shard.drain(NOW + 2)
    assert again.attempt == 2


async def test_overlap_does_not_hold_it(shard: Shard) -> None:
    rules = Properties(overlap=Overlap.SKIP, start_deadline=1, max_runs=5)
    await shard.create(every("a", HOUR, NOW, properties=rules))
    (first,) = await shard.drain(NOW)
    (name,) = await run_now(shard, "a")
    (run,) = await shard.drain(NOW)
    assert (run.nominal, name.nominal) == (NOW, NOW)
    assert first.instance != run.instance
    headers = await published(shard)
    assert ["run-number" in each for each in headers] == [True, False]


async def test_parallel_and_priority_count(shard: Shard) -> None:
    await shard.create(
        once("other", parallel=1),
        every("a", DAY, parallel=1),
        every("b", DAY, parallel=1, priority=Priority.CRITICAL),
    )
    (other,) = await shard.drain(NOW)
    names = await run_now(shard, "a", "b")
    assert await shard.drain(NOW) == []
    await shard.done(other)
    (first,) = await shard.drain(NOW)
    assert first.id == "b"
    cancelled = await control(shard).cancel([Target(names[0])], NOW, dry_run=False)
    assert cancelled.open == 1
    await shard.done(first)
    assert await shard.drain(NOW) == []
    await nothing_waits(shard)


async def test_a_one_time_job_runs_at_its_time_as_well(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR))
    await run_now(shard, "a")
    (run,) = await shard.drain(NOW)
    assert await shard.done(run) == 1
    assert await shard.ids() == ["a"]
    (own,) = await shard.drain(NOW + HOUR)
    await run_now(shard, "a", now=NOW + HOUR)
    (other,) = await shard.drain(NOW + HOUR)
    await shard.done(own)
    assert await shard.ids() == []
    assert await shard.done(other) == 1
    await nothing_waits(shard)


REMOVALS: dict[str, Callable[[Shard], Awaitable[Any]]] = {
    "delete": lambda shard: shard.delete("a"),
    "update": lambda shard: shard.update(once("a", NOW + DAY, parallel=1)),
    "clear": lambda shard: shard.clear(),
    "reset": lambda shard: shard.reset(),
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
async def test_a_held_run_goes_with_its_job(
    shard: Shard, remove: Callable[[Shard], Awaitable[Any]]
) -> None:
    await shard.create(once("other", parallel=1), once("a", NOW + HOUR, parallel=1))
    (other,) = await shard.drain(NOW)
    await run_now(shard, "a")
    assert await shard.drain(NOW) == []
    await remove(shard)
    await shard.done(other)
    assert await shard.drain(NOW) == []
    await nothing_waits(shard)


async def test_jobs_that_are_no_resources_do_not_match(shard: Shard) -> None:
    await shard.create(at_once("a", NOW + HOUR))
    assert await run_now(shard, "a") == []


async def test_a_repeated_request_finds_its_runs(shard: Shard) -> None:
    await shard.create(every("a", DAY), every("b", DAY))
    found = await run_now(shard, "a", request="r")
    assert await run_now(shard, "a", "b", request="r", now=NOW + 9) == found
    assert await run_now(shard, "a", request="other") != found
    assert await control(shard).recall("r") == Step(["a"], 1, "")
    assert await control(shard).recall("x") is None
    assert 0 < await shard.raw("PTTL", "requests") <= 900_000
    assert 0 < await shard.raw("PTTL", "request:r") <= 900_000
    assert ids_of(await shard.drain(NOW)) == ["a", "a"]


async def test_there_are_bounds(shard: Shard) -> None:
    shard.rule(waiting_retries=2)
    await shard.create(every("a", DAY))
    await run_now(shard, "a", "a")
    with pytest.raises(TooMany):
        await run_now(shard, "a")
    shard.rule(outbox_limit=1)
    with pytest.raises(Overloaded):
        await run_now(shard, "a")


async def test_an_earlier_format_has_no_such_runs(fresh: Shard) -> None:
    shard = await fresh.open(format=1)
    with pytest.raises(FormatTooOld):
        await run_now(shard, "a")


async def test_the_journal_has_it_until_it_is_emitted(shard: Shard) -> None:
    await shard.create(every("a", DAY))
    await shard.publish()
    (name,) = await run_now(shard, "a")
    (waits,) = Announcer().records(await shard.publish(), 0, "x")
    run = RunKey(*name[:3], name.origin.stored)
    assert JournalRetry.parse(waits.key, waits.value or b"") == JournalRetry(run, 1, NOW)
    await shard.drain(NOW)
    records = [*Announcer().records(await shard.publish(), 0, "x")]
    (gone,) = [each for each in records if each.key == waits.key]
    assert gone.value is None
    (queued,) = [each for each in records if each.key == b"queuedJob"]
    entry = LogRecord(0, 0, NOW, queued.key, queued.value, dict(queued.headers))
    assert Emission.parse(entry).run == run


@pytest.mark.parametrize("by_hand", [3, 250])
async def test_however_many_wait_only_retries_count_as_emitted(shard: Shard, by_hand: int) -> None:
    rules = Properties(overlap=Overlap.ONE)
    await shard.create(every("a", MINUTE, NOW, attempts=2, delay=DAY, properties=rules))
    await shard.fail(*await shard.stage(NOW))
    assert await shard.stage(NOW + MINUTE) == [], "it waits for the end of the first one"
    await run_now(shard, *["a"] * by_hand, now=NOW + MINUTE)
    runs = (await shard.runs.job_runs(["a"]))["a"]
    assert runs.counters.emitted == 1
    held = await shard.raw("ZCARD", "retries")
    assert held == by_hand + 2
    await shard.delete("a")
    while await shard.jobs.sweep_retries():
        pass


KINDS_IN_ORDER = {
    "retry": (1, 2),
    "noted": (3, 0),
    "kept": (3, 1),
    "manual": (4, 1),
    "passed": (6, 0),
}


@pytest.mark.parametrize(
    "sizes",
    [
        {"retry": 250},
        {"retry": 1, "manual": 300},
        {"retry": 150, "noted": 100, "kept": 3, "manual": 2, "passed": 1},
        {"noted": 100, "kept": 110},
        {"manual": 201, "passed": 1},
    ],
)
async def test_the_members_of_a_job_are_counted_by_their_kinds(
    shard: Shard, sizes: dict[str, int]
) -> None:
    """Whatever their numbers are; those of other jobs do not count."""
    for name in "xay":
        await shard.create(every(name, DAY))
    seqs = [job_record.seq(await shard.raw("HGET", "jobs", name)) for name in "xay"]
    members = list[str | int | bytes]()
    for name, size in sizes.items():
        kind, attempt = KINDS_IN_ORDER[name]
        for seq in seqs:
            head = seq.to_bytes(6) + bytes([kind])
            for n in range(size if seq == seqs[1] else 3):
                members += [seq, head + (NOW + n).to_bytes(6) + attempt.to_bytes(4) + b"a"]
    await shard.raw("ZADD", "retries", *members)
    runs = (await shard.runs.job_runs(["a"]))["a"]
    assert runs.counters.emitted == sizes.get("retry", 0)
    await shard.raw("DEL", "retries")


async def rebuilt(shard: Shard, jobs: Sequence[RebuiltJob], runs: Sequence[RebuiltRun]) -> None:
    await shard.schedule.begin_rebuild(shard.token, 2)
    await shard.schedule.load_jobs(shard.token, jobs)
    await shard.schedule.load_runs(shard.token, runs)
    position = Position(9, "second", at=NOW, seq=50, format=2)
    shard.lineage = await shard.schedule.initialise(shard.token, position, NOW)
    await shard.publish()


@pytest.mark.parametrize("kind", ["once", "every", "cron"])
async def test_after_a_rebuild(shard: Shard, kind: str) -> None:
    """Waiting and unanswered ones are there, and the schedule is that of before."""
    due = NOW + 100_000
    jobs = {
        "once": once("a", due),
        "every": every("a", HOUR, due),
        "cron": cron("a", "*/5 * * * *", due),
    }
    await shard.create(jobs[kind])
    first, second = await run_now(shard, "a", "a")
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    open_run = RebuiltRun("a", first.seq, first.nominal, 1, 77, NOW, type=b"t", origin=1)
    waiting = RebuiltRun("a", second.seq, second.nominal, 1, due=NOW, origin=1)
    await rebuilt(shard, [RebuiltJob("a", stored.record, due)], [waiting, open_run])
    (run,) = await shard.drain(NOW)
    (headers,) = await published(shard)
    assert headers["run-id"] == str(second)
    assert await shard.done(run, Run("a", 77, 0, 1, 1, 1)) == 2
    assert await shard.ids() == ["a"]
    assert briefly(await shard.drain(due)) == [("a", due - NOW)]
