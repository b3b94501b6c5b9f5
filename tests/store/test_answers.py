"""Answers, retries and time-outs (docs/contract.md)."""

import math

import pytest

from scheduling_client.wire import job_pb2
from scheduling_srv.app.ports import Source
from scheduling_srv.app.replies import Ended
from scheduling_srv.domain.backoff import BackoffType, retry_delay_ms
from scheduling_srv.domain.job import Answer
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.outbox_entries import read_event
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
    every,
    ids_of,
    kinds_of,
    once,
)


async def test_an_answer_is_applied_once(shard: Shard) -> None:
    """The second one belongs to nothing."""
    await shard.create(every("a", HOUR, NOW))
    (run,) = await shard.stage(NOW)
    assert await shard.done(run) == 1
    assert await shard.done(run) == 0
    assert await shard.done(run, run) == 0


async def test_the_same_answer_twice_in_one_call(shard: Shard) -> None:
    """Is one answer: a failure is not counted twice."""
    await shard.create(once("a", attempts=3))
    (run,) = await shard.stage(NOW)
    assert await shard.fail(run, run) == 1
    assert [again.attempt for again in await shard.drain(NOW)] == [2]


async def test_one_call_answers_many_runs_of_several_jobs(shard: Shard) -> None:
    """More than are read at once, two of one job, with one that is held and then may start."""
    await shard.raw("HDEL", "meta", "largest")  # a shard of an older version: four at once
    await shard.create(*[once(f"j{n}") for n in range(9)], every("often", SECOND, NOW))
    await shard.create(*[once(f"p{n}", type="tight", parallel=1) for n in range(2)])
    runs = [*await shard.drain(NOW), *await shard.drain(NOW + SECOND)]
    assert len(runs) == 12
    assert await shard.done(*runs, *runs[::-1]) == len(runs)
    assert sorted(await shard.raw("HKEYS", "jobs")) == [b"often", b"p1"]
    assert (await shard.schedule.counts(["t", "tight"])).unanswered == 0
    assert await shard.raw("EXISTS", "types") == 0
    assert ids_of(await shard.stage(NOW + SECOND)) == ["p1"]


@pytest.mark.parametrize("instance", [0, 1, 7, 2**32 - 1])
async def test_an_unknown_instance_changes_nothing(shard: Shard, instance: int) -> None:
    """Whatever its number."""
    await shard.create(once("a", NOW + HOUR))
    assert await shard.done(instance) == 0
    assert await shard.fail(instance) == 0
    assert await shard.ids() == ["a"]


async def test_a_superseded_instance_changes_nothing(shard: Shard) -> None:
    """A retry has a new instance id; an answer for the old one comes too late."""
    await shard.create(once("a", attempts=2))
    (first,) = await shard.stage(NOW)
    await shard.fail(first)
    (second,) = await shard.stage(NOW)
    assert second.instance != first.instance
    assert await shard.done(first) == 0
    assert await shard.ids() == ["a"]
    assert await shard.done(second) == 1
    assert await shard.ids() == []


async def test_attempts_count_runs_and_zero_means_one(shard: Shard) -> None:
    """After the last of them the run has failed; a one-time job goes, announced."""
    await shard.create(once("none"), once("one", attempts=1), once("three", attempts=3))
    tries: dict[str, int] = {}
    running = await shard.drain(NOW)
    while running:
        for run in running:
            tries[run.id] = run.attempt
        await shard.fail(*running)
        running = await shard.drain(NOW)
    assert tries == {"none": 1, "one": 1, "three": 3}
    assert await shard.ids() == []


async def test_recurring_jobs_outlive_their_failed_runs(shard: Shard) -> None:
    """They stay and go on (docs/contract.md)."""
    await shard.create(every("a", HOUR, NOW, attempts=2))
    (first,) = await shard.drain(NOW)
    await shard.fail(first)
    (second,) = await shard.drain(NOW)
    await shard.fail(second)
    assert await shard.drain(NOW) == []
    (third,) = await shard.drain(NOW + HOUR)
    assert (third.attempt, third.nominal) == (1, NOW + HOUR)


