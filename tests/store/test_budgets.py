"""Calls of the owner and the listener end where their budget in bytes does (decision 14)."""

from typing import Any

import pytest

from scheduling_srv.app.owner import planner
from scheduling_srv.app.ports import Source
from scheduling_srv.app.replies import RebuiltRun, Staged
from scheduling_srv.domain.errors import Overloaded
from scheduling_srv.domain.job import Answer, Priority
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    PARTITION,
    SECOND,
    Run,
    Shard,
    at_once,
    cron,
    every,
    ids_of,
    kinds_of,
    once,
    runs_in,
)

LARGE = 850_000
BUDGET = 4_000_000
MB = 1_000_000


async def create_large(shard: Shard, count: int, **more: Any) -> None:
    """In pieces, published: the outbox is empty."""
    for number in range(count):
        await shard.create(once(f"j{number:03}", payload=LARGE, **more))
    await shard.publish()


# --- Staging ------------------------------------------------------------------------------------


@pytest.mark.parametrize("made_by_an_older_version", [False, True])
async def test_large_jobs_are_staged_in_pieces(
    shard: Shard, made_by_an_older_version: bool
) -> None:
    """Each says that more is due, so that the next one follows at once."""
    await create_large(shard, 12)
    if made_by_an_older_version:
        await shard.raw("HDEL", "meta", "largest")
    sizes, next_due = [], NOW
    while next_due == NOW:
        staged = await shard.schedule.stage(shard.token, NOW, 500)
        sizes.append(staged.size)
        assert staged.next_due in {NOW, None}
        next_due = staged.next_due or 0
    assert len(sizes) >= 3
    assert max(sizes) < BUDGET + 2 * LARGE
    assert ids_of(runs_in(await shard.entries())) == [f"j{number:03}" for number in range(12)]


async def test_a_job_larger_than_the_budget_is_staged_alone(shard: Shard) -> None:
    """A call always makes progress."""
    for number in range(3):
        await shard.create(once(f"j{number}", payload=BUDGET + 1))
    assert [ids_of(await shard.stage(NOW)) for _ in range(4)] == [["j0"], ["j1"], ["j2"], []]


async def test_priority_holds_over_the_pieces(shard: Shard) -> None:
    """What comes meanwhile and is better placed overtakes all that is not staged yet."""
    await create_large(shard, 8, priority=Priority.LOW)
    await create_large_of(shard, "n", 8, Priority.NORMAL)
    first = ids_of(await shard.stage(NOW))
    await shard.create(once("urgent", priority=Priority.CRITICAL))
    rest = ids_of(await shard.drain(NOW))
    assert rest[0] == "urgent"
    everything = first + rest[1:]
    assert everything == [f"n{n}" for n in range(8)] + [f"j{n:03}" for n in range(8)]


async def create_large_of(shard: Shard, name: str, count: int, priority: Priority) -> None:
    for number in range(count):
        await shard.create(once(f"{name}{number}", payload=LARGE, priority=priority))
    await shard.publish()


async def test_small_jobs_are_not_split(shard: Shard) -> None:
    """Most jobs are small: a call stages as many as it is asked for."""
    for first in range(0, 1000, 200):
        await shard.create(*[once(f"j{first + n}", payload=200) for n in range(200)])
    assert len(await shard.stage(NOW, 1000)) == 1000


async def test_the_largest_record_is_known_after_a_rebuild(shard: Shard) -> None:
    await create_large(shard, 1)
    assert int(await shard.raw("HGET", "meta", "largest")) > LARGE
    await shard.schedule.begin_rebuild(shard.token)
    assert await shard.raw("HGET", "meta", "largest") == b"0"


