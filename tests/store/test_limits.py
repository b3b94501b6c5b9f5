"""`parallel`: at most n unanswered instances of a type, and nobody waits in vain."""

import pytest

from scheduling_srv.domain.job import Priority
from tests.store.shard import HOUR, NOW, Run, Shard, every, ids_of, once


async def staged_one_by_one(shard: Shard, running: list[Run]) -> list[str]:
    """Answers the oldest run again and again; the order in which the others start."""
    order = []
    while running:
        await shard.done(running.pop(0))
        started = await shard.drain(NOW)
        running += started
        order += ids_of(started)
    return order


async def test_as_many_run_as_the_limit_allows(shard: Shard) -> None:
    """The others start in the order of their places, one for each answer."""
    names = [f"j{number}" for number in range(7)]
    await shard.create(*[once(name, parallel=3) for name in names])
    running = await shard.drain(NOW)
    assert ids_of(running) == names[:3]
    assert await staged_one_by_one(shard, running) == names[3:]


async def test_the_limit_is_of_the_type(shard: Shard) -> None:
    """Other types are not held."""
    await shard.create(once("a", parallel=1), once("b", parallel=1), once("c", type="u"))
    assert ids_of(await shard.drain(NOW)) == ["a", "c"]


async def test_every_job_has_its_own_limit_over_all_of_its_type(shard: Shard) -> None:
    """n counts all unanswered instances of the type, also those of jobs without a limit."""
    await shard.create(
        once("one", NOW, parallel=1),
        once("three", NOW + 1, parallel=3),
        once("two", NOW + 2, parallel=2),
        once("free", NOW + 3),
        once("four", NOW + 4, parallel=4),
    )
    running = await shard.drain(NOW + 4)
    assert ids_of(running) == ["one", "three", "free", "four"]
    # Three are left: neither one, two nor three would be enough for "two".
    await shard.done(running[0])
    assert await shard.drain(NOW + 4) == []
    await shard.done(running[1])
    assert await shard.drain(NOW + 4) == []
    await shard.done(running[2])
    assert ids_of(await shard.drain(NOW + 4)) == ["two"]


async def test_held_runs_start_by_priority_then_due_then_creation(shard: Shard) -> None:
    """They wait in the order of those that do not (docs/contract.md)."""
    await shard.create(once("busy", NOW - 1, parallel=1))
    running = await shard.drain(NOW)
    await shard.create(
        once("c", NOW, parallel=1),
        once("e", NOW, parallel=1, priority=Priority.LOW),
        once("b", NOW - 1, parallel=1),
        once("d", NOW, parallel=1),
        once("a", NOW, parallel=1, priority=Priority.HIGH),
    )
    assert await shard.drain(NOW) == []
    assert await staged_one_by_one(shard, running) == ["a", "b", "c", "d", "e"]


async def test_a_newcomer_with_a_better_place_goes_first(shard: Shard) -> None:
    """A held run has no right to the next free place."""
    await shard.create(once("busy", parallel=1), once("held", parallel=1))
    (busy,) = await shard.drain(NOW)
    await shard.create(once("urgent", parallel=1, priority=Priority.CRITICAL))
    await shard.done(busy)
    (urgent,) = await shard.drain(NOW)
    assert urgent.id == "urgent"
    await shard.done(urgent)
    assert ids_of(await shard.drain(NOW)) == ["held"]


async def test_a_newcomer_that_is_worse_placed_does_not_overtake(shard: Shard) -> None:
    """It waits behind those that are held, also when it comes in the same call as the place."""
    await shard.create(once("busy", parallel=1), once("held", parallel=1))
    (busy,) = await shard.drain(NOW)
    await shard.create(once("late", NOW + 1, parallel=1))
    await shard.done(busy)
    assert ids_of(await shard.drain(NOW + 1)) == ["held"]


