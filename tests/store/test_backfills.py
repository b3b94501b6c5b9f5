"""Backfills: the occurrences of a job between two instants, so many at a time."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from scheduling_srv.adapters.redis.backfills import RedisBackfills
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.owner.backfiller import Backfiller
from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.app.run_control_ports import BackfillVerdict, NewBackfill, Target
from scheduling_srv.domain.errors import FormatTooOld
from scheduling_srv.domain.run import RunId, RunOrigin
from scheduling_srv.domain.run_control import Backfilled
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import JournalBackfill, Record
from scheduling_srv.formats.position_record import Position
from tests.store.shard import DAY, HOUR, MINUTE, NOW, Run, Shard, cron, every, once

SINCE = NOW - DAY


class Filled:
    """The backfill of the job `a`, and its owner."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.store = RedisBackfills(shard.client, shard.namespace, 0, shard.schedule.rules)
        self.time = NOW
        self.loop = Backfiller(self.store, self)

    def now(self) -> int:
        return self.time

    async def begin(self, runs: int, limit: int = 1, request: str = "") -> BackfillVerdict:
        (stored,) = await self.shard.jobs.get(["a"])
        assert stored
        seq = int.from_bytes(stored.record[:6], "little")
        ends = [RunId("a", seq, SINCE + n * HOUR, RunOrigin.BACKFILL) for n in (0, runs - 1)]
        asked = NewBackfill("a", seq, SINCE + runs * HOUR, limit, Backfilled(runs, *ends))
        verdict, _, plan = await self.store.begin(asked, request)
        assert plan == asked.plan
        return verdict

    async def staged(self) -> list[Run]:
        """The runs that the owner adds, and stages."""
        await self.loop.run_once(self.shard.token)
        return await self.shard.drain(self.time)


