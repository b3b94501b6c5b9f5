"""Cancelled runs: they end, and nothing of them comes again."""

import json
import re
from collections.abc import Sequence

import pytest

from scheduling_client.wire import job_pb2
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.run_control_ports import Target
from scheduling_srv.domain.errors import FormatTooOld
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import RunId, RunOrigin
from scheduling_srv.domain.run_rules import Overlap
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Record, Topic
from scheduling_srv.formats.layouts import KEPT, RETRY
from tests.store.shard import (
    DAY,
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
)


def named(run: Run) -> RunId:
    return RunId(run.id, run.seq, run.nominal)


async def seq_of(shard: Shard, job_id: str) -> int:
    (found,) = await shard.jobs.get([job_id])
    assert found
    return int.from_bytes(found.record[:6], "little")


async def cancel(shard: Shard, *runs: RunId | Target, now: int = NOW, dry_run: bool = False) -> int:
    control = RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)
    targets = [run if isinstance(run, Target) else Target(run) for run in runs]
    done = await control.cancel(targets, now, dry_run=dry_run)
    assert done.looked_at == len(runs)
    return done.open


async def records(shard: Shard) -> list[Record]:
    """Those of the entries that were not published before."""
    return list(Announcer().records(await shard.publish(), 0, "x"))


def outcomes(found: Sequence[Record]) -> dict[str, str]:
    """Of the jobs that were announced as deleted."""
    return {
        record.route.decode(): dict(record.headers)["outcome"].decode()
        for record in found
        if record.key == b"jobsDeleted"
    }


async def empty(shard: Shard) -> None:
    for key in ("jobs", "runs", "open", "running", "retries", "due", "types", "waiting"):
        assert await shard.raw("EXISTS", key) == 0, key


async def test_a_running_run_of_a_one_time_job(shard: Shard) -> None:
    await shard.create(once("a", attempts=3))
    (run,) = await shard.drain(NOW)
    await shard.publish()
    assert await cancel(shard, named(run), dry_run=True) == 1
    assert await cancel(shard, named(run)) == 1
    found = await records(shard)
    assert outcomes(found) == {"a": "cancelled"}
    (told,) = [record for record in found if record.topic is Topic.JOBS]
    headers = dict(told.headers)
    assert (told.key, told.route, headers["outcome"]) == (b"jobFailed", b"a", b"cancelled")
    assert headers["occurrence-id"] == f"a/{run.seq}/{NOW}/1".encode()
    answer = job_pb2.JobFailed.FromString(told.value or b"")
    assert (answer.id, answer.final, answer.error) == (run.instance, True, "The run was cancelled.")
    assert await shard.fail(run) == 0
    assert await cancel(shard, named(run)) == 0
    await empty(shard)


async def test_a_run_of_a_job_at_once(shard: Shard) -> None:
    await shard.create(at_once("a"))
    (run,) = await shard.drain(NOW)
    assert await cancel(shard, named(run)) == 1
    assert outcomes(await records(shard)) == {}
    await empty(shard)


async def test_a_run_of_a_recurring_job(shard: Shard) -> None:
    """The job goes on."""
    await shard.create(every("a", MINUTE, NOW, attempts=3))
    (run,) = await shard.drain(NOW)
    assert await cancel(shard, named(run)) == 1
    assert await shard.fail(run) == 0
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", MINUTE)]


@pytest.mark.parametrize("parallel", [0, 1])
async def test_a_run_that_waits_for_its_retry(shard: Shard, parallel: int) -> None:
    await shard.create(once("a", attempts=3, delay=HOUR, parallel=parallel))
    (run,) = await shard.drain(NOW)
    await shard.fail(run)
    await shard.publish()
    assert await cancel(shard, named(run)) == 1
    found = await records(shard)
    (told,) = [dict(record.headers) for record in found if record.topic is Topic.JOBS]
    assert told["occurrence-id"] == f"a/{run.seq}/{NOW}/1".encode()
    deleted = next(dict(each.headers) for each in found if each.key == b"jobsDeleted")
    assert (deleted["outcome"], deleted["attempts"]) == (b"cancelled", b"1")
    assert await shard.drain(NOW + HOUR) == []
    await empty(shard)


