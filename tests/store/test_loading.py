"""What a rebuild does to the store: jobs window by window, then runs (docs/decisions/0015)."""

import pytest

from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import Overlap
from scheduling_srv.formats.position_record import Position
from tests.store.shard import HOUR, MINUTE, NOW, SECOND, Shard, at_once, cron, every, once

LARGE = b"x" * 1_000_000


@pytest.fixture
async def emptied(shard: Shard) -> Shard:
    """Not ready, and without content."""
    await shard.schedule.begin_rebuild(shard.token)
    return shard


def rebuilt(job: NewJob, seq: int, tail: bytes = b"") -> RebuiltJob:
    record = seq.to_bytes(6, "little") + job.record[6:] + tail
    return RebuiltJob(job.id, record, job.due)


def gone(job_id: str) -> RebuiltJob:
    return RebuiltJob(job_id, b"", None)


async def load(shard: Shard, *jobs: RebuiltJob) -> int:
    return await shard.schedule.load_jobs(shard.token, jobs)


async def finish(shard: Shard) -> None:
    position = Position(50, "second", at=NOW, seq=100)
    shard.lineage = await shard.schedule.initialise(shard.token, position, NOW)


async def test_a_later_window_replaces_and_removes(emptied: Shard) -> None:
    """In every index; jobs that were never loaded are no harm."""
    shard = emptied
    first = [every("a", HOUR, creator="c"), once("b", NOW + HOUR), at_once("n"), once("z")]
    jobs = [rebuilt(job, number) for number, job in enumerate(first, 1)]
    assert await load(shard, *jobs) == 4
    assert await load(shard, rebuilt(once("b", NOW), 9), gone("a"), gone("n"), gone("ghost")) == -2
    await finish(shard)
    assert await shard.ids() == ["z", "b"]
    assert [run.brief for run in await shard.drain(NOW + 2 * HOUR)] == [("z", 0), ("b", 0)]
    assert await shard.raw("EXISTS", "creator:c") == 0


async def test_large_jobs_are_taken_out_a_few_at_a_time(emptied: Shard) -> None:
    """A call ends when it has read 4 MB of them; the next one goes on."""
    shard = emptied
    names = [f"j{number}" for number in range(120)]
    for number, name in enumerate(names, 1):
        await load(shard, rebuilt(once(name), number, LARGE))
    before = await calls(shard)
    assert await load(shard, *map(gone, names)) == -120
    assert await calls(shard) - before == 3, "50 ids are looked up at once"
    await finish(shard)
    assert await shard.keys() == ["meta", "outbox"]


async def calls(shard: Shard) -> int:
    """How many scripts the server has run."""
    info = (await shard.client.execute("INFO", "commandstats")).decode()
    line = next(each for each in info.splitlines() if each.startswith("cmdstat_evalsha:"))
    return int(line.partition("calls=")[2].partition(",")[0])


async def test_a_retry_belongs_to_its_job(emptied: Shard) -> None:
    """Not to one that is gone or was replaced; a one-time job has no other occurrence."""
    shard = emptied
    await load(
        shard,
        rebuilt(once("once", NOW, attempts=3), 1),
        rebuilt(every("every", HOUR, NOW, attempts=3), 2),
        rebuilt(once("other", NOW + HOUR, attempts=3), 7),
    )
    runs = [
        RebuiltRun(job_id, seq, NOW - 1, 2, due=NOW + 5)
        for job_id, seq in (("every", 2), ("ghost", 4), ("once", 1), ("other", 3))
    ]
    assert await shard.schedule.load_runs(shard.token, runs) == 2
    await finish(shard)
    assert [(run.id, run.attempt) for run in await shard.drain(NOW + 5)] == [
        ("every", 1),
        ("once", 2),
        ("every", 2),
    ]