# --- Held runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [1, 2])
async def test_held_runs_find_room_in_pieces_and_in_order(shard: Shard, limits: int) -> None:
    """None starts before a better placed one that may start, also if the limits differ."""
    await shard.create(*[once(f"a{n}", parallel=20) for n in range(20)])
    running = await shard.stage(NOW)
    for number in range(12):
        priority = Priority.HIGH if number % 2 else Priority.NORMAL
        limit = 20 + number % 2 if limits == 2 else 20
        job = once(f"b{number:02}", payload=LARGE, parallel=limit, priority=priority)
        await shard.create(job)
    await shard.drain(NOW)
    assert await shard.raw("ZCARD", "waiting") == (12 if limits == 1 else 11)
    await shard.done(*running)
    await shard.publish()
    sizes, order = [], list[Run]()
    while await shard.raw("EXISTS", "freed") or await shard.raw("ZCARD", "due"):
        staged = await shard.schedule.stage(shard.token, NOW, 500)
        sizes.append(staged.size)
        order += runs_in(await shard.entries())
        if await shard.raw("EXISTS", "freed"):
            assert staged.next_due == NOW
    assert max(sizes) < BUDGET + 2 * LARGE
    names = ids_of(order)
    high = [f"b{n:02}" for n in range(1, 12, 2)]
    normal = [f"b{n:02}" for n in range(0, 12, 2)]
    assert names == [name for name in high + normal if name in names]
    assert len(names) == (12 if limits == 1 else 11)


# --- The outbox ---------------------------------------------------------------------------------


async def test_the_outbox_is_bounded_in_bytes(shard: Shard) -> None:
    """For staging, writes and appends alike. Deletes and answers go on."""
    await create_large(shard, 1)
    shard.jobs.outbox_bytes = 3 * MB
    shard.rule(outbox_bytes=3 * MB)
    await shard.jobs.append([b"E" + b"x" * MB] * 3, NOW)
    assert await shard.schedule.stage(shard.token, NOW, 500) == Staged(full=True)
    with pytest.raises(Overloaded):
        await shard.create(once("a"))
    with pytest.raises(Overloaded):
        await shard.jobs.append([b"E"], NOW)
    await shard.delete("j000")
    await shard.publish()
    await shard.create(once("a"))
    assert ids_of(await shard.stage(NOW)) == ["a"]


async def waiting_bytes(shard: Shard) -> int:
    return (await shard.take((await shard.schedule.state()).trimmed)).size


async def test_bytes_are_counted_to_within_a_megabyte(shard: Shard) -> None:
    """Whoever trims: after a crash another publisher goes on, at any entry."""
    await shard.publish()
    published = (await shard.schedule.state()).trimmed
    sizes = [300_000 + 1000 * number for number in range(40)]
    for size in sizes:
        await shard.jobs.append([b"E" + b"x" * (size - 1)], NOW)
    assert await waiting_bytes(shard) == sum(sizes)
    for done in (1, 2, 5, 6, 17, 18, 39):
        while (await shard.schedule.state()).taken < published + done:
            ahead = (await shard.schedule.state()).taken - (await shard.schedule.state()).trimmed
            await shard.take((await shard.schedule.state()).trimmed, ahead)
        size = (await shard.take(published + done)).size
        assert 0 <= size - sum(sizes[done:]) <= MB + max(sizes)
    await shard.take(published + 40)
    assert await waiting_bytes(shard) == 0
    assert await shard.raw("EXISTS", "sizes") == 0


async def test_large_entries_among_small_ones_are_all_handed_out(shard: Shard) -> None:
    """However many are read at once."""
    await shard.publish()
    base = (await shard.schedule.state()).trimmed
    entries = [b"E%d" % n + b"x" * (500_000 if n % 7 == 0 else 10) for n in range(60)]
    await shard.jobs.append(entries, NOW)
    shard.seen = base
    assert await shard.publish() == entries


# --- Answers, time-outs, sweeps -----------------------------------------------------------------


async def test_answers_are_applied_in_pieces(shard: Shard) -> None:
    """The position is behind the last one that was applied; the others come again."""
    await create_large(shard, 12)
    runs = await shard.drain(NOW)
    await shard.publish()
    answers = [Answer(run.instance, False, 10 * n + 1) for n, run in enumerate(runs)]
    stored, calls = 0, 0
    while answers:
        source = Source(PARTITION, stored, answers[-1].next, shard.lineage)
        answered = await shard.jobs.complete(answers, NOW, source)
        assert 0 < answered.looked_at == answered.known < 12
        stored = answers[answered.looked_at - 1].next
        assert await shard.position() == stored
        answers = answers[answered.looked_at :]
        calls += 1
    assert calls >= 3
    assert await shard.keys() == ["inputs", "meta", "outbox"]
    assert kinds_of(await shard.entries()) == "EX" * 12