async def test_a_held_run_of_a_one_time_job(shard: Shard) -> None:
    await shard.create(once("first", parallel=1), once("a", NOW + 1, parallel=1))
    (first,) = await shard.drain(NOW + 1)
    await shard.publish()
    assert await cancel(shard, RunId("a", first.seq + 1, NOW + 1)) == 1
    assert outcomes(await records(shard)) == {"a": "cancelled"}
    await shard.done(first)
    assert await shard.drain(NOW + 1) == []
    await empty(shard)


@pytest.mark.parametrize("planned", [False, True], ids=["interval", "cron"])
async def test_a_held_occurrence_of_a_recurring_job(shard: Shard, planned: bool) -> None:
    """The one after it comes, and a rebuild knows that this one does not."""
    first = NOW + 100 * SECOND
    job = (
        cron("a", "*/5 * * * *", first, parallel=1)
        if planned
        else every("a", 5 * MINUTE, first, parallel=1)
    )
    await shard.create(once("other", parallel=1), job)
    (other,) = await shard.drain(first)
    seq = await seq_of(shard, "a")
    assert await cancel(shard, RunId("a", seq, first), now=first) == 1
    assert await cancel(shard, RunId("a", seq, first), now=first) == 0
    (noted,) = [each for each in await records(shard) if each.key.startswith(b"a\0")]
    assert int.from_bytes((noted.value or b"")[16:20], "little") == 0
    await shard.done(other, now=first)
    assert await shard.drain(first + 5 * MINUTE - 1) == []
    runs = await shard.drain(first + 5 * MINUTE)
    assert [run.nominal for run in runs] == [first + 5 * MINUTE]


async def test_a_freed_place_is_taken(shard: Shard) -> None:
    await shard.create(once("a", parallel=1), once("b", parallel=1))
    (run,) = await shard.drain(NOW)
    assert await cancel(shard, named(run)) == 1
    assert ids_of(await shard.drain(NOW)) == ["b"]


async def test_the_run_of_a_paused_one_time_job(shard: Shard) -> None:
    await shard.create(once("a"))
    await RedisPauses(shard.client, shard.namespace, 0).pause(["a"], '{"since": 1}', types=False)
    assert await shard.drain(NOW) == []
    assert await cancel(shard, RunId("a", await seq_of(shard, "a"), NOW)) == 1
    assert outcomes(await records(shard)) == {"a": "cancelled"}
    await empty(shard)
    assert int(await shard.raw("HGET", "meta", "resting") or 0) == 0


async def test_the_next_run_of_a_job_that_allows_one(shard: Shard) -> None:
    """It has waited for the end of the one that is cancelled."""
    await shard.create(every("a", MINUTE, NOW, properties=Properties(overlap=Overlap.ONE)))
    (run,) = await shard.drain(NOW)
    assert await shard.drain(NOW + MINUTE) == []
    assert await cancel(shard, named(run), now=NOW + MINUTE) == 1
    assert briefly(await shard.drain(NOW + MINUTE)) == [("a", MINUTE)]
    waiting = RunId("a", run.seq, NOW + 2 * MINUTE)
    assert await shard.drain(NOW + 2 * MINUTE) == []
    assert await cancel(shard, waiting, now=NOW + 2 * MINUTE) == 1
    await shard.forget_runs(NOW + 2 * MINUTE)
    assert await shard.drain(NOW + 2 * MINUTE) == []
    assert briefly(await shard.drain(NOW + 3 * MINUTE)) == [("a", 3 * MINUTE)]


async def test_the_last_run_of_a_finished_job(shard: Shard) -> None:
    rules = Properties(max_runs=1)
    await shard.create(every("a", MINUTE, NOW, properties=rules, attempts=2, delay=HOUR))
    (run,) = await shard.drain(NOW)
    await shard.fail(run)
    assert await cancel(shard, named(run)) == 1
    await empty(shard)
    assert await shard.raw("EXISTS", "states") == 0