@pytest.mark.parametrize("late", [0, 1])
async def test_a_job_goes_on_behind_what_was_emitted_before_its_update(
    emptied: Shard, late: int
) -> None:
    """Attempt 0 in the journal; unless the job is known to be further (docs/decisions/0011)."""
    shard, every_5 = emptied, "*/5 * * * *"
    first = NOW + 100_000
    due = first + late * 5 * MINUTE
    await load(shard, rebuilt(cron("a", every_5, due), 2))
    run = RebuiltRun("a", 2, first, 0, due=first)
    assert await shard.schedule.load_runs(shard.token, [run]) == 1
    await finish(shard)
    runs = await shard.drain(first + 5 * MINUTE)
    assert [each.nominal - first for each in runs] == [5 * MINUTE]
    await shard.entries()
    await shard.delete("a")
    assert (await shard.entries())[0][:1] == b"X"
    await shard.forget_runs(NOW)
    assert "retries" not in await shard.keys()


async def test_a_run_of_a_former_schedule_is_loaded_beside_the_next_one(emptied: Shard) -> None:
    shard = emptied
    await load(shard, rebuilt(every("a", HOUR, NOW + HOUR), 2))
    await shard.schedule.load_runs(shard.token, [RebuiltRun("a", 2, NOW, 1, due=NOW)])
    await finish(shard)
    runs = await shard.drain(NOW + HOUR)
    assert [(run.nominal - NOW, run.attempt) for run in runs] == [(0, 1), (HOUR, 1)]


RULES = {
    "plain": None,
    "ONE": Properties(overlap=Overlap.ONE),
    "jitter": Properties(overlap=Overlap.ONE, jitter=MINUTE),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("kind", ["interval", "cron"])
async def test_an_occurrence_that_waits_by_itself_is_not_the_next_one(
    emptied: Shard, kind: str, rules: Properties | None
) -> None:
    """It has rested, as the journal says; the record of the job may still name it as the next."""
    shard, first = emptied, NOW + 100 * SECOND
    job = every("a", 5 * MINUTE, first, properties=rules)
    if kind == "cron":
        job = cron("a", "*/5 * * * *", first, properties=rules)
    await load(shard, rebuilt(job, 2))
    await shard.schedule.load_runs(shard.token, [RebuiltRun("a", 2, first, 1, due=first)])
    await finish(shard)
    nominals = []
    for minute in range(8):
        now = first + minute * MINUTE
        for run in await shard.drain_once(now):
            nominals.append(run.nominal - first)
            await shard.done(run, now=now)
    assert nominals == [0, 5 * MINUTE]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "reversed"])
@pytest.mark.parametrize("kind", ["interval", "cron"])
async def test_cancelled_occurrences_do_not_come_again(
    emptied: Shard, kind: str, order: tuple[int, int]
) -> None:
    """Two in a row; the journal has them in any order."""
    shard, first = emptied, NOW + 100 * SECOND
    job = every("a", 5 * MINUTE, first)
    if kind == "cron":
        job = cron("a", "*/5 * * * *", first)
    await load(shard, rebuilt(job, 2))
    noted = [RebuiltRun("a", 2, at, 0, due=at) for at in (first, first + 5 * MINUTE)]
    for number in order:
        await shard.schedule.load_runs(shard.token, [noted[number]])
    await finish(shard)
    assert await shard.drain(first + 9 * MINUTE) == []
    runs = await shard.drain(first + 10 * MINUTE)
    assert [run.nominal - first for run in runs] == [10 * MINUTE]


async def test_retries_of_large_jobs_are_loaded_a_few_at_a_time(emptied: Shard) -> None:
    """Their jobs are looked at once each, 4 MB in one call."""
    shard = emptied
    names = [f"j{number:02}" for number in range(12)]
    for number, name in enumerate(names, 1):
        await load(shard, rebuilt(once(name, attempts=9), number, LARGE))
    runs = [
        RebuiltRun(name, number, NOW, attempt, due=NOW + attempt)
        for number, name in enumerate(names, 1)
        for attempt in (2, 3)
    ]
    before = await calls(shard)
    assert await shard.schedule.load_runs(shard.token, runs) == 24
    assert await calls(shard) - before == 4
    assert await shard.raw("ZCARD", "retries") == 24
    for name in names:
        await load(shard, gone(name))
    for key in ("due", "retries"):
        await shard.raw("DEL", key)
    await finish(shard)
