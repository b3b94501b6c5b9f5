"""`put_back`: what a restore does to the store (docs/contract.md)."""

import pytest

from scheduling_srv.domain.errors import LeaseLost
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats.job_record import header
from tests.store.shard import (
    DAY,
    HOUR,
    NOW,
    Shard,
    at_once,
    briefly,
    every,
    ids_of,
    kinds_of,
    once,
)


async def test_jobs_are_put_back_silently(shard: Shard) -> None:
    """With their ids; the journal learns of them, nobody else."""
    assert await shard.put_back([once("a", NOW + HOUR), every("b", DAY)], [], 0)
    assert await shard.ids() == ["a", "b"]
    assert kinds_of(await shard.entries()) == "NN"
    assert ids_of(await shard.drain(NOW + HOUR)) == ["a"]


async def test_what_has_run_meanwhile_does_not_run_again(shard: Shard) -> None:
    """The topic was read before its time."""
    assert await shard.put_back([once("a", NOW)], [], 0)
    assert await shard.ids() == []


async def test_what_was_removed_meanwhile_stays_away(shard: Shard) -> None:
    """By a delete, or by its last answer; the next restore may bring it back."""
    await shard.create(once("a", NOW + HOUR), once("b", NOW))
    (run,) = await shard.drain(NOW)
    await shard.restores.begin("{}", NOW, None)
    await shard.delete("a")
    await shard.done(run)
    assert await shard.put_back([once("a", NOW + HOUR), once("b", NOW + HOUR)], [], ANY_SEQ)
    assert await shard.ids() == []
    await shard.restores.end(shard.token, "1", b"Eend")
    assert await shard.keys() == ["inputs", "meta", "outbox"]
    assert await shard.put_back([once("a", NOW + HOUR)], [], ANY_SEQ, number="2")
    assert await shard.ids() == ["a"]


FINITE = Properties(max_runs=1)


async def test_a_job_that_has_finished_meanwhile_stays_away(shard: Shard) -> None:
    """Its record is still there, for the retry of its last run."""
    await shard.create(every("a", HOUR, NOW, attempts=2, properties=FINITE))
    await shard.restores.begin("{}", NOW, None)
    (run,) = await shard.stage(NOW)
    again = every("a", HOUR, NOW + HOUR, attempts=2, properties=FINITE)
    assert await shard.put_back([again], [], ANY_SEQ)
    assert await shard.ids() == []
    await shard.fail(run)
    assert ids_of(await shard.drain(NOW + HOUR)) == ["a"]


async def test_the_place_of_a_job_that_had_finished_before_is_free(shard: Shard) -> None:
    await shard.create(every("a", HOUR, NOW, attempts=2, properties=FINITE))
    (run,) = await shard.stage(NOW)
    assert await shard.put_back([every("a", HOUR, NOW + HOUR)], [], ANY_SEQ)
    assert await shard.ids() == ["a"]
    await shard.fail(run)
    assert briefly(await shard.drain(NOW + HOUR)) == [("a", HOUR)]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_reset_ends_the_restores_before_it(shard: Shard, announced: bool) -> None:
    """What they have read is older; those that are noted later are heard."""
    await shard.restores.begin("{}", NOW, None)
    await shard.jobs.clear(NOW, announced=announced)
    assert not await shard.put_back([once("a", NOW + HOUR)], [], ANY_SEQ)
    assert await shard.ids() == []
    await shard.restores.begin("{}", NOW, None)
    assert await shard.put_back([once("a", NOW + HOUR)], [], ANY_SEQ, number="2")


async def test_only_the_owner_puts_back(shard: Shard) -> None:
    """A replica that was away for long finds its lease lost."""
    shard.token = "somebody:9"
    with pytest.raises(LeaseLost):
        await shard.put_back([once("a", NOW + HOUR)], [], 0)


async def test_a_job_that_is_there_is_left_alone(shard: Shard) -> None:
    """Same definition: its number, its runs and its phase stay; so restoring twice is once."""
    await shard.create(every("a", HOUR, trace=b"one"), once("b"))
    await shard.drain(NOW)
    before = await shard.jobs.get(["a", "b"])
    await shard.entries()
    for _ in range(2):
        await shard.put_back([every("a", HOUR, NOW + 5), once("b")], [], ANY_SEQ)
    assert await shard.jobs.get(["a", "b"]) == before
    assert kinds_of(await shard.entries()) == ""
    assert (await shard.schedule.stage(shard.token, NOW, 9)).next_due == NOW + HOUR


ANY_SEQ = 2**40


async def test_a_job_that_differs_is_replaced(shard: Shard) -> None:
    """What the topic says last is right."""
    await shard.create(once("a", NOW + HOUR, attempts=1))
    last = await shard.jobs.last_seq()
    await shard.entries()
    await shard.put_back([once("a", NOW, attempts=2)], [], last)
    assert kinds_of(await shard.entries()) == "N"
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    assert header(stored.record).attempts == 2
    assert len(await shard.drain(NOW + HOUR)) == 1


async def test_what_is_newer_than_the_restore_is_untouched(shard: Shard) -> None:
    """Neither replaced nor removed: the topic that was read does not know it yet."""
    last = await shard.jobs.last_seq()
    await shard.create(once("a", attempts=3), once("b"))
    await shard.put_back([once("a", attempts=2)], ["b"], last)
    assert await shard.ids() == ["a", "b"]
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    assert header(stored.record).attempts == 3


async def test_what_the_topic_says_is_gone_goes_silently(shard: Shard) -> None:
    """A tombstone for the journal, no jobsDeleted; `now` jobs are none of its business."""
    await shard.create(once("a"), at_once("n"))
    await shard.entries()
    await shard.put_back([], ["a", "n", "ghost"], ANY_SEQ)
    assert kinds_of(await shard.entries()) == "X"
    assert await shard.ids() == []
    assert ids_of(await shard.drain(NOW)) == ["n"]


async def test_an_unanswered_run_of_a_replaced_job_is_left_to_its_answer(shard: Shard) -> None:
    """As in an update."""
    await shard.create(once("a"))
    (run,) = await shard.drain(NOW)
    await shard.put_back([once("a", NOW + HOUR, attempts=4)], [], ANY_SEQ)
    assert await shard.done(run) == 1
    assert await shard.ids() == ["a"]