async def test_only_that_run_of_that_generation(shard: Shard) -> None:
    await shard.create(every("a", MINUTE, NOW))
    one, other = [(await shard.drain(NOW + n * MINUTE))[0] for n in range(2)]
    for wrong in (
        named(one)._replace(seq=one.seq + 1),
        named(one)._replace(nominal=NOW + 1),
        named(one)._replace(origin=RunOrigin.MANUAL),
        named(one)._replace(job_id="b"),
        RunId("gone", 99, NOW),
    ):
        assert await cancel(shard, wrong, now=NOW + MINUTE) == 0
    assert await cancel(shard, named(other), now=NOW + MINUTE) == 1
    assert await shard.done(one, other) == 1


async def test_a_run_whose_job_is_gone(shard: Shard) -> None:
    await shard.create(once("a", parallel=1), once("b", parallel=1))
    (run,) = await shard.drain(NOW)
    await shard.delete("a")
    assert await cancel(shard, named(run)) == 1
    assert ids_of(await shard.drain(NOW)) == ["b"]


async def test_one_of_many_unanswered_runs(shard: Shard) -> None:
    await shard.create(every("a", SECOND, NOW))
    runs = [run for n in range(1201) for run in await shard.drain(NOW + n * SECOND)]
    assert len(runs) == 1201
    assert await cancel(shard, *map(named, (runs[0], runs[700], runs[-1])), now=NOW + HOUR) == 3
    assert await shard.raw("ZCARD", "open") == 1198


async def test_cancelled_occurrences_are_not_noted_for_ever(shard: Shard) -> None:
    await shard.create(once("other", parallel=1), every("a", SECOND, NOW, parallel=1))
    await shard.drain(NOW)
    seq = await seq_of(shard, "a")
    for n in range(120):
        nominal = NOW + n * SECOND
        await shard.drain(nominal)
        assert await cancel(shard, RunId("a", seq, nominal), now=nominal) == 1
    assert await shard.raw("ZCARD", "retries") == 100
    await shard.delete("a")
    assert await shard.raw("EXISTS", "retries") == 0


async def test_retries_of_the_job_are_not_read_for_each_occurrence(shard: Shard) -> None:
    """Nobody counted them: a job with many kept Redis for seconds."""
    await shard.create(every("a", SECOND, NOW))
    seq = await seq_of(shard, "a")
    retries = [waiting(seq, RETRY, NOW - n, 2) for n in range(50_000)]
    await shard.raw("ZADD", "retries", seq, waiting(seq, KEPT, NOW - 1, 1))
    for first in range(0, len(retries), 10_000):
        rows = [part for each in retries[first : first + 10_000] for part in (seq, each)]
        await shard.raw("ZADD", "retries", *rows)
    before = await lua_bytes(shard)
    assert await cancel(shard, RunId("a", seq, NOW - 1), now=NOW) == 1
    assert await lua_bytes(shard) - before < 1_000_000


def waiting(seq: int, kind: int, nominal: int, attempt: int) -> bytes:
    """The member of a run of `a`."""
    numbers = ((seq, 6), (kind, 1), (nominal, 6), (attempt, 4))
    return b"".join(number.to_bytes(size, "big") for number, size in numbers) + b"a"


async def lua_bytes(shard: Shard) -> int:
    """What its scripts take in Redis."""
    found = await shard.client.execute("INFO", "memory")
    (size,) = re.findall(rb"used_memory_lua:(\d+)", found)
    return int(size)


async def test_a_run_that_was_cancelled_before_its_start_was_not_emitted(shard: Shard) -> None:
    await shard.create(once("other", parallel=1), every("a", SECOND, NOW, parallel=1))
    (other,) = await shard.drain(NOW)
    seq = await seq_of(shard, "a")
    assert await cancel(shard, RunId("a", seq, NOW), now=NOW) == 1
    assert (await shard.runs.job_runs(["a"]))["a"].counters.emitted == 0
    assert await shard.done(other) == 1
    (run,) = await shard.drain(NOW + SECOND)
    assert await cancel(shard, named(run), now=NOW + SECOND) == 1
    assert (await shard.runs.job_runs(["a"]))["a"].counters.emitted == 1