def hours(runs: list[Run]) -> list[int]:
    return [(run.nominal - SINCE) // HOUR for run in runs]


@pytest.fixture
def filled(shard: Shard) -> Filled:
    return Filled(shard)


async def records(shard: Shard) -> list[Record]:
    return list(Announcer().records(await shard.publish(), 0, "x"))


@pytest.mark.parametrize("planned", [False, True], ids=["interval", "cron"])
async def test_the_runs_come_in_order(shard: Shard, filled: Filled, planned: bool) -> None:
    """At most two at a time; the schedule goes on as before."""
    # Each hour at 13 minutes and 20 seconds.
    job = cron("a", "20 13 * * * *", NOW + HOUR) if planned else every("a", HOUR, NOW + HOUR)
    await shard.create(job)
    assert await filled.begin(5, limit=2) is BackfillVerdict.BEGUN
    found: list[int] = []
    while runs := await filled.staged():
        assert len(runs) <= 2
        found += hours(runs)
        await shard.done(*runs)
    assert found == [0, 1, 2, 3, 4]
    assert await shard.raw("EXISTS", "backfills") == 0
    assert await shard.raw("EXISTS", "retries") == 0
    assert [run.nominal for run in await shard.drain(NOW + HOUR)] == [NOW + HOUR]


async def test_the_records_say_where_they_come_from(shard: Shard, filled: Filled) -> None:
    await shard.create(every("a", HOUR))
    await filled.begin(1)
    (run,) = await filled.staged()
    (queued,) = [each for each in await records(shard) if each.key == b"queuedJob"]
    headers = {name: text.decode() for name, text in queued.headers}
    assert headers["origin"] == "backfill"
    assert headers["run-id"] == f"a/{run.seq}/{SINCE}b"
    assert headers["occurrence-id"] == f"a/{run.seq}/{SINCE}b/1"


async def test_many_runs_are_added_piece_by_piece(shard: Shard, filled: Filled) -> None:
    await shard.create(every("a", HOUR))
    await filled.begin(1201, limit=10_000)
    assert hours(await filled.staged()) == [*range(1201)]


async def test_a_failed_run_is_in_flight_until_its_last_attempt(
    shard: Shard, filled: Filled
) -> None:
    await shard.create(every("a", HOUR, attempts=2))
    await filled.begin(2)
    (first,) = await filled.staged()
    await shard.fail(first)
    (again,) = await filled.staged()
    assert (again.nominal, again.attempt) == (SINCE, 2)
    await shard.fail(again)
    assert hours(await filled.staged()) == [1]


async def test_a_pause_holds_it(shard: Shard, filled: Filled) -> None:
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(every("a", HOUR))
    await filled.begin(2)
    await pauses.pause(["a"], '{"since": 1}', types=False)
    assert await filled.staged() == []
    await pauses.resume(["a"], NOW, types=False)
    assert hours(await filled.staged()) == [0]


async def test_cancelled_runs_make_room(shard: Shard, filled: Filled) -> None:
    await shard.create(every("a", HOUR, parallel=1), once("other", parallel=1))
    await shard.drain(NOW)
    await filled.begin(2)
    assert await filled.staged() == []
    control = RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    name = RunId("a", int.from_bytes(stored.record[:6], "little"), SINCE, RunOrigin.BACKFILL)
    assert (await control.cancel([Target(name)], NOW, dry_run=False)).open == 1
    await shard.forget_runs(NOW)
    assert hours(await filled.staged()) == [1]


async def test_a_held_run_does_not_hold_a_rebuild_back(shard: Shard, filled: Filled) -> None:
    """It need not read the topic from the time that is backfilled."""
    await shard.create(every("a", HOUR, parallel=1), once("other", parallel=1))
    await shard.drain(NOW)
    await filled.begin(1)
    await filled.staged()
    held = await shard.raw("ZRANGE", "waiting", 0, -1, "WITHSCORES")
    assert int(held[1]) == NOW


async def test_a_run_that_rested_is_due_when_it_wakes(shard: Shard, filled: Filled) -> None:
    """Not at its nominal time: a rebuild would read the topic from there."""
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    await shard.create(every("a", HOUR, parallel=1), once("other", parallel=1))
    await shard.drain(NOW)
    await filled.begin(1)
    await pauses.pause(["a"], '{"since": 1}', types=False)
    assert await filled.staged() == []
    await pauses.resume(["a"], NOW, types=False)
    assert await filled.staged() == []
    held = await shard.raw("ZRANGE", "waiting", 0, -1, "WITHSCORES")
    assert int(held[1]) == NOW


ENDS: dict[str, Callable[[Shard], Awaitable[Any]]] = {
    "delete": lambda shard: shard.delete("a"),
    "update": lambda shard: shard.update(every("a", MINUTE)),
    "clear": lambda shard: shard.clear(),
    "reset": lambda shard: shard.reset(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_it_ends_with_its_job(
    shard: Shard, filled: Filled, end: Callable[[Shard], Awaitable[Any]]
) -> None:
    await shard.create(every("a", HOUR))
    await filled.begin(5)
    (run,) = await filled.staged()
    await shard.publish()
    await end(shard)
    assert await shard.raw("EXISTS", "backfills") == 0
    (gone,) = [each for each in await records(shard) if each.key == b"a\0backfill"]
    assert gone.value is None
    await shard.done(run)
    assert await filled.staged() == []


async def test_there_is_one_of_a_job(shard: Shard, filled: Filled) -> None:
    await shard.create(every("a", HOUR))
    assert await filled.begin(5, request="r") is BackfillVerdict.BEGUN
    assert await filled.begin(5, request="r") is BackfillVerdict.BEGUN
    assert await filled.begin(5) is BackfillVerdict.BUSY
    assert len(await filled.staged()) == 1


async def test_an_earlier_format_has_none(fresh: Shard) -> None:
    shard = await fresh.open(format=1)
    await shard.create(every("a", HOUR, created=None))
    with pytest.raises(FormatTooOld):
        await Filled(shard).begin(1)


async def test_after_a_rebuild_it_goes_on(shard: Shard, filled: Filled) -> None:
    """With the runs that are open by then."""
    await shard.create(every("a", HOUR, parallel=2))
    await filled.begin(6, limit=3)
    done, running = await filled.staged()
    await shard.done(done)
    found = await records(shard)
    state = [each for each in found if each.key == b"a\0backfill"][-1]
    (stored,) = await shard.jobs.get(["a"])
    assert stored
    backfill = JournalBackfill.parse(state.key, state.value or b"")
    await shard.schedule.begin_rebuild(shard.token, 2)
    await shard.schedule.load_jobs(shard.token, [RebuiltJob("a", stored.record, NOW + HOUR)])
    await shard.schedule.load_runs(
        shard.token,
        [
            RebuiltRun("a", running.seq, SINCE + 2 * HOUR, 1, due=NOW, origin=2),
            RebuiltRun(
                "a", running.seq, running.nominal, 1, running.instance, NOW, type=b"t", origin=2
            ),
        ],
    )
    assert await shard.schedule.load_backfills(shard.token, [backfill]) == 1
    position = Position(9, "second", at=NOW, seq=50, format=2)
    shard.lineage = await shard.schedule.initialise(shard.token, position, NOW)
    shard.offset = 0
    await shard.publish()
    assert hours(await filled.staged()) == [2]
    left: list[int] = []
    for _ in range(9):
        await shard.forget_runs(NOW)
        left += hours(await filled.staged())
    assert left == [3, 4, 5]