async def test_a_retry_keeps_what_its_run_was_due_for(shard: Shard) -> None:
    """The nominal time says which occurrence it is; the phase goes on beside it."""
    await shard.create(every("a", HOUR, NOW, attempts=3, delay=90 * MINUTE))
    (first,) = await shard.drain(NOW)
    await shard.fail(first, now=NOW)
    (hour,) = await shard.drain(NOW + HOUR)
    (again,) = await shard.drain(NOW + 90 * MINUTE)
    assert (hour.nominal, hour.attempt) == (NOW + HOUR, 1)
    assert (again.nominal, again.attempt, again.seq) == (NOW, 2, first.seq)


@pytest.mark.parametrize("kind", list(BackoffType))
@pytest.mark.parametrize("delay", [0, 0.2, 1, 999.5, 1000, 3 * DAY])
async def test_backoff(shard: Shard, kind: BackoffType, delay: float) -> None:
    """The wait after each failure is the domain's, to the millisecond, and capped as there."""
    await shard.create(once("a", attempts=14, backoff=kind, delay=delay))
    now = NOW
    for failures in range(1, 14):
        (run,) = await shard.drain(now)
        await shard.fail(run, now=now)
        wait = retry_delay_ms(kind, delay, failures, DAY)
        if wait:
            assert await shard.drain(now + wait - 1) == []
        now += wait
    assert len(await shard.drain(now)) == 1


async def test_exponential_backoff_of_thousands_of_failures(shard: Shard) -> None:
    """No number grows beyond what can be counted."""
    await shard.create(at_once("a", attempts=10**6, backoff=BackoffType.EXPONENTIAL, delay=1))
    for _ in range(40):
        (run,) = await shard.drain(NOW + 10 * DAY)
        await shard.fail(run, now=NOW)
    due = await shard.raw("ZRANGE", "due", 0, -1, "WITHSCORES")
    assert math.fmod(float(due[1]), 2**48) == NOW + DAY


async def test_journal_entries_of_a_retried_run(shard: Shard) -> None:
    """The retry is put into the journal when it waits, and taken out at its last answer."""
    await shard.create(once("a", attempts=3))
    (first,) = await shard.drain(NOW)
    await shard.entries()
    await shard.fail(first)
    assert kinds_of(await shard.entries()) == "R"
    (second,) = await shard.drain(NOW)
    await shard.fail(second)
    assert kinds_of(await shard.entries()) == "R"
    (third,) = await shard.drain(NOW)
    await shard.done(third)
    assert kinds_of(await shard.entries()) == "XEX"


@pytest.mark.parametrize(
    ("attempts", "outcome", "error"),
    [(1, "done", ""), (1, "failed", 'caf\u00e9 "/\n'), (3, "failed", ""), (2, "timed-out", "")],
)
async def test_the_farewell_of_a_one_time_job_says_how_it_ended(
    shard: Shard, attempts: int, outcome: str, error: str
) -> None:
    """A job that had failed for good looked like one that was done."""
    job_id = "j\u00f6b/1" + "x" * 200
    await shard.create(once(job_id, attempts=attempts))
    now = NOW
    for _ in range(attempts):
        (run,) = await shard.drain(now)
        await shard.publish()
        if outcome == "timed-out":
            now += DAY
            await shard.schedule.expire(shard.token, now, 100)
        else:
            await shard.answer(Answer(run.instance, outcome == "failed", error=error))
    entries = await shard.entries()
    events = [place for place, entry in enumerate(entries) if entry[:1] == b"E"]
    place = next(at for at in events if read_event(entries[at])[0] is not Topic.EVENTS)
    farewell, tombstone = entries[place : place + 2]
    topic, key, value, headers = read_event(farewell)
    assert (topic, key) == (Topic.RESOURCES, b"jobsDeleted")
    assert job_pb2.Deleted.FromString(value).id == job_id
    wanted = {"job-id": job_id, "outcome": outcome, "attempts": str(attempts)}
    assert {name: text.decode() for name, text in headers} == wanted | (
        {"error": error} if error else {}
    )
    assert tombstone == b"X" + job_id.encode()


