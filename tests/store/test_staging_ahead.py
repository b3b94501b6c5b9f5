"""What falls due soon is staged before its time (docs/decisions/0028)."""

import json
from functools import partial

import pytest

from scheduling_srv.app.replies import Staged
from scheduling_srv.domain.job import NewJob, Priority
from tests.store.shard import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Run,
    Shard,
    at_once,
    briefly,
    cron,
    every,
    ids_of,
    once,
    runs_in,
)

LEAD = 10


async def ahead(shard: Shard, now: int = NOW, limit: int = 500) -> tuple[Staged, list[Run]]:
    """A staging call with a lead, and the runs that it has put into the outbox."""
    await shard.entries()
    staged = await shard.schedule.stage(shard.token, now, limit, None, LEAD)
    return staged, runs_in(await shard.entries())


async def test_what_falls_due_within_the_lead_is_staged(shard: Shard) -> None:
    await shard.create(*[once(f"j{due}", NOW + due) for due in (0, 1, LEAD, LEAD + 1)])
    staged, runs = await ahead(shard)
    assert briefly(runs) == [("j0", 0), ("j1", 1), ("j10", LEAD)]
    assert staged.next_due == NOW + LEAD + 1


async def test_what_is_due_goes_before_what_falls_due(shard: Shard) -> None:
    """A run that is due never waits for one that is not, whatever their priorities."""
    await shard.create(
        once("soon and critical", NOW + 1, priority=Priority.CRITICAL),
        once("due and low", NOW, priority=Priority.LOW),
        once("sooner and low", NOW, priority=Priority.LOW),
    )
    assert ids_of((await ahead(shard))[1]) == [
        "due and low",
        "sooner and low",
        "soon and critical",
    ]


async def test_what_falls_due_is_in_the_order_of_its_time_then_of_its_priority(
    shard: Shard,
) -> None:
    await shard.create(
        *[
            once(f"{priority.name}/{due}/{place}", NOW + due, priority=priority)
            for place in range(2)
            for due in (2, 1)
            for priority in (Priority.LOW, Priority.CRITICAL)
        ]
    )
    assert ids_of((await ahead(shard))[1]) == [
        f"{name}/{due}/{place}"
        for due in (1, 2)
        for name in ("CRITICAL", "LOW")
        for place in range(2)
    ]


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_limit_holds_for_both(shard: Shard, limit: int) -> None:
    await shard.create(once("a"), *[once(f"j{due}", NOW + due) for due in range(1, 6)])
    staged, runs = await ahead(shard, limit=limit)
    assert (staged.entries > 0, len(runs)) == (True, limit)


async def test_an_interval_keeps_its_phase(shard: Shard) -> None:
    """It is planted anew from its own time, not from that of the call."""
    await shard.create(every("a", SECOND, NOW + 7))
    assert briefly((await ahead(shard))[1]) == [("a", 7)]
    assert briefly((await ahead(shard, NOW + 5))[1]) == []
    assert briefly((await ahead(shard, NOW + SECOND))[1]) == [("a", SECOND + 7)]


async def test_a_cron_job_is_planned_from_its_own_time(shard: Shard) -> None:
    await shard.create(cron("a", "* * * * * *", NOW + 7))
    staged, runs = await ahead(shard)
    assert (briefly(runs), staged.unplanned) == ([("a", 7)], 1)
    _, (waiting,) = await shard.schedule.unplanned(shard.token, 10)
    assert (waiting.after, waiting.missed) == (NOW + 7, False)


async def test_a_type_with_parallel_gives_its_place_at_the_time(shard: Shard) -> None:
    """Else a run that is not due yet would keep one out that is."""
    await shard.create(once("a", NOW + 5, parallel=1))
    staged, runs = await ahead(shard)
    assert (runs, staged.next_due) == ([], NOW + 5)
    assert briefly(await shard.stage(NOW + 5)) == [("a", 5)]


async def test_a_retry_is_staged_at_its_time(shard: Shard) -> None:
    """Its entry does not say when that is: `nominal` is the time of the first attempt."""
    await shard.create(at_once("a", attempts=2, delay=5))
    (run,) = await shard.stage()
    await shard.fail(run)
    staged, runs = await ahead(shard)
    assert (runs, staged.next_due) == ([], NOW + 5)
    assert [run.attempt for run in await shard.stage(NOW + 5)] == [2]


@pytest.mark.parametrize("job", [once("a", NOW + 5), every("a", HOUR, NOW + 5)])
async def test_a_run_that_was_staged_is_not_staged_again(shard: Shard, job: NewJob) -> None:
    await shard.create(job)
    assert len((await ahead(shard))[1]) == 1
    assert await shard.stage(NOW + MINUTE) == []


async def test_the_position_record_does_not_run_ahead(shard: Shard) -> None:
    """A rebuild reads from there on: a run that is published at its time must be behind it."""
    await shard.create(once("a", NOW + 5))
    await shard.entries()
    await shard.schedule.stage(shard.token, NOW, 500, None, LEAD)
    run, marker = await shard.entries()
    assert (run[:1], int(json.loads(marker[1:])["replay_from"])) == (b"Q", NOW)