async def test_time_outs_are_applied_in_pieces(shard: Shard) -> None:
    await create_large(shard, 12)
    await shard.drain(NOW)
    await shard.publish()
    counts = []
    while await shard.raw("EXISTS", "running"):
        counts.append((await shard.schedule.expire(shard.token, NOW + DAY, 500)).looked_at)
        await shard.publish()
    assert sum(counts) == 12
    assert max(counts) < 12


async def test_large_jobs_are_swept_in_pieces(shard: Shard) -> None:
    """Each is announced once, whoever sweeps."""
    await create_large(shard, 12, due=NOW + DAY)
    await shard.create(*[at_once(f"n{n}", NOW + DAY, payload=LARGE) for n in range(3)])
    await shard.entries()
    await shard.clear()
    assert kinds_of(await shard.entries()) == "D" * 12
    await shard.reset()
    assert kinds_of(await shard.entries()) == "X" * 3
    assert await shard.ids() == []


async def test_a_restore_over_large_living_jobs_reads_them_in_pieces(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small events may name jobs that have become large: one call read all of them."""
    await create_large(shard, 15, due=NOW + DAY)
    await shard.entries()
    calls = list[int]()
    run = shard.restores.scripts.run

    async def counted(name: str, rest: Any, **named: Any) -> Any:
        reply = await run(name, rest, **named)
        calls.append(sum(reply[1:]))
        return reply

    monkeypatch.setattr(shard.restores.scripts, "run", counted)
    small = [once(f"j{number:03}", NOW + DAY) for number in range(5, 15)]
    removed = [f"j{number:03}" for number in range(5)]
    last = 1 << 40
    assert await shard.put_back([*small, once("new", NOW + DAY)], removed, last)
    assert sum(calls) == 16
    assert max(calls) <= 5
    assert await shard.ids() == [*(job.id for job in small), "new"]
    assert kinds_of(await shard.entries()) == "X" * 5 + "N" * 11


# --- Retries ------------------------------------------------------------------------------------


async def with_retries(shard: Shard, count: int, **more: Any) -> None:
    """A recurring job with so many runs that wait for their retry."""
    await shard.create(every("j", SECOND, attempts=3, delay=float(HOUR), **more))
    for number in range(count):
        await shard.fail(*await shard.stage(NOW + (number + 1) * SECOND), now=NOW)
    await shard.publish()
    assert await shard.raw("ZCARD", "retries") == count


async def sweep_retries(shard: Shard) -> list[bytes]:
    """Until none is left; returns the entries."""
    swept = []
    while await shard.jobs.sweep_retries():
        swept += await shard.publish()
    return swept + await shard.publish()


@pytest.mark.parametrize("how", ["delete", "update", "clear"])
async def test_many_retries_go_after_their_job(shard: Shard, how: str) -> None:
    """None runs any more as soon as the call is answered; their removal follows in pieces."""
    await with_retries(shard, 250)
    if how == "delete":
        await shard.delete("j")
    elif how == "update":
        await shard.update(every("j", DAY))
    else:
        await shard.clear()
    assert await shard.raw("ZCARD", "retries") == 250
    await shard.publish()
    assert ids_of(await shard.drain(NOW + 2 * HOUR)) == []
    swept = await sweep_retries(shard)
    assert kinds_of(swept) == "X" * 250
    assert len(set(swept)) == 250
    left = await shard.keys()
    assert "retries" not in left
    assert "orphans" not in left
    assert ("jobs" in left) == (how == "update")


async def test_held_retries_go_after_their_job(shard: Shard) -> None:
    """Neither they nor the place that they wait for are left."""
    await with_retries(shard, 150, parallel=1)
    await shard.create(once("blocker", NOW, parallel=1))
    await shard.stage(NOW + MINUTE)
    later = NOW + 2 * HOUR
    await shard.drain(later)
    assert await shard.raw("ZCARD", "waiting") > 100
    await shard.delete("j")
    await sweep_retries(shard)
    await shard.forget_runs(later)
    assert ids_of(await shard.drain(later)) in ([], ["blocker"])
    await shard.forget_runs(later)
    await shard.publish()
    assert await shard.keys() == ["inputs", "meta"]


async def test_removing_retries_waits_for_others(shard: Shard) -> None:
    """What clients wait for is announced first."""
    await with_retries(shard, 150)
    await shard.delete("j")
    await shard.jobs.append([b"E"] * 1000, NOW)
    assert await shard.jobs.sweep_retries()
    assert await shard.raw("ZCARD", "retries") == 150
    await shard.publish()
    assert not await shard.jobs.sweep_retries()
    assert await shard.raw("EXISTS", "retries") == 0


async def test_a_rebuild_finds_retries_whose_removal_was_not_announced(shard: Shard) -> None:
    """Else they would stay in the journal for ever."""
    await shard.create(once("j"))
    runs = [RebuiltRun("gone", 7, NOW, 2, due=NOW), RebuiltRun("j", 99, NOW, 2, due=NOW)]
    await shard.schedule.load_runs(shard.token, runs)
    await shard.publish()
    assert ids_of(await shard.drain(NOW)) == ["j"]
    await shard.publish()
    entries = await sweep_retries(shard)
    names = [b"Xgone\x007\x00%d" % NOW, b"Xj\x0099\x00%d" % NOW]
    assert sorted(entry for entry in entries if entry[:1] == b"X") == names


async def test_waiting_retries_of_a_job_are_bounded(shard: Shard) -> None:
    """Beyond the bound a failed run has failed; the job goes on, and so do its retries."""
    shard.jobs.waiting_retries = 3
    shard.rule(waiting_retries=3)
    await shard.create(every("j", SECOND, attempts=2, delay=float(HOUR)))
    given_up = []
    for number in range(5):
        runs = await shard.stage(NOW + (number + 1) * SECOND)
        source = shard.source(shard.offset)
        shard.offset += 1
        answers = [Answer(run.instance, failed=True) for run in runs]
        given_up.append((await shard.jobs.complete(answers, NOW, source)).given_up)
    assert [each.runs for each in given_up] == [0, 0, 0, 1, 1]
    assert given_up[-1].job == b"j"
    await shard.stage(NOW + 6 * SECOND)
    await shard.publish()
    expired = await shard.schedule.expire(shard.token, NOW + DAY, 500)
    assert (expired.looked_at, expired.given_up.runs) == (1, 1)
    retried = [run for run in await shard.stage(NOW + 2 * HOUR) if run.attempt == 2]
    assert len(retried) == 3


# --- Planning -----------------------------------------------------------------------------------


async def test_large_cron_jobs_are_planned_in_pieces(shard: Shard) -> None:
    for number in range(12):
        await shard.create(cron(f"j{number:02}", "* * * * *", NOW, payload=LARGE))
        await shard.publish()
    while (await shard.schedule.stage(shard.token, NOW, 500)).entries:
        await shard.publish()
    _, unplanned = await shard.schedule.unplanned(shard.token, 500)
    assert 0 < len(unplanned) < 12
    counts = []
    while await shard.raw("EXISTS", "plan"):
        counts.append(await shard.plan())
    assert sum(counts) == 12
    assert await shard.raw("ZCARD", "due") == 12


async def test_jobs_that_cannot_be_planned_keep_none_from_being_planned(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are set aside, tried again after a start, and go when they are deleted."""
    monkeypatch.setattr(planner, "PLAN_JOBS", 5)
    await shard.create(*[cron(f"bad{n}", "whenever", NOW - DAY) for n in range(12)])
    await shard.create(cron("good", "* * * * *", NOW))
    await shard.drain(NOW)
    assert await shard.raw("ZCARD", "aside") == 12
    assert (await shard.schedule.stage(shard.token, NOW, 500)).unplanned == 0
    minute = NOW - NOW % MINUTE + MINUTE
    assert ids_of(await shard.stage(minute)) == ["good"]
    assert await shard.schedule.plan_again(shard.token) == 0
    scores = await shard.raw("ZRANGE", "plan", 0, 0, "WITHSCORES")
    assert int(scores[1]) == NOW - DAY
    await shard.drain(minute)
    await shard.delete(*[f"bad{n}" for n in range(12)])
    assert await shard.raw("EXISTS", "aside") == 0
    await shard.delete("good")