async def test_runs_that_ended_for_good_are_counted(shard: Shard) -> None:
    await shard.create(once("a"), once("b", attempts=2), once("c"), every("d", HOUR, NOW))
    runs = {run.id: run for run in await shard.drain(NOW)}
    source = Source(PARTITION, 0, 1, shard.lineage)
    answers = [Answer(runs["a"].instance, False)]
    answers += [Answer(runs[n].instance, True, error=f"{n} " + "x" * 990) for n in "bcd"]
    answered = await shard.jobs.complete(answers, NOW, source)
    ended = answered.ended  # b is tried again
    assert ended[:3] == Ended(done=1, failed=2, job=b"d")[:3]
    assert [*ended.by_type()] == [(b"t", 1, 2)]
    assert ended[4:] == (b"t", 1, b"d " + b"x" * 798)


@pytest.mark.parametrize("how", ["delete", "update", "clear"])
async def test_a_waiting_retry_goes_with_its_job(shard: Shard, how: str) -> None:
    """At once, from the schedule and from the journal: its time may be years away."""
    await shard.create(once("a", attempts=3, delay=3000 * DAY))
    (run,) = await shard.drain(NOW)
    await shard.fail(run)
    await shard.entries()
    if how == "delete":
        await shard.delete("a")
    elif how == "clear":
        await shard.clear()
    else:
        await shard.update(once("a", NOW + HOUR))
    assert sorted(kinds_of(await shard.entries())) == sorted("XD" + "C" * (how == "update"))
    assert await shard.raw("ZCARD", "due") == (how == "update")
    assert await shard.raw("EXISTS", "retries") == 0


async def test_a_held_retry_goes_with_its_job(shard: Shard) -> None:
    """Also when it waits for a free place."""
    await shard.create(once("a", attempts=3, parallel=1), once("b", parallel=1))
    (run,) = await shard.drain(NOW)
    await shard.fail(run, now=NOW + 1)
    (other,) = await shard.drain(NOW + 1)
    assert other.id == "b"
    await shard.delete("a")
    assert await shard.raw("ZCARD", "waiting") == 0
    await shard.done(other)
    assert await shard.drain(NOW + DAY) == []
    await shard.publish()
    assert await shard.keys() == ["inputs", "meta"]


async def published(shard: Shard, now: int = NOW) -> list[Run]:
    runs = await shard.drain(now)
    await shard.publish(now)
    return runs


async def test_no_answer_in_time_counts_as_a_failure(shard: Shard) -> None:
    """To the millisecond; then the run is retried, or has failed."""
    shard.rule(completion_timeout=MINUTE)
    await shard.create(once("a", attempts=2, delay=5))
    (first,) = await published(shard)
    assert (await shard.schedule.expire(shard.token, NOW + MINUTE - 1, 10)).looked_at == 0
    assert (await shard.schedule.expire(shard.token, NOW + MINUTE, 10)).looked_at == 1
    assert await shard.done(first) == 0
    (second,) = await published(shard, NOW + MINUTE + 5)
    assert second.attempt == 2
    assert (await shard.schedule.expire(shard.token, NOW + 2 * MINUTE + 5, 10)).looked_at == 1
    assert await shard.ids() == []


async def test_one_call_looks_at_few_time_outs(shard: Shard) -> None:
    """The longest waiting first."""
    shard.rule(completion_timeout=MINUTE)
    for number in range(5):
        await shard.create(once(f"j{number}", NOW + number))
        await published(shard, NOW + number)
    assert (await shard.schedule.expire(shard.token, NOW + DAY, 2)).looked_at == 2
    assert await shard.ids() == ["j2", "j3", "j4"]
    assert (await shard.schedule.expire(shard.token, NOW + DAY, 10)).looked_at == 3


async def test_an_answer_of_a_deleted_job_still_frees_its_place(shard: Shard) -> None:
    """Its run was emitted and goes on somewhere: it counts until it is answered."""
    await shard.create(once("a", parallel=1), once("b", parallel=1))
    (run,) = await shard.drain(NOW)
    await shard.delete("a")
    assert await shard.drain(NOW) == []
    assert await shard.fail(run) == 1
    assert ids_of(await shard.drain(NOW)) == ["b"]