async def test_nothing_is_staged_before_an_occurrence_that_is_due_already(shard: Shard) -> None:
    """It is planted by the call, so the next call stages it."""
    await shard.create(every("often", 100), once("soon", NOW + SECOND + 5))
    runs = (await ahead(shard, NOW + SECOND))[1]
    assert briefly(runs) == [("often", 100)]
    runs = (await ahead(shard, NOW + SECOND))[1]
    assert briefly(runs) == [("often", 200)]


async def test_nothing_is_staged_before_a_run_whose_place_is_decided_at_its_time(
    shard: Shard,
) -> None:
    await shard.create(
        once("before", NOW + 1),
        once("limited", NOW + 2, parallel=2),
        once("after", NOW + 3),
    )
    assert ids_of((await ahead(shard))[1]) == ["before"]
    assert ids_of((await ahead(shard, NOW + 2))[1]) == ["limited", "after"]


async def test_nothing_is_staged_before_a_cron_job_that_is_not_planned(shard: Shard) -> None:
    await shard.create(cron("planned", "* * * * * *", NOW), once("soon", NOW + 5 * SECOND + 1))
    assert ids_of((await ahead(shard, NOW + 5 * SECOND))[1]) == ["planned"]
    assert ids_of((await ahead(shard, NOW + 5 * SECOND))[1]) == []


async def test_the_completion_timeout_counts_from_the_due_time(shard: Shard) -> None:
    shard.rule(completion_timeout=MINUTE)
    await shard.create(once("a", NOW + LEAD))
    assert len((await ahead(shard))[1]) == 1
    await shard.publish(NOW + LEAD)
    early = await shard.schedule.expire(shard.token, NOW + MINUTE + LEAD - 1, 10)
    late = await shard.schedule.expire(shard.token, NOW + MINUTE + LEAD, 10)
    assert (early.looked_at, late.looked_at) == (0, 1)


@pytest.mark.parametrize("staged_ahead", [True, False])
async def test_an_update_may_give_an_instant_of_both_schedules_a_run_of_each(
    shard: Shard, staged_ahead: bool
) -> None:
    """It was checked before the run was staged: the old one comes before it, and has another id."""
    first, now = NOW + MINUTE, NOW + MINUTE - LEAD
    await shard.create(every("a", MINUTE, first))
    stored_at = now if staged_ahead else first
    _, (old,) = await ahead(shard, stored_at)
    new = every("a", 2 * MINUTE, first)
    await shard.update(new, now=stored_at)
    entries = await shard.publish(first)
    letters = [entry[:1] for entry in entries if entry[:1] in {b"Q", b"G"}]
    assert letters[-2:] == [b"Q", b"G"]
    (run,) = await shard.stage(first)
    assert (old.nominal, run.nominal) == (first, first)
    assert old.seq != run.seq
    assert await shard.stage(first + MINUTE) == []
    assert briefly(await shard.stage(first + 2 * MINUTE)) == [("a", 3 * MINUTE)]


async def test_an_update_that_keeps_the_schedule_repeats_no_run_that_was_staged_ahead(
    shard: Shard,
) -> None:
    first, now = NOW + MINUTE, NOW + MINUTE - LEAD
    await shard.create(every("a", MINUTE, first))
    _, (old,) = await ahead(shard, now)
    await shard.update(every("a", MINUTE, first, creator="me"), now=now)
    assert old.nominal == first
    assert await shard.stage(first) == []
    assert briefly(await shard.stage(first + MINUTE)) == [("a", 2 * MINUTE)]


@pytest.mark.parametrize("is_recurring", [False, True])
async def test_runs_of_three_priorities_leave_alone_what_is_due_later(
    shard: Shard, is_recurring: bool
) -> None:
    """As many places lie between the first and the last one as there are: one is of another job."""
    make = partial(every, "later", HOUR) if is_recurring else partial(once, "later")
    await shard.create(
        once("a", NOW + 1, priority=Priority.CRITICAL),
        make(NOW + HOUR, priority=Priority.CRITICAL),
        once("d", NOW + 2, priority=Priority.LOW),
        once("b", NOW + 3, priority=Priority.HIGH),
    )
    _, runs = await ahead(shard)
    assert ids_of(runs) == ["a", "d", "b"]
    assert ids_of(await shard.stage(NOW + 5)) == []
    assert ids_of(await shard.stage(NOW + HOUR)) == ["later"]


async def test_many_runs_at_one_instant_are_staged_once_in_any_limit(shard: Shard) -> None:
    """The members of a call are removed together, and those behind them stay."""
    names = [f"job-{number:03}" for number in range(25)]
    await shard.create(*(once(name, NOW + 5) for name in names))
    found = []
    for _ in range(4):
        found += ids_of(await shard.stage(NOW + 5, limit=7))
    assert sorted(found) == names
    assert ids_of(await shard.stage(NOW + HOUR)) == []