async def test_cancelled_runs_are_not_counted_as_failed(shard: Shard) -> None:
    await shard.create(once("a"), once("b"))
    a, b = await shard.drain(NOW)
    await cancel(shard, named(a))
    source = shard.source(shard.offset)
    (answered,) = [await shard.jobs.complete([], NOW, source)]
    assert (answered.ended.done, answered.ended.failed) == (0, 0)
    await cancel(shard, named(b))


async def test_runs_of_an_earlier_format(fresh: Shard) -> None:
    shard = await fresh.open(format=1)
    with pytest.raises(FormatTooOld):
        await cancel(shard, RunId("a", 1, 1))


async def test_the_marker_of_a_cancelled_run(shard: Shard) -> None:
    """A rebuild need not read from its start any more."""
    await shard.create(once("a"))
    (run,) = await shard.drain(NOW)
    await shard.publish()
    await cancel(shard, named(run), now=NOW + DAY)
    marks = [json.loads(each[1:]) for each in await shard.entries() if each[:1] == b"M"]
    assert [int(each["replay_from"]) for each in marks] == [NOW + DAY]


async def test_a_run_and_the_last_held_one_of_a_finished_job_in_one_call(shard: Shard) -> None:
    """Nothing is left of the job: neither of them is answered any more."""
    await shard.create(
        every("a", MINUTE, NOW, parallel=1, attempts=2, properties=Properties(end=NOW + MINUTE))
    )
    (run,) = await shard.drain(NOW)
    assert await shard.drain(NOW + MINUTE) == []
    held = RunId("a", run.seq, NOW + MINUTE)
    assert await cancel(shard, named(run), held, now=NOW + MINUTE) == 2
    assert await shard.raw("EXISTS", "jobs") == 0


async def test_a_call_ends_after_so_many_members(shard: Shard) -> None:
    """A job may have thousands of unanswered runs; the next call goes on."""
    await shard.create(every("a", SECOND, NOW))
    runs = [run for n in range(1_201) for run in await shard.drain(NOW + n * SECOND)]
    control = RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)
    some = [*reversed(runs)][:40]
    done = await control.cancel([Target(named(run)) for run in some], NOW + HOUR, dry_run=True)
    assert 1 <= done.looked_at == done.open < 40
    seen = [Target(named(run), run.instance) for run in some]
    done = await control.cancel(seen, NOW + HOUR, dry_run=True)
    assert done.looked_at == done.open == 40, "it finds each at once"


async def test_a_run_is_found_where_it_was_seen_and_elsewhere(shard: Shard) -> None:
    """It may have been answered, tried again, or staged, since a list has shown it."""
    await shard.create(every("a", MINUTE, NOW, attempts=3, delay=HOUR))
    first, second, third = [(await shard.drain(NOW + n * MINUTE))[0] for n in range(3)]
    await shard.fail(second)
    seen_running = Target(named(second), second.instance)
    assert await cancel(shard, seen_running, now=NOW + 2 * MINUTE, dry_run=True) == 1
    seen_waiting = Target(named(second), attempt=2)
    assert await cancel(shard, seen_waiting, now=NOW + 2 * MINUTE) == 1
    elsewhere = Target(named(first), third.instance), Target(named(third), attempt=2)
    assert await cancel(shard, *elsewhere, now=NOW + 2 * MINUTE) == 2
    assert await shard.raw("EXISTS", "open") == 0
    assert await shard.raw("EXISTS", "retries") == 0


async def test_large_jobs_are_read_within_a_budget(shard: Shard) -> None:
    for n in range(4):
        await shard.create(once(f"j{n}", attempts=2, delay=HOUR, payload=900_000))
    runs = await shard.drain(NOW)
    await shard.fail(*runs)
    control = RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)
    seen = [Target(named(run), attempt=2) for run in runs]
    done = await control.cancel(seen, NOW, dry_run=True)
    assert done.looked_at == done.open == 3
