"""`reset`: all jobs and instances are gone, offsets are not (docs/contract.md)."""

import pytest
from structlog.testing import capture_logs

from scheduling_srv.adapters.redis.jobs import origin
from scheduling_srv.domain.errors import StaleSource
from tests.store.shard import DAY, HOUR, NOW, Shard, at_once, cron, every, ids_of, kinds_of, once


async def filled(shard: Shard) -> None:
    """One job in each state that there is."""
    await shard.create(
        once("waiting", NOW + HOUR, creator="me"),
        every("recurring", HOUR),
        cron("planned", "* * * * *", NOW - 10),
        at_once("retried", NOW - 9, attempts=3, delay=3000 * DAY),
        at_once("now", NOW + HOUR),
        once("busy", NOW, type="x", parallel=1),
        once("held", NOW, type="x", parallel=1),
        once("held twice", NOW, type="x", parallel=1),
    )
    runs = {run.id: run for run in await shard.stage(NOW)}
    await shard.fail(runs["retried"])


async def test_nothing_is_left(shard: Shard) -> None:
    """Waiting, planned, retried, held, running: every key is gone, at once."""
    await filled(shard)
    await shard.reset()
    await shard.publish()
    await shard.stage(NOW)
    assert await shard.keys() == ["inputs", "meta"]
    assert await shard.drain(NOW + 9000 * DAY) == []
    assert await shard.position() == 1


async def test_the_log_says_how_much_was_deleted(shard: Shard) -> None:
    await filled(shard)
    with capture_logs() as lines:
        await shard.clear()
        await shard.reset()
        await shard.reset()
    told = [(line["event"], line["jobs"], line.get("runs")) for line in lines]
    assert told == [
        ("all jobs were deleted", 6, None),
        ("a reset deleted all jobs", 0, 2),
        ("a reset deleted all jobs", 0, 0),
    ]


async def test_nothing_is_announced(shard: Shard) -> None:
    """Only the journal learns of it, by a tombstone for each job and each waiting retry."""
    await filled(shard)
    await shard.entries()
    await shard.reset()
    assert kinds_of(await shard.entries()) == "X" * 9


async def test_answers_of_void_instances_change_nothing(shard: Shard) -> None:
    """Also not for a job with the same id that was made since."""
    await shard.create(once("a", attempts=2, parallel=1))
    (run,) = await shard.drain(NOW)
    await shard.reset()
    await shard.create(once("a", attempts=2, parallel=1))
    assert await shard.fail(run) == 0
    (again,) = await shard.drain(NOW)
    assert again.instance != run.instance
    assert await shard.done(again) == 1


async def test_places_of_void_instances_are_free(shard: Shard) -> None:
    """Limits count what is unanswered, and nothing is any more."""
    await shard.create(once("a", parallel=1))
    await shard.drain(NOW)
    await shard.reset()
    await shard.create(once("b", parallel=1))
    assert ids_of(await shard.drain(NOW)) == ["b"]


async def test_staging_between_the_pieces_of_a_reset_starts_nothing_void(shard: Shard) -> None:
    """From its first piece on, nothing older runs."""
    await filled(shard)
    await shard.jobs.scripts.run("clear", now=NOW, mark="reset", **origin(None))
    await shard.create(once("new"))
    assert ids_of(await shard.drain(NOW + 9000 * DAY)) == ["new"]


async def test_what_is_created_meanwhile_stays(shard: Shard) -> None:
    """A reset is of what there was when it began."""
    await filled(shard)
    await shard.jobs.scripts.run("clear", now=NOW, mark="reset", **origin(None))
    await shard.create(once("new"), at_once("new now"))
    await shard.jobs.sweep()
    assert await shard.ids() == ["new"]
    assert ids_of(await shard.drain(NOW)) == ["new", "new now"]


async def test_a_large_reset(shard: Shard) -> None:
    """Thousands of jobs, `now` jobs among them."""
    await shard.create(*[once(f"o{number}") for number in range(2500)])
    await shard.create(*[at_once(f"n{number}") for number in range(2500)])
    assert len(await shard.drain(NOW, 5000)) == 5000
    await shard.reset()
    await shard.publish()
    await shard.stage(NOW)
    assert await shard.keys() == ["meta"]


async def test_a_sweep_that_was_interrupted_is_finished_by_the_next(shard: Shard) -> None:
    """Whatever a crash has left; a sweep with nothing to do does nothing."""
    await filled(shard)
    await shard.jobs.scripts.run("clear", now=NOW, mark="reset", **origin(None))
    await shard.jobs.scripts.run("sweep", most=2)
    await shard.jobs.sweep()
    assert await shard.ids() == []
    await shard.entries()
    await shard.jobs.sweep()
    assert await shard.entries() == []
    await shard.publish()
    await shard.stage(NOW)
    assert await shard.keys() == ["inputs", "meta"]


async def test_a_record_resets_once(shard: Shard) -> None:
    """With its position and its answer in one step; what was created since stays."""
    await shard.create(once("old"))
    source = shard.source(5)
    await shard.jobs.clear(NOW, source, [b"Eanswer"], announced=False)
    assert b"Eanswer" in await shard.entries()
    assert await shard.position() == 6
    await shard.create(once("new"))
    with pytest.raises(StaleSource):
        await shard.jobs.clear(NOW, source, [b"Eanswer"], announced=False)
    with pytest.raises(StaleSource):
        await shard.jobs.clear(NOW, source, announced=True)
    assert await shard.ids() == ["new"]


async def test_ids_are_free_again(shard: Shard) -> None:
    """The same jobs can be created anew."""
    await filled(shard)
    await shard.reset()
    await filled(shard)
