"""The completion timeout begins when a run is published (docs/decisions/0027)."""

import json
from collections.abc import Sequence

import pytest

from scheduling_srv.app.replies import RebuiltRun
from scheduling_srv.formats.layouts import MARK
from scheduling_srv.formats.position_record import Position
from tests.store.shard import DAY, HOUR, MINUTE, NOW, SECOND, Shard, every, once

AWAY = 30 * SECOND
"""So long is Kafka away."""
TIMEOUT = 5 * SECOND
PRECISION = SECOND
"""So much less than its timeout may a run have had."""


@pytest.fixture
def late(shard: Shard) -> Shard:
    shard.rule(completion_timeout=TIMEOUT)
    return shard


async def expired(shard: Shard, now: int) -> int:
    return (await shard.schedule.expire(shard.token, now, 500)).expired


async def unanswered(shard: Shard) -> set[int]:
    return {int(instance) for instance in await shard.raw("HKEYS", "runs")}


async def replay_from(shard: Shard, now: int) -> int:
    """What the next marker says."""
    await shard.schedule.mark_inputs(shard.token, now)
    marks = [entry for entry in await shard.raw("LRANGE", "outbox", 0, -1) if entry[0] == MARK]
    return int(json.loads(marks[-1][1:])["replay_from"])


async def test_a_run_has_its_whole_timeout_from_its_publication(late: Shard) -> None:
    """No worker could have seen it before."""
    await late.create(once("a", attempts=2))
    (run,) = await late.stage(NOW)
    await late.publish(NOW + AWAY)
    assert not await expired(late, NOW + AWAY)
    assert not await expired(late, NOW + AWAY + TIMEOUT - 1)
    assert await unanswered(late) == {run.instance}
    assert await expired(late, NOW + AWAY + TIMEOUT) == 1
    (again,) = await late.drain(NOW + AWAY + TIMEOUT)
    assert again.attempt == 2


async def test_the_answer_to_a_late_run_counts(late: Shard) -> None:
    """The only attempt of a job must not fail unseen."""
    await late.create(once("a", attempts=1))
    (run,) = await late.stage(NOW)
    await late.publish(NOW + AWAY)
    await expired(late, NOW + AWAY + 1)
    assert await late.done(run, now=NOW + AWAY + 2) == 1
    assert await late.ids() == []


async def test_a_run_that_is_not_published_does_not_time_out(late: Shard) -> None:
    """However often the owner looks."""
    await late.create(once("a"))
    (run,) = await late.stage(NOW)
    for seconds in range(0, 60, 7):
        assert not await expired(late, NOW + seconds * SECOND)
    await late.publish(NOW + MINUTE)
    assert not await expired(late, NOW + MINUTE + TIMEOUT - 1)
    assert await late.done(run) == 1


async def test_a_run_that_is_published_at_once_times_out_to_the_millisecond(late: Shard) -> None:
    """Nothing is noted of it."""
    await late.create(once("a"))
    await late.stage(NOW)
    await late.publish(NOW + 250)
    assert await late.raw("EXISTS", "late") == 0
    assert not await expired(late, NOW + TIMEOUT - 1)
    assert await expired(late, NOW + TIMEOUT) == 1


async def test_each_run_of_a_backlog_has_its_timeout(late: Shard) -> None:
    """A backlog leaves piece by piece: the time of each piece begins with it."""
    late.rule(completion_timeout=TIMEOUT, batch_records=1)
    await late.create(*(once(f"j{number}", NOW + 100 * number) for number in range(30)))
    for number in range(30):
        await late.stage(NOW + 100 * number)
    entry = (await late.schedule.state()).trimmed
    published = dict[int, int]()
    now = NOW + AWAY
    while (taken := await late.take(entry, now=now)).entries:
        entry += len(taken.entries)
        now += 300  # by the next call Kafka has them
        for instance in await running_at(late, entry):
            published.setdefault(instance, now)
    assert max(published.values()) - min(published.values()) > TIMEOUT
    await follow(late, published, now)


async def running_at(shard: Shard, entry: int) -> Sequence[int]:
    """Runs with entries up to that one."""
    return [
        int(instance)
        for instance in await unanswered(shard)
        if await entry_of(shard, instance) <= entry
    ]


async def entry_of(shard: Shard, instance: int) -> int:
    run = await shard.raw("HGET", "runs", instance)
    return int.from_bytes(run[20:28], "little")  # docs/decisions/0024


async def follow(shard: Shard, published: dict[int, int], now: int) -> None:
    """None ends more than a second early, and none late."""
    left = set(published)
    while left:
        await expired(shard, now)
        ended, left = left - await unanswered(shard), left & await unanswered(shard)
        assert all(published[each] + TIMEOUT - PRECISION <= now for each in ended)
        assert all(published[each] + TIMEOUT > now for each in left)
        now += 100


async def test_a_steady_delay_counts(late: Shard) -> None:
    """Kafka answers, but each entry comes two seconds after it was staged."""
    await late.create(every("a", 200))
    staged = list[tuple[int, int]]()  # instance, and the last entry of its staging
    published = dict[int, int]()
    for step in range(1, 80):
        now = NOW + 200 * step
        (run,) = await late.stage(now)
        staged.append((run.instance, int(await late.raw("HGET", "meta", "tail"))))
        if step > 10:
            instance, entry = staged[step - 11]
            await late.take((await late.schedule.state()).trimmed, now=now)
            await late.take(entry, now=now)
            published[instance] = now
        await expired(late, now)
        fresh = {each for each, at in published.items() if at + TIMEOUT - PRECISION > now}
        assert fresh <= await unanswered(late)
    assert await late.raw("ZCARD", "late") <= 17, "one a second"