@pytest.mark.parametrize("how", ["delete", "update", "clear"])
async def test_whoever_leaves_makes_room(shard: Shard, how: str) -> None:
    """Held runs that are deleted or replaced are passed over, the next one starts."""
    await shard.create(once("busy", parallel=1), *[once(name, parallel=1) for name in "abc"])
    (busy,) = await shard.drain(NOW)
    if how == "delete":
        await shard.delete("a", "b")
    elif how == "update":
        await shard.update(*[once(name, NOW + HOUR, parallel=1) for name in "ab"])
    else:
        await shard.clear()
        await shard.create(once("c", parallel=1))
    await shard.done(busy)
    assert ids_of(await shard.drain(NOW)) == ["c"]


async def test_a_released_run_that_leaves_before_it_starts_passes_its_place_on(
    shard: Shard,
) -> None:
    """The place was given to it, so somebody has to be told that it is free again."""
    await shard.create(once("busy", parallel=1), *[once(name, parallel=1) for name in "ab"])
    await shard.create(once("first", type="u", priority=Priority.CRITICAL))
    (first, busy) = await shard.drain(NOW)
    await shard.create(once("second", type="u", priority=Priority.CRITICAL))
    await shard.done(busy, first)
    # The limit lets only "second" through: "a" has been released, but not staged.
    assert ids_of(await shard.stage(NOW, 1)) == ["second"]
    await shard.delete("a")
    assert ids_of(await shard.drain(NOW)) == ["b"]


async def test_held_runs_are_counted_once_for_each_limit(shard: Shard) -> None:
    """Places that several limits would grant go to the best placed."""
    await shard.create(*[once(f"busy{number}") for number in range(2)])
    busy = await shard.drain(NOW)
    await shard.create(
        once("x", NOW, parallel=1), once("y", NOW, parallel=2), once("z", NOW, parallel=2)
    )
    assert await shard.drain(NOW) == []
    await shard.done(*busy)
    assert ids_of(await shard.drain(NOW)) == ["x", "y"]


async def test_recurring_runs_of_one_job_are_held_one_at_a_time(shard: Shard) -> None:
    """The next occurrence is not planted while the one before it is held; none is lost."""
    await shard.create(every("a", 1000, NOW, parallel=1))
    running = await shard.drain(NOW + 5000)
    nominals = []
    while running:
        run = running.pop()
        nominals.append(run.nominal - NOW)
        await shard.done(run)
        running += await shard.drain(NOW + 5000)
    assert nominals == [0, 1000, 2000, 3000, 4000, 5000]


async def test_a_time_out_makes_room(shard: Shard) -> None:
    """As any other answer does."""
    await shard.create(once("busy", parallel=1), once("held", parallel=1))
    await shard.drain(NOW)
    await shard.publish()
    assert (await shard.schedule.expire(shard.token, NOW + HOUR, 10)).looked_at == 1
    assert ids_of(await shard.drain(NOW + HOUR)) == ["held"]


async def test_a_retry_waits_for_its_place_like_a_first_run(shard: Shard) -> None:
    """It gave its place up when it failed."""
    await shard.create(once("a", parallel=1, attempts=2), once("b", NOW + 1, parallel=1))
    (first,) = await shard.drain(NOW + 1)
    await shard.fail(first, now=NOW + 2)
    (second,) = await shard.drain(NOW + 2)
    assert second.id == "b"  # due before the retry
    await shard.done(second)
    assert [(run.id, run.attempt) for run in await shard.drain(NOW + 2)] == [("a", 2)]


async def test_more_freed_types_than_one_call_looks_at(shard: Shard) -> None:
    """All of them start at once: the stager is told to come back until none is left."""
    names = [f"t{number}" for number in range(250)]
    await shard.create(*[once(f"busy-{name}", type=name, parallel=1) for name in names])
    busy = await shard.drain(NOW)
    await shard.create(*[once(f"held-{name}", type=name, parallel=1) for name in names])
    assert await shard.drain(NOW) == []
    await shard.done(*busy)
    assert len(await shard.drain(NOW)) == 250


async def test_nothing_is_left_of_limits(shard: Shard) -> None:
    """Every key about held runs disappears with the last of them."""
    await shard.create(*[once(f"j{n}", parallel=n, type=f"t{n % 2}") for n in range(1, 9)])
    running = await shard.drain(NOW)
    while running:
        await shard.done(*running)
        running = await shard.drain(NOW)
    await shard.publish()
    assert await shard.keys() == ["inputs", "meta"]
