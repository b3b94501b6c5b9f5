"""Claims, decided changes and parcels of several shards (docs/decisions/0004)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.jobs import RedisJobStore, RedisRestores
from scheduling_srv.adapters.redis.runs import RedisRuns
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.adapters.redis.transfers import RedisTransfers
from scheduling_srv.app.ports import Source
from scheduling_srv.app.replies import LEAVING, Held, Parcel, Span
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.sharding.claims import CLAIMED_IDS
from scheduling_srv.domain.errors import Contended, Overloaded, StaleSource, StoreNotReady
from scheduling_srv.domain.job import NewJob, TriggerKind
from scheduling_srv.formats.changes import Change, unpack
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.position_record import Position
from tests.harness.given import Store
from tests.harness.leaks import leaked_keys
from tests.harness.names import Names
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Shard,
    at_once,
    cron,
    every,
    kinds_of,
    once,
)
from tests.store.test_set_aside import Publication, about

SHARDS = 3


def of(client: RedisClient, namespace: str, number: int, *, limit: int = 1000) -> Shard:
    """One of several."""
    rules = ShardRules(lease=HOUR)
    more: dict[str, Any] = {"client_id": namespace, "max_backoff": rules.max_backoff}
    store = RedisJobStore(client, namespace, number, outbox_limit=limit, shards=SHARDS, **more)
    schedule = RedisSchedule(client, namespace, number, rules, shards=SHARDS)
    restores = RedisRestores(client, namespace, number, SHARDS)
    runs = RedisRuns(client, namespace, number, SHARDS, timeout=rules.completion_timeout)
    return Shard(client, namespace, store, schedule, restores, runs)


def transfers(shard: Shard, number: int, *, limit: int = 1000) -> RedisTransfers:
    return RedisTransfers(shard.client, shard.namespace, number, SHARDS, outbox_limit=limit)


@pytest.fixture
async def shards(client: RedisClient, names: Names, valkey: Store) -> AsyncIterator[list[Shard]]:
    yield [await of(client, names.namespace, number).open() for number in range(SHARDS)]
    with valkey.client() as plain:
        assert leaked_keys(plain, names) == []


@pytest.fixture
def doors(shards: list[Shard]) -> list[RedisTransfers]:
    return [transfers(shard, number) for number, shard in enumerate(shards)]


async def test_a_claim_is_had_by_one_and_says_what_lives_there(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    await shards[1].create(every("a", SECOND), at_once("b"))
    claimed = await doors[1].claim("one", ["a", "b", "c"], 5_000)
    assert claimed.kinds == [TriggerKind.INTERVAL, TriggerKind.NOW, -1]
    assert (await doors[1].claim("two", ["d", "c"], 5_000)).state == "claimed"
    assert (await doors[1].claim("two", ["d"], 5_000)).state == "ok"  # none was kept before
    assert (await doors[1].claim("one", ["a"], 5_000)).state == "ok"
    await doors[1].unclaim("two", ["c"])
    assert (await doors[1].claim("two", ["c"], 5_000)).state == "claimed"
    await doors[1].unclaim("one", ["c"])
    assert (await doors[1].claim("two", ["c"], 5_000)).state == "ok"


async def removed_by_delete(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR))
    await shard.publish()
    await shard.delete("a")


async def removed_by_a_last_answer(shard: Shard) -> None:
    await shard.create(once("a", NOW))
    await shard.done(*await shard.drain(NOW))


async def removed_by_an_answer_to_a_now_job(shard: Shard) -> None:
    await shard.create(at_once("a"))
    await shard.done(*await shard.drain(NOW))


async def removed_by_a_sweep(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR))
    await shard.clear()
    await shard.jobs.sweep()


async def removed_by_a_sweep_of_now_jobs(shard: Shard) -> None:
    await shard.create(at_once("a"))
    await shard.reset()
    await shard.jobs.sweep()


async def removed_by_a_restore(shard: Shard) -> None:
    await shard.create(once("a", NOW + HOUR))
    await shard.put_back([], ["a"], 1 << 47)


async def removed_as_its_run_was_refused(shard: Shard) -> None:
    await shard.create(once("a", NOW))
    await shard.schedule.stage(shard.token, NOW, 500)
    kafka = Publication(shard)
    kafka.log.refuses = about("a", topics=[Topic.JOBS])
    while not await kafka.settle_once():
        pass


@pytest.mark.parametrize(
    "remove",
    [
        removed_by_delete,
        removed_by_a_last_answer,
        removed_by_an_answer_to_a_now_job,
        removed_by_a_sweep,
        removed_by_a_sweep_of_now_jobs,
        removed_by_a_restore,
        removed_as_its_run_was_refused,
    ],
)
async def test_a_removed_job_is_leaving_until_kafka_knows_it(
    shards: list[Shard],
    doors: list[RedisTransfers],
    remove: Callable[[Shard], Awaitable[None]],
) -> None:
    """Else another shard could announce its id before its removal (docs/decisions/0026)."""
    shard = shards[1]
    await remove(shard)
    assert (await doors[1].claim("one", ["a", "b"], 5_000)).kinds == [LEAVING, -1]
    await shard.publish()
    assert (await doors[1].claim("one", ["a", "b"], 5_000)).kinds == [-1, -1]
    assert "leaving" not in await shard.keys()


async def test_a_job_that_is_there_again_does_not_leave(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    await removed_by_delete(shards[1])
    await shards[1].create(every("a", SECOND))
    claimed = await doors[1].claim("one", ["a"], 5_000)
    assert claimed.kinds == [TriggerKind.INTERVAL]


async def test_a_removal_that_an_older_version_has_published_is_none(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    """It does not tidy up: the next version does so when it publishes."""
    await removed_by_delete(shards[1])
    await shards[1].publish()
    await shards[1].raw("ZADD", "leaving", (await shards[1].schedule.state()).trimmed, "a")
    assert (await doors[1].claim("one", ["a"], 5_000)).kinds == [-1]
    await shards[1].create(once("b", NOW + HOUR))
    await shards[1].publish()
    assert "leaving" not in await shards[1].keys()


async def test_shards_do_not_see_one_anothers_claims(doors: list[RedisTransfers]) -> None:
    for door, token in zip(doors, ("one", "two", "three"), strict=True):
        assert (await door.claim(token, ["a"], 5_000)).state == "ok"


async def test_whoever_has_lost_a_claim_commits_nothing(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    """However slow it was: the other one may have decided since."""
    change = Change(0, put=[once("a")], places=[1])
    await doors[0].claim("one", ["a", "b"], 1)
    await shards[0].client.execute("SET", f"{shards[0].jobs.base}claim:b", "two", "PX", 5_000)
    assert await doors[0].commit(change, NOW, Held("one", ["a", "b"])) is None
    assert await shards[0].ids() == []
    while (await doors[0].claim("three", ["a"], 5_000)).state != "ok":
        pass  # the first one lasts for another moment
    assert await doors[0].commit(change, NOW, Held("three", ["a"]))
    assert await shards[0].ids() == ["a"]


async def test_claims_of_one_call_end_at_one_instant(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    """So a commit looks at one of them."""
    names = [f"j{number}" for number in range(CLAIMED_IDS)]
    await doors[0].claim("one", names, DAY)
    ends = {await shards[0].raw("PEXPIRETIME", f"claim:{name}") for name in names}
    assert len(ends) == 1
    await doors[0].unclaim("one", names)


async def test_a_change_is_one_step_with_what_others_have_to_do(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    shard, door = shards[0], doors[0]
    await shard.create(every("old", SECOND), once("moving", NOW + HOUR))
    await shard.publish()
    later = Change(2, [], [once("moving", NOW + HOUR, type="new")], [], [2])
    change = Change(0, ["moving"], [every("old", HOUR)], [later], [1])
    assert await door.commit(change, NOW)
    assert await shard.ids() == ["old"]
    assert (await doors[0].claim("one", ["moving"], 5_000)).state == "moving"
    (parcel,) = await door.parcels()
    assert not parcel.announced
    kept = unpack(parcel.value)
    assert replace(kept, base=0, kept={}) == later
    assert list(kept.kept) == ["moving"]  # its creation time
    assert kept.base > 0
    assert kinds_of(await shard.publish()) == "DDCP"
    (parcel,) = await door.parcels()
    assert parcel.announced
    await door.delivered(parcel.name, ["moving"])
    assert await door.parcels() == []
    assert kinds_of(await shard.publish()) == "X"
    await door.delivered(parcel.name, ["moving"])
    assert kinds_of(await shard.publish()) == ""
    assert (await door.claim("one", ["moving"], 5_000)).state == "ok"


async def test_a_parcel_arrives_once(shards: list[Shard], doors: list[RedisTransfers]) -> None:
    lineage, _ = await shards[2].jobs.positions()
    change = Change(2, put=[once("a")], places=[1])
    await doors[2].commit(change, NOW, source=Source("@0", 0, 8, lineage))
    await shards[2].delete("a")
    with pytest.raises(StaleSource):
        await doors[2].commit(change, NOW, source=Source("@0", 0, 8, lineage))
    assert await shards[2].ids() == []
    _, positions = await shards[2].jobs.positions()
    assert positions["@0"].next == 8


async def test_names_of_parcels_grow_and_are_told_apart(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    shard, door = shards[1], doors[1]
    for turn in range(3):
        then = [Change(target, put=[once(f"{turn}-{target}")], places=[1]) for target in (0, 2)]
        source = shard.source(turn) if turn == 1 else None
        change = Change(1, put=[once(f"{turn}")], then=then, places=[3])
        await door.commit(change, NOW, source=source)
    before = [int(parcel.name) for parcel in await door.parcels()]
    assert len({*before}) == 6
    assert before == sorted(before)
    await shard.publish()
    assert all(parcel.announced for parcel in await door.parcels())
    for parcel in await door.parcels():
        await door.delivered(parcel.name, list(unpack(parcel.value).ids()))
    await door.commit(Change(1, then=[Change(0, put=[once("x")], places=[1])]), NOW)
    (after,) = await door.parcels()
    assert int(after.name) > before[-1]
    await shard.publish()
    await door.delivered(after.name, ["x"])


async def test_an_outbox_that_is_full_takes_parcels_but_no_new_changes(shards: list[Shard]) -> None:
    door = transfers(shards[0], 0, limit=1)
    await shards[0].create(once("a"))
    with pytest.raises(Overloaded):
        await door.commit(Change(0, put=[once("b")], places=[1]), NOW)
    with pytest.raises(Overloaded):
        await door.commit(Change(0, then=[Change(1, put=[once("b")], places=[1])]), NOW)
    # What is there may go, in all shards.
    assert await door.commit(Change(0, ["a"], then=[Change(1, ["there"])]), NOW)
    await shards[0].publish()
    for parcel in await door.parcels():
        await door.delivered(parcel.name, ["there"])
    await shards[0].create(once("d"))
    lineage, _ = await shards[0].jobs.positions()
    assert await door.commit(
        Change(0, put=[once("c")], places=[1]), NOW, source=Source("@1", 0, 1, lineage)
    )


async def test_a_shard_that_is_not_ready_decides_nothing(client: RedisClient, names: Names) -> None:
    door = transfers(Shard.of(client, names.namespace), 0)
    for call in (door.claim("t", ["a"], 1), door.commit(Change(0), NOW), door.parcels()):
        with pytest.raises(StoreNotReady):
            await call


async def test_a_rebuild_brings_parcels_back(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    shard = shards[0]
    await shard.schedule.begin_rebuild(shard.token)
    await shard.schedule.load_parcel(shard.token, Parcel("17", b"value"), ["a", "b"])
    await shard.schedule.initialise(shard.token, Position(40, "second", at=NOW), NOW)
    assert [(each.name, each.value) for each in await doors[0].parcels()] == [("17", b"value")]
    assert (await doors[0].claim("t", ["b"], 1)).state == "moving"
    await doors[0].delivered("17", ["a", "b"])


async def test_instances_name_their_shard_and_creation_numbers_follow_the_clock(
    shards: list[Shard],
) -> None:
    seqs = []
    for turn in range(4):
        for number, shard in enumerate(shards):
            await shard.create(at_once(f"{turn}"), once(f"when-{turn}", NOW + HOUR))
            (run,) = await shard.stage()
            assert run.instance % SHARDS == number
            assert run.instance > 0
            seqs.append(run.seq)
    assert seqs == sorted(seqs)


@pytest.mark.parametrize("last", [2**32 - 1, 2**32 - 2, 2**32 - 3, 2**32 - 4])
async def test_instances_keep_to_their_shard_when_they_wrap(shards: list[Shard], last: int) -> None:
    for number, shard in enumerate(shards):
        await shard.raw("HSET", "meta", "instance", last)
        await shard.create(at_once("a"), at_once("b"))
        runs = await shard.stage()
        assert [run.instance % SHARDS for run in runs] == [number] * 2
        assert all(0 < run.instance < 2**32 for run in runs)


async def test_the_shard_of_a_key_is_in_its_hash_tag(shards: list[Shard]) -> None:
    bases = [shard.jobs.base for shard in shards]
    assert [base.rpartition("{")[2] for base in bases] == ["0}:", "1}:", "2}:"]


async def test_a_restore_that_has_lost_its_claims_puts_nothing_back(shards: list[Shard]) -> None:
    shard = shards[1]
    door = transfers(shard, 1)
    restores = RedisRestores(shard.client, shard.namespace, 1, SHARDS)
    await door.claim("one", ["a"], 5_000)
    for claim in ("two", "one"):
        span, jobs = Span(NOW, 0, claim), [once("a", NOW + HOUR)]
        if claim == "two":
            with pytest.raises(Contended):
                await restores.put_back(shard.token, "1", jobs, [], span)
            assert await shard.ids() == []
        else:
            assert await restores.put_back(shard.token, "1", jobs, [], span)
    assert await shard.ids() == ["a"]


# --- Jobs that move keep what an update keeps (docs/decisions/0011) ---


async def move(
    shards: list[Shard], doors: list[RedisTransfers], job: NewJob, *, now: int, home: int = 0
) -> None:
    """The job leaves shard 0 and arrives in shard 2, as the courier does it."""
    later = Change(2, put=[once("other", NOW + HOUR), job], places=[1, 2])
    change = Change(home, [job.id], then=[later])
    assert await doors[home].commit(change, now)
    await shards[home].publish()
    (parcel,) = await doors[home].parcels()
    lineage, positions = await shards[2].jobs.positions()
    known = positions.get(f"@{home}")
    source = Source(f"@{home}", known.next if known else 0, int(parcel.name) + 1, lineage)
    assert await doors[2].commit(unpack(parcel.value), now, source=source)
    await doors[home].delivered(parcel.name, [job.id, "other"])


@pytest.mark.parametrize("is_held", [False, True])
async def test_a_job_that_moves_keeps_its_phase_and_its_due_run(
    shards: list[Shard], doors: list[RedisTransfers], is_held: bool
) -> None:
    limit = int(is_held)
    await shards[0].create(once("busy", NOW - 1, parallel=1))
    (busy,) = await shards[0].drain(NOW)
    await shards[0].create(every("a", HOUR, NOW, parallel=limit))
    if is_held:
        assert await shards[0].drain(NOW) == []
    new = every("a", HOUR, NOW + HOUR + 9, type="u", creator="new")
    await move(shards, doors, new, now=NOW + 9)
    assert [run.brief for run in await shards[2].drain(NOW + 9)] == [("a", 0)]
    assert ("a", HOUR) in [run.brief for run in await shards[2].drain(NOW + HOUR)]
    await shards[0].done(busy)
    assert await shards[0].drain(NOW + HOUR) == []


async def test_a_job_that_moves_keeps_its_phase_over_an_outage(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    """What was missed is caught up in its new shard."""
    await shards[0].create(every("a", HOUR, NOW + HOUR))
    await shards[2].drain(NOW)
    back = NOW + 10 * HOUR + 1000 * SECOND
    await move(shards, doors, every("a", HOUR, back + HOUR, type="u"), now=back)
    runs = [run.brief for run in await shards[2].drain(back)]
    assert ("a", 10 * HOUR) in runs
    assert len(runs) == 2


async def test_a_changed_schedule_moves_with_what_was_due(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    """Also what an earlier change has left; in the journal of its new shard."""
    await shards[0].create(every("a", HOUR, NOW))
    await shards[0].update(every("a", MINUTE, NOW + MINUTE), now=NOW + 1)
    await move(shards, doors, every("a", DAY, NOW + DAY, type="u"), now=NOW + 2 * MINUTE)
    assert kinds_of(await shards[2].entries()) == "CCRR"
    runs = await shards[2].drain(NOW + 2 * MINUTE)
    assert [run.brief for run in runs] == [("a", 0), ("a", MINUTE)]
    assert kinds_of(await shards[0].publish()).endswith("X")
    await shards[0].delete("a")
    assert [run.brief for run in await shards[2].drain(NOW + DAY) if run.id == "a"] == [("a", DAY)]


async def test_a_cron_job_that_moves_before_it_was_planned_goes_on_behind_its_last_run(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    first, text = NOW + 100 * SECOND, "*/5 * * * *"
    await shards[0].create(cron("a", text, first))
    assert len(await shards[0].stage(first)) == 1
    await move(shards, doors, cron("a", text, first + DAY, type="u"), now=first + 1)
    assert kinds_of(await shards[2].entries()) == "CCR"
    runs = [run for run in await shards[2].drain(first + 5 * MINUTE) if run.id == "a"]
    assert [run.nominal - first for run in runs] == [5 * MINUTE]


@pytest.mark.parametrize("lives", [True, False])
async def test_a_one_time_job_in_the_past_moves_if_it_still_lives(
    shards: list[Shard], doors: list[RedisTransfers], lives: bool
) -> None:
    """Its last answer may come between the decision and the commit: then it has ended."""
    past = once("a", NOW, type="u", notes=Note.ELAPSED)
    if lives:
        await shards[0].create(once("a", NOW))
    assert await doors[0].may_have_elapsed([past, once("b", NOW)]) == [lives, False]
    await move(shards, doors, past, now=NOW + MINUTE)
    assert [run.id for run in await shards[2].drain(NOW + MINUTE)] == ["a"] * lives


async def test_a_job_that_begins_anew_takes_nothing_along(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    await shards[0].create(every("a", HOUR, NOW))
    await move(shards, doors, once("a", NOW + HOUR, type="u"), now=NOW + 9)
    assert [run.id for run in await shards[2].drain(NOW + 9)] == []


async def test_an_upsert_in_several_shards_leaves_identical_jobs_alone(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    """Unless it is an update: it is announced."""
    await shards[0].create(every("a", HOUR))
    await shards[0].entries()
    await doors[0].commit(Change(0, put=[every("a", HOUR, NOW + DAY)], places=[1]), NOW)
    assert kinds_of(await shards[0].entries()) == ""
    update = every("a", HOUR, NOW + DAY, notes=Note.UPDATED)
    await doors[0].commit(Change(0, put=[update], places=[1]), NOW)
    assert kinds_of(await shards[0].entries()) == "DC"
    assert (await shards[0].schedule.stage(shards[0].token, NOW, 9)).next_due == NOW + HOUR
