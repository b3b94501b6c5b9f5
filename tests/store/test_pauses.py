"""Pauses of jobs and types: nothing of them starts, and it goes on after them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.domain.errors import FormatTooOld
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.kafka_records import JOURNAL_DUE, JournalPause, Record, Topic
from scheduling_srv.formats.messages import read_open_from
from scheduling_srv.formats.position_record import Position
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Shard,
    at_once,
    briefly,
    cron,
    every,
    ids_of,
    once,
    runs_in,
)

NOTE = f'{{"since": {NOW}, "note": "why", "by": "me"}}'
BOTH = pytest.mark.parametrize("types", [False, True], ids=["job", "type"])


FIRST = NOW + 100 * SECOND
"""22:15."""


def moved(job: NewJob) -> NewJob:
    """The same schedule, of another type."""
    (kind,) = [name for name, each in SCHEDULES.items() if each is job]
    if kind == "cron":
        return cron("a", "*/5 * * * *", FIRST, type="u")
    return every("a", 5 * MINUTE, FIRST + HOUR, type="u", notes=Note.KEEP_MORE)


class Paused:
    """Pauses the job `a`, or its type `t`."""

    def __init__(self, shard: Shard, *, types: bool) -> None:
        self.store = RedisPauses(shard.client, shard.namespace, 0)
        self.types = types
        self.names = ["t"] if types else ["a"]

    async def pause(self) -> int:
        return (await self.store.pause(self.names, NOTE, types=self.types)).changed

    async def resume(self, now: int = NOW) -> int:
        return (await self.store.resume(self.names, now, types=self.types)).changed


async def rests(shard: Shard) -> int:
    return int(await shard.raw("HGET", "meta", "resting") or 0)


async def published(shard: Shard) -> list[Record]:
    return list(Announcer().records(await shard.publish(), 0, "x"))


@BOTH
async def test_an_interval_goes_on_in_phase(shard: Shard, types: bool) -> None:
    paused = Paused(shard, types=types)
    await shard.create(every("a", MINUTE, NOW))
    assert await paused.pause() == 1
    assert await paused.pause() == 0
    for minute in range(3):
        assert await shard.drain(NOW + minute * MINUTE) == []
    assert await rests(shard) == 1
    assert await paused.resume() == 1
    assert await paused.resume() == 0
    assert await shard.drain(NOW + 3 * MINUTE - 1) == []
    assert briefly(await shard.drain(NOW + 3 * MINUTE)) == [("a", 3 * MINUTE)]
    assert await rests(shard) == 0
    assert await shard.raw("EXISTS", "retries") == 0


@BOTH
async def test_an_interval_that_did_not_come_due_keeps_its_time(shard: Shard, types: bool) -> None:
    paused = Paused(shard, types=types)
    await shard.create(every("a", MINUTE, NOW))
    await paused.pause()
    await shard.stage(NOW - 5)
    await paused.resume()
    assert briefly(await shard.stage(NOW)) == [("a", 0)]


@BOTH
async def test_a_cron_job_goes_on(shard: Shard, types: bool) -> None:
    paused = Paused(shard, types=types)
    first = NOW + 100 * SECOND
    await shard.create(cron("a", "*/5 * * * *", first))
    await paused.pause()
    assert await shard.drain(first + 12 * MINUTE) == []
    await paused.resume()
    assert await shard.drain(first + 12 * MINUTE) == []
    assert [run.nominal - first for run in await shard.drain(first + 15 * MINUTE)] == [15 * MINUTE]


@BOTH
@pytest.mark.parametrize("parallel", [0, 1])
async def test_a_one_time_job_waits(shard: Shard, types: bool, parallel: int) -> None:
    paused = Paused(shard, types=types)
    await shard.create(once("a", NOW, parallel=parallel))
    await paused.pause()
    assert await shard.drain(NOW + DAY) == []
    await paused.resume()
    (run,) = await shard.drain(NOW + DAY)
    assert run.brief == ("a", 0)
    await shard.done(run, now=NOW + DAY)
    assert await shard.raw("EXISTS", "jobs") == 0
    assert await shard.raw("EXISTS", "retries") == 0


@BOTH
async def test_a_retry_waits(shard: Shard, types: bool) -> None:
    paused = Paused(shard, types=types)
    await shard.create(once("a", NOW, attempts=2, delay=SECOND))
    (run,) = await shard.stage(NOW)
    await paused.pause()
    await shard.fail(run)
    assert await shard.drain(NOW + HOUR) == []
    await paused.resume()
    (again,) = await shard.drain(NOW + HOUR)
    assert (again.attempt, again.nominal) == (2, NOW)


async def test_a_held_run_waits_when_its_place_comes(shard: Shard) -> None:
    paused = Paused(shard, types=False)
    await shard.create(once("first", NOW - 1, parallel=1), every("a", HOUR, NOW, parallel=1))
    (first,) = await shard.stage(NOW)
    await paused.pause()
    await shard.done(first)
    assert await shard.drain(NOW + 1) == []
    await paused.resume(NOW + MINUTE)
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", 0)]
    assert len(await shard.drain(NOW + HOUR)) == 0  # one place, and it is taken


async def test_both_pauses_have_to_end(shard: Shard) -> None:
    job, type_ = Paused(shard, types=False), Paused(shard, types=True)
    await shard.create(once("a", NOW), once("b", NOW), once("c", NOW, type="other"))
    await job.pause()
    await type_.pause()
    assert ids_of(await shard.drain(NOW)) == ["c"]
    await job.resume()
    assert await shard.drain(NOW) == []
    await type_.resume()
    assert ids_of(await shard.drain(NOW)) == ["a", "b"]


async def test_a_pause_of_a_type_holds_for_later_jobs(shard: Shard) -> None:
    paused = Paused(shard, types=True)
    await paused.pause()
    await shard.create(at_once("a"))
    assert await shard.drain(NOW) == []
    await paused.resume()
    assert ids_of(await shard.drain(NOW)) == ["a"]


async def test_many_runs_go_on_piece_by_piece(shard: Shard) -> None:
    paused = Paused(shard, types=True)
    await shard.create(*[once(f"j{number}", NOW) for number in range(2500)])
    await paused.pause()
    for _ in range(6):
        assert await shard.stage(NOW) == []
    assert await rests(shard) == 2500
    await paused.resume()
    assert len(await shard.drain(NOW)) == 2500
    assert await shard.raw("EXISTS", "resumed") == 0


CHANGES: dict[str, Callable[[Shard], Awaitable[Any]]] = {
    "delete": lambda shard: shard.delete("a"),
    "clear": lambda shard: shard.clear(),
    "reset": lambda shard: shard.reset(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(
    "make", [lambda: every("a", MINUTE, NOW), lambda: once("a", NOW)], ids=["every", "once"]
)
async def test_a_removed_job_leaves_nothing_at_rest(
    shard: Shard, change: Callable[[Shard], Awaitable[Any]], make: Callable[[], Any]
) -> None:
    paused = Paused(shard, types=False)
    await shard.create(make())
    await paused.pause()
    await shard.drain(NOW)
    assert await rests(shard) == 1
    await change(shard)
    assert await rests(shard) == 0
    for key in ("retries", "resting", "paused", "jobs"):
        assert await shard.raw("EXISTS", key) == 0, key
    assert int(await shard.raw("HGET", "meta", "paused")) == 0


@BOTH
async def test_a_pause_in_which_nothing_came_due_leaves_nothing(shard: Shard, types: bool) -> None:
    paused = Paused(shard, types=types)
    await shard.create(every("a", MINUTE, NOW))
    await paused.pause()
    await paused.resume()
    assert await shard.raw("EXISTS", "resumed") == 0


@BOTH
async def test_a_job_that_is_removed_before_it_goes_on_leaves_nothing(
    shard: Shard, types: bool
) -> None:
    paused = Paused(shard, types=types)
    await shard.create(once("a", NOW))
    await paused.pause()
    assert await shard.drain(NOW) == []
    await paused.resume()
    assert await shard.raw("EXISTS", "resumed") == 1
    await shard.delete("a")
    assert await shard.raw("EXISTS", "resumed") == 0
    await shard.stage()
    assert await shard.raw("EXISTS", "waking") == 0


async def test_a_reset_ends_the_pause_of_a_type(shard: Shard) -> None:
    paused = Paused(shard, types=True)
    await shard.create(once("a", NOW))
    await paused.pause()
    await shard.drain(NOW)
    await shard.reset()
    await shard.create(once("b", NOW))
    assert ids_of(await shard.drain(NOW)) == ["b"]
    assert await rests(shard) == 0


async def test_a_reset_takes_pauses_out_of_the_journal(shard: Shard) -> None:
    await shard.create(once("a", NOW), at_once("n", NOW), once("b", NOW, type="u"))
    for names, types in ((["a", "b"], False), (["t", "u", "v"], True)):
        await Paused(shard, types=types).store.pause(names, NOTE, types=types)
    kept = {record.key for record in await published(shard) if b"\0pause" in record.key}
    assert len(kept) == 5
    await shard.reset()
    gone = {record.key for record in await published(shard) if record.value is None}
    assert kept <= gone
    assert int(await shard.raw("HGET", "meta", "paused")) == 0
    assert await shard.raw("EXISTS", "paused") == 0


async def test_an_update_keeps_the_pause_and_what_rests(shard: Shard) -> None:
    paused = Paused(shard, types=False)
    await shard.create(every("a", MINUTE, NOW))
    await paused.pause()
    await shard.drain(NOW + 5)
    await shard.update(every("a", MINUTE, NOW + 7, creator="new"), now=NOW + 6)
    assert await shard.drain(NOW + MINUTE + 5) == []
    notes, _ = await paused.store.pauses(["a", "b"], [])
    assert json.loads(notes[0] or "")["note"] == "why"
    assert notes[1] is None
    await paused.resume()
    assert await shard.drain(NOW + MINUTE + 6) == []
    assert briefly(await shard.drain(NOW + 2 * MINUTE)) == [("a", 2 * MINUTE)]


async def test_a_pause_is_in_the_journal(shard: Shard) -> None:
    await shard.create(once("a", NOW))
    await shard.publish()
    for types, key in ((False, b"a\0pause"), (True, b"\0pause\0t")):
        paused = Paused(shard, types=types)
        await paused.pause()
        record, told = await published(shard)
        assert (record.key, told.topic) == (key, Topic.EVENTS)
        found = JournalPause.parse(record.key, record.value or b"")
        assert (found.job_id, found.type, found.seq) == (("", "t", 1) if types else ("a", "", 1))
        await paused.resume()
        gone, told = await published(shard)
        assert told.topic is Topic.EVENTS
        assert (gone.key, gone.value) == (key, None)


async def test_a_rebuild_brings_pauses_back(shard: Shard) -> None:
    await shard.create(once("a", NOW), once("b", NOW, type="u"), once("c", NOW, type="v"))
    records = [(name, await shard.raw("HGET", "jobs", name)) for name in "abc"]
    await shard.schedule.begin_rebuild(shard.token)
    jobs = [RebuiltJob(name, record, NOW) for name, record in records]
    await shard.schedule.load_jobs(shard.token, jobs)
    note = b'{"seq": 1}'
    pauses = [JournalPause("a", "", note), JournalPause("", "u", note), JournalPause("x", "", note)]
    assert await shard.schedule.load_pauses(shard.token, pauses) == 2
    await shard.schedule.initialise(shard.token, Position(9, "new", seq=9, format=2), NOW)
    assert ids_of(await shard.drain(NOW)) == ["c"]


async def test_a_paused_job_is_not_staged_ahead(shard: Shard) -> None:
    paused = Paused(shard, types=False)
    await shard.create(every("a", MINUTE, NOW))
    await paused.pause()
    await shard.schedule.stage(shard.token, NOW - 5, 500, lead=10)
    assert runs_in(await shard.entries()) == []
    assert await rests(shard) == 0


async def rested(shard: Shard, paused: Paused, job: NewJob, until: int) -> None:
    """Creates the job, whose occurrences until then pass at rest."""
    await shard.create(job)
    await paused.pause()
    assert await shard.drain(until) == []


SCHEDULES = {
    "interval": every("a", 5 * MINUTE, FIRST),
    "cron": cron("a", "*/5 * * * *", FIRST),
    "jitter": every("a", 5 * MINUTE, FIRST, properties=Properties(jitter=1)),
}


@pytest.mark.parametrize("job", SCHEDULES.values(), ids=SCHEDULES)
async def test_an_update_to_a_type_that_is_not_paused_goes_on(shard: Shard, job: NewJob) -> None:
    """In phase, without the occurrences that have passed."""
    paused = Paused(shard, types=True)
    await rested(shard, paused, job, FIRST + 12 * MINUTE)
    now = FIRST + 12 * MINUTE
    await shard.update(moved(job), now=now)
    assert await shard.drain(now) == []
    (run,) = await shard.drain(FIRST + 15 * MINUTE + 1)
    assert run.nominal == FIRST + 15 * MINUTE


@BOTH
async def test_an_update_between_resume_and_staging_goes_on(shard: Shard, types: bool) -> None:
    paused = Paused(shard, types=types)
    await rested(shard, paused, SCHEDULES["interval"], FIRST + 12 * MINUTE)
    now = FIRST + 12 * MINUTE
    await paused.resume(now)
    await shard.update(every("a", 5 * MINUTE, now, creator="x"), now=now)
    assert await shard.drain(now) == []
    assert briefly(await shard.drain(FIRST + 15 * MINUTE)) == [("a", FIRST - NOW + 15 * MINUTE)]


@BOTH
async def test_an_update_of_a_job_at_rest_leaves_it_there(shard: Shard, types: bool) -> None:
    """A Resume finds it, before the next staging as well."""
    paused = Paused(shard, types=types)
    await rested(shard, paused, SCHEDULES["interval"], FIRST + 12 * MINUTE)
    now = FIRST + 12 * MINUTE
    await shard.update(every("a", 5 * MINUTE, now, creator="x"), now=now)
    assert await rests(shard) == 1
    await paused.resume(now)
    assert await shard.drain(now) == []
    assert briefly(await shard.drain(FIRST + 15 * MINUTE)) == [("a", FIRST - NOW + 15 * MINUTE)]
    assert await shard.raw("EXISTS", "retries") == 0


@BOTH
async def test_an_update_to_another_schedule_keeps_nothing_that_has_passed(
    shard: Shard, types: bool
) -> None:
    paused = Paused(shard, types=types)
    await rested(shard, paused, SCHEDULES["interval"], FIRST + 12 * MINUTE)
    now = FIRST + 12 * MINUTE
    await shard.update(every("a", HOUR, now + HOUR), now=now)
    await paused.resume(now)
    assert await shard.drain(now + HOUR - 1) == []
    assert briefly(await shard.drain(now + HOUR)) == [("a", now + HOUR - NOW)]


async def test_a_run_rests_on_when_its_job_is_finished(shard: Shard) -> None:
    paused = Paused(shard, types=False)
    rules = Properties(end=NOW + MINUTE)
    await shard.create(once("b", NOW - 1, parallel=1))
    await shard.create(every("a", HOUR, NOW, parallel=1, properties=rules))
    (other,) = await shard.stage(NOW)
    await paused.pause()
    await shard.done(other)
    assert await shard.drain(NOW + 1) == []
    assert await shard.ids() == []
    assert await paused.resume(NOW + HOUR) == 1
    (run,) = await shard.drain(NOW + HOUR)
    assert run.brief == ("a", 0)
    await shard.done(run, now=NOW + HOUR)
    assert await shard.raw("EXISTS", "jobs") == 0
    assert await shard.raw("EXISTS", "paused") == 0


async def test_a_retry_rests_on_when_its_cron_job_is_finished(shard: Shard) -> None:
    paused = Paused(shard, types=False)
    rules = Properties(end=FIRST + MINUTE)
    await shard.create(
        cron("a", "*/5 * * * *", FIRST, attempts=2, delay=1, properties=rules),
    )
    (run,) = await shard.stage(FIRST)
    await paused.pause()
    await shard.fail(run, now=FIRST)
    assert await shard.drain(FIRST + 10) == []
    await shard.plan()
    assert await paused.resume(FIRST + HOUR) == 1
    (again,) = await shard.drain(FIRST + HOUR)
    assert (again.nominal, again.attempt) == (FIRST, 2)
    await shard.done(again, now=FIRST + HOUR)
    assert await shard.raw("EXISTS", "jobs") == 0


@pytest.mark.parametrize("how", ["clear", "finished"])
async def test_a_new_job_with_the_id_of_a_paused_one_is_not_paused(shard: Shard, how: str) -> None:
    paused = Paused(shard, types=False)
    rules = Properties(max_runs=1)
    await shard.create(every("a", HOUR, NOW, attempts=2, delay=1, properties=rules))
    if how == "finished":
        await shard.stage(NOW)
        await shard.raw("HSET", "paused", "a", NOTE)  # the pause came when its last run was held
        await shard.raw("HINCRBY", "meta", "paused", 1)
    else:
        await paused.pause()
        await shard.clear()
    await shard.upsert(every("a", HOUR, NOW + HOUR))
    assert await shard.raw("EXISTS", "paused") == 0
    assert ids_of(await shard.drain(NOW + HOUR)) == ["a"]


async def test_a_resume_without_a_run_at_rest_leaves_nothing(shard: Shard) -> None:
    for types in (False, True):
        paused = Paused(shard, types=types)
        await shard.create(every("a", HOUR, NOW + HOUR))
        await paused.pause()
        await shard.stage(NOW)
        assert await paused.resume() == 1
        assert await shard.raw("EXISTS", "resumed") == 0
        await shard.delete("a")


async def test_names_that_were_resumed_go_with_the_last_run_at_rest(shard: Shard) -> None:
    paused = Paused(shard, types=False)
    await shard.create(once("a", NOW))
    await paused.pause()
    await shard.stage(NOW)
    await paused.resume()
    assert await shard.raw("EXISTS", "resumed") == 1
    await shard.delete("a")
    assert await shard.raw("EXISTS", "resumed") == 0


async def test_many_names_are_looked_at_piece_by_piece(shard: Shard) -> None:
    """Most of their runs do not rest any more."""
    other = Paused(shard, types=True)
    await shard.create(once("a", NOW))
    await other.pause()
    await shard.stage(NOW)
    await shard.raw("SADD", "resumed", *(f"j{number}:x" for number in range(2500)))
    for left in (1500, 500, 0):
        await shard.stage(NOW + 1)
        assert await shard.raw("SCARD", "resumed") == left


@BOTH
@pytest.mark.parametrize("rebuild", [False, True])
async def test_a_held_one_time_job_that_has_rested_is_removed_whole(
    shard: Shard, types: bool, rebuild: bool
) -> None:
    paused = Paused(shard, types=types)
    await shard.create(once("b", NOW, type="t", parallel=1), once("a", NOW, parallel=1))
    (other,) = await shard.stage(NOW)
    await paused.pause()
    await shard.done(other)
    assert await shard.drain(NOW) == []
    if rebuild:
        record = await shard.raw("HGET", "jobs", "a")
        await shard.schedule.begin_rebuild(shard.token)
        await shard.schedule.load_jobs(shard.token, [RebuiltJob("a", record, NOW)])
        await shard.schedule.load_runs(shard.token, [RebuiltRun("a", 2, NOW, 1, due=NOW)])
        await shard.schedule.initialise(shard.token, Position(99, "x", seq=9, format=2), NOW)
    else:
        await paused.resume()
    await shard.create(once("c", NOW - 1, parallel=1))
    assert ids_of(await shard.drain(NOW)) == ["c"]
    await shard.delete("a")
    for key in ("retries", "resting", "due", "blocked:1:t"):
        assert await shard.raw("EXISTS", key) == 0, key


async def test_a_finished_job_may_be_paused_no_more(shard: Shard) -> None:
    paused = Paused(shard, types=False)
    await shard.create(every("a", MINUTE, NOW, properties=Properties(end=NOW + 3 * MINUTE)))
    await paused.pause()
    await shard.drain(NOW + 10 * MINUTE)
    await paused.resume()
    assert await shard.drain(NOW + 10 * MINUTE) == []
    assert await shard.ids() == []
    assert await paused.pause() == 0


async def test_the_format_of_2018_has_no_pauses(shard: Shard) -> None:
    await shard.raw("HSET", "meta", "format", 1)
    with pytest.raises(FormatTooOld):
        await Paused(shard, types=True).pause()


@BOTH
async def test_the_journal_knows_where_a_resumed_job_goes_on(shard: Shard, types: bool) -> None:
    """Else a rebuild would start the occurrences that have passed, and nobody has emitted."""
    paused = Paused(shard, types=types)
    paused.names = ["t"] if types else ["a", "b"]
    await shard.create(every("a", MINUTE, NOW), cron("b", "* * * * *", FIRST - MINUTE))
    await paused.pause()
    await shard.drain(NOW + 90 * SECOND)
    await shard.publish()
    await paused.resume(NOW + 150 * SECOND)
    await shard.drain(NOW + 150 * SECOND)
    journal = {
        each.key: (JOURNAL_DUE.unpack_from(each.value)[0], each.value[JOURNAL_DUE.size :])
        for each in await published(shard)
        if each.topic is Topic.JOURNAL and each.key in (b"a", b"b") and each.value
    }
    assert {key: read_open_from(record, due) for key, (due, record) in journal.items()} == {
        b"a": NOW + 3 * MINUTE,
        b"b": FIRST + MINUTE,
    }