async def test_notes_are_forgotten(late: Shard) -> None:
    """They are kept for runs that are unanswered, and only for those."""
    for number in range(5):
        now = NOW + number * MINUTE
        await late.create(once(f"j{number}", now))
        (run,) = await late.stage(now)
        await late.publish(now + AWAY)
        assert await late.raw("ZCARD", "late") == 1
        await late.done(run, now=now + AWAY)
    await late.stage(NOW + HOUR)
    assert await late.raw("EXISTS", "late") == 0


async def test_a_crash_between_publication_and_confirmation(late: Shard) -> None:
    """Only the next owner learns that Kafka has the run: its time begins then at the latest."""
    await late.create(once("a", attempts=1))
    (run,) = await late.stage(NOW)
    taken = await late.take((await late.schedule.state()).trimmed, now=NOW)
    on_kafka = taken.after + len(taken.entries)
    await late.schedule.release(late.token)
    await late.own("another")
    await late.schedule.note_backlog(late.token)
    assert not await expired(late, NOW + AWAY)
    await late.take(on_kafka, now=NOW + AWAY)
    assert not await expired(late, NOW + AWAY + TIMEOUT - PRECISION)
    assert await unanswered(late) == {run.instance}
    assert await expired(late, NOW + AWAY + TIMEOUT) == 1


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_rebuild_still_reads_the_record_of_a_late_run(late: Shard, confirmed: bool) -> None:
    """The record may be as old as the staging, whenever its transaction has ended.

    A rebuild that reads from a later instant does not see that the run was emitted.
    """
    await late.create(once("a", attempts=2), every("b", 2 * HOUR, NOW + 1))
    await late.stage(NOW)
    if confirmed:
        await late.publish(NOW + AWAY)
    assert not await expired(late, NOW + AWAY)
    assert await replay_from(late, NOW + AWAY) == NOW
    await late.stage(NOW + AWAY)
    assert not await expired(late, NOW + AWAY + 2)
    assert await replay_from(late, NOW + AWAY) == NOW


async def test_replay_moves_on_when_late_runs_have_ended(late: Shard) -> None:
    """Else each rebuild would read more and more."""
    await late.create(once("a"))
    (run,) = await late.stage(NOW)
    await late.publish(NOW + AWAY)
    await expired(late, NOW + AWAY)
    await late.done(run, now=NOW + AWAY)
    await late.create(once("b", NOW + MINUTE))
    (other,) = await late.stage(NOW + MINUTE)
    assert await replay_from(late, NOW + MINUTE + 1) == NOW + MINUTE
    await late.publish(NOW + MINUTE + AWAY)
    await expired(late, NOW + MINUTE + AWAY)
    assert await replay_from(late, NOW + MINUTE + AWAY) == NOW + MINUTE
    assert await late.done(other) == 1


async def test_after_a_rebuild_every_run_has_its_timeout_again(late: Shard) -> None:
    """A record does not say when its transaction was committed."""
    rebuilt = NOW + AWAY
    await late.schedule.begin_rebuild(late.token)
    run = RebuiltRun("a", 1, NOW, 1, 7, NOW, None, b"t")
    await late.schedule.load_runs(late.token, [run])
    position = Position(90, "second", at=NOW, instance=7)
    await late.schedule.initialise(late.token, position, rebuilt)
    assert not await expired(late, rebuilt + TIMEOUT - 1)
    assert await replay_from(late, rebuilt + TIMEOUT - 1) == NOW
    assert await expired(late, rebuilt + TIMEOUT) == 1


async def test_retries_count_from_their_own_publication(late: Shard) -> None:
    """Kafka goes away again before the second attempt."""
    await late.create(once("a", attempts=3))
    await late.stage(NOW)
    await late.publish(NOW)
    now = NOW + TIMEOUT
    assert await expired(late, now) == 1
    (again,) = await late.stage(now)
    await late.publish(now + AWAY)
    assert not await expired(late, now + AWAY + TIMEOUT - 1)
    assert await expired(late, now + AWAY + TIMEOUT) == 1
    assert again.attempt == 2


async def test_a_clock_that_was_set_back_keeps_no_run_for_long(late: Shard) -> None:
    """Its runs are late: their time begins at their publication."""
    await late.create(once("a", NOW - DAY), once("b", NOW))
    await late.stage(NOW)
    await late.publish(NOW)
    now = NOW - HOUR
    await late.create(once("c", now - 1), now=now)
    (run,) = await late.stage(now)
    await late.publish(now + AWAY)
    assert not await expired(late, now + AWAY + TIMEOUT - 1)
    assert run.instance in await unanswered(late)
    assert await expired(late, now + AWAY + TIMEOUT) == 1


async def test_a_creation_that_is_published_together_with_its_run_is_not_late(late: Shard) -> None:
    """Only runs count."""
    for second in range(20):
        await late.create(once(f"j{second}", NOW + second * SECOND))
        await late.stage(NOW + second * SECOND)
        await late.publish(NOW + second * SECOND + 10)
    assert await late.raw("EXISTS", "late") == 0


async def test_runs_of_a_version_that_noted_nothing_are_late(late: Shard) -> None:
    """A new owner finds them in the outbox."""
    await late.create(once("a", attempts=1))
    (run,) = await late.stage(NOW)
    await late.raw("HDEL", "meta", "last_run", "staged")
    await late.schedule.note_backlog(late.token)
    await late.create(once("b", NOW + AWAY))
    await late.stage(NOW + AWAY)
    await late.publish(NOW + AWAY)
    await expired(late, NOW + AWAY)
    assert run.instance in await unanswered(late)
