"""Records with the properties of scheduling.v1: what an Update keeps, and where they travel."""

from dataclasses import replace
from typing import Any

import pytest

from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.transfers import RedisTransfers
from scheduling_srv.app.ports import WriteMode
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import Overlap
from scheduling_srv.formats import job_record
from scheduling_srv.formats.changes import Change, unpack
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.more import More
from tests.store.shard import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Shard,
    cron,
    every,
    ids_of,
    of_version,
    once,
)
from tests.store.test_set_aside import Publication
from tests.store.test_transfers import doors, shards

__all__ = ["doors", "shards"]

LABELLED = Properties(overlap=Overlap.SKIP, max_runs=7, labels={"team": "a"}, unique_key="one")
SPEC = b"spec"
OF_2018: Any = {"notes": Note.KEEP_MORE}


def labelled(job_id: str = "a", **more: Any) -> NewJob:
    return every(job_id, HOUR, properties=LABELLED, spec=SPEC, **more)


async def record_of(shard: Shard, job_id: str = "a") -> bytes:
    found = await shard.raw("HGET", "jobs", job_id)
    assert isinstance(found, bytes)
    return found


async def more_of(shard: Shard, job_id: str = "a") -> More:
    return job_record.properties_of(await record_of(shard, job_id))


async def test_properties_are_stored_as_they_were_asked_for(shard: Shard) -> None:
    await shard.create(labelled(creator="me"))
    assert await more_of(shard) == More(1, NOW, LABELLED, SPEC)
    record = await record_of(shard)
    assert job_record.created_at(record) == NOW
    assert job_record.creator_of(record) == "me"
    page = await shard.jobs.page("me", descending=False, cursor="", limit=9)
    assert [each.id for each in page.jobs] == [b"a"]


@pytest.mark.parametrize("mode", [WriteMode.UPDATE, WriteMode.UPSERT])
async def test_an_update_of_2018_keeps_what_it_cannot_say(shard: Shard, mode: WriteMode) -> None:
    await shard.create(labelled(creator="me"))
    later = every("a", 2 * HOUR, creator="another", created=NOW + DAY, attempts=3, **OF_2018)
    await shard.write(mode, later, now=NOW + DAY)
    assert await more_of(shard) == More(2, NOW + DAY, LABELLED, SPEC)
    record = await record_of(shard)
    assert job_record.created_at(record) == NOW
    assert job_record.creator_of(record) == "another"
    assert job_record.header(record).attempts == 3
    assert job_record.job_message(b"a", record) == job_record.job_message(b"a", later.record)


async def test_a_plain_job_counts_its_revisions(shard: Shard) -> None:
    await shard.create(once("a", NOW + DAY))
    assert (await more_of(shard)).revision == 1
    for revision in (2, 3):
        await shard.update(once("a", NOW + revision * DAY, created=NOW + 1, **OF_2018), now=NOW + 1)
        assert await more_of(shard) == More(revision, NOW + 1)
        assert job_record.created_at(await record_of(shard)) == NOW
    assert len(job_record.more_of(await record_of(shard))) == 18


async def test_an_upsert_that_changes_nothing_counts_no_revision(shard: Shard) -> None:
    await shard.create(labelled())
    await shard.entries()
    await shard.upsert(every("a", HOUR, **OF_2018))
    await shard.upsert(labelled())
    assert await shard.entries() == []
    await shard.upsert(labelled("a"), every("b", HOUR))
    other = replace(LABELLED, labels={"team": "b"})
    await shard.upsert(every("a", HOUR, properties=other, spec=SPEC))
    assert await more_of(shard) == More(2, NOW, other, SPEC)


async def test_an_update_of_v1_replaces_properties(shard: Shard) -> None:
    await shard.create(labelled())
    new = Properties(jitter=5)
    await shard.update(every("a", HOUR, properties=new, revision=1), now=NOW + 5)
    assert await more_of(shard) == More(2, NOW + 5, new)


@pytest.mark.parametrize(("wanted", "refused"), [(0, False), (1, True), (2, False), (3, True)])
async def test_an_update_names_the_revision_that_it_has_read(
    shard: Shard, wanted: int, refused: bool
) -> None:
    await shard.create(labelled())
    await shard.update(labelled(creator="b"))
    written = await shard.write(WriteMode.UPDATE, labelled(creator="c", revision=wanted))
    assert [each and each.reason for each in written.refusals] == ["stale" if refused else None]
    assert (await more_of(shard)).revision == (2 if refused else 3)


async def test_a_kept_phase_may_be_left(shard: Shard) -> None:
    await shard.create(every("a", HOUR, NOW + HOUR))
    await shard.update(every("a", HOUR, NOW + HOUR + 5))
    assert ids_of(await shard.stage(NOW + HOUR)) == ["a"]
    await shard.update(every("a", HOUR, NOW + DAY, notes=Note.NEW_PHASE))
    assert await shard.stage(NOW + 3 * HOUR) == []
    assert ids_of(await shard.stage(NOW + DAY)) == ["a"]


async def test_a_record_of_the_version_before_inherits_nothing(shard: Shard) -> None:
    """Its replica does not know MORE; the store was not raised yet."""
    await shard.create(every("a", HOUR, created=None))
    await shard.update(every("a", HOUR, created=None, creator="b"))
    assert job_record.version(await record_of(shard)) == 1
    await shard.update(every("a", HOUR, creator="c", created=NOW + 9, **OF_2018), now=NOW + 9)
    assert await more_of(shard) == More(2, NOW + 9)
    assert job_record.created_at(await record_of(shard)) == NOW + 9


@pytest.mark.parametrize("policy", [{}, {"attempts": 3}], ids=["plain", "policy"])
async def test_a_record_of_the_version_before_drops_nothing(
    shard: Shard, policy: dict[str, int]
) -> None:
    """Its replica does not know yet that the store was raised."""
    await shard.create(labelled(), every("plain", HOUR))
    for job_id in ("a", "plain"):
        changed = every(job_id, HOUR, creator="b", **policy)
        await shard.update(changed._replace(record=of_version(changed.record, 1)), now=NOW + 9)
    assert await more_of(shard) == More(2, NOW + 9, LABELLED, SPEC)
    assert await more_of(shard, "plain") == More(2, NOW + 9)
    record = await record_of(shard)
    assert job_record.version(record) == 2
    assert job_record.created_at(record) == NOW
    assert job_record.creator_of(record) == "b"
    assert job_record.header(record).attempts == policy.get("attempts", 0)
    assert ids_of(await shard.stage(NOW + HOUR)) == ["a", "plain"]


async def test_an_upsert_of_the_version_before_changes_nothing(shard: Shard) -> None:
    await shard.create(labelled())
    before = await record_of(shard)
    same = every("a", HOUR)
    await shard.upsert(same._replace(record=of_version(same.record, 1)))
    assert await record_of(shard) == before


@pytest.mark.parametrize("job", [labelled(), cron("a", "* * * * *", NOW, properties=LABELLED)])
async def test_jobs_with_properties_run(shard: Shard, job: NewJob) -> None:
    await shard.create(job)
    (run,) = await shard.stage(job.due)
    assert await shard.done(run, now=job.due) == 1


async def test_a_deletion_forgets_the_heritage(shard: Shard) -> None:
    await shard.create(labelled())
    await shard.clear()
    await shard.upsert(every("a", HOUR, created=NOW + 5, **OF_2018), now=NOW + 5)
    assert await more_of(shard) == More()
    assert job_record.created_at(await record_of(shard)) == NOW + 5


async def test_a_restore_brings_properties_back(shard: Shard) -> None:
    await shard.put_back([labelled(revision=4)], [], 2**40)
    assert await more_of(shard) == More(4, NOW, LABELLED, SPEC)
    seq = job_record.seq(await record_of(shard))
    await shard.put_back([labelled(revision=5)], [], 2**40)
    assert job_record.seq(await record_of(shard)) == seq  # the same definition
    other = replace(LABELLED, unique_key="two")
    await shard.put_back([every("a", HOUR, properties=other, spec=SPEC)], [], 2**40)
    assert (await more_of(shard)).properties == other


async def test_properties_move_to_another_shard(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    await shards[0].create(labelled(), once("plain", NOW + HOUR))
    puts = [
        every("a", HOUR, type="new", created=NOW + 9, **OF_2018),
        once("plain", NOW + HOUR, type="new", created=NOW + 9, **OF_2018),
    ]
    change = Change(0, ["a", "plain"], [], [Change(2, [], puts, [], [1, 2])], [])
    assert await doors[0].commit(change, NOW + MINUTE)
    (parcel,) = await doors[0].parcels()
    arriving = unpack(parcel.value)
    assert await doors[2].commit(arriving, NOW + MINUTE)
    assert await more_of(shards[2]) == More(2, NOW + MINUTE, LABELLED, SPEC)
    assert await more_of(shards[2], "plain") == More(2, NOW + MINUTE)
    assert job_record.created_at(await record_of(shards[2], "plain")) == NOW
    assert ids_of(await shards[2].stage(NOW + HOUR)) == ["a", "plain"]


async def test_properties_move_with_a_record_of_the_version_before(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    await shards[0].create(labelled())
    moved = every("a", HOUR, type="new")
    put = moved._replace(record=of_version(moved.record, 1))
    change = Change(0, ["a"], [], [Change(2, [], [put], [], [1])], [])
    assert await doors[0].commit(change, NOW + MINUTE)
    (parcel,) = await doors[0].parcels()
    assert await doors[2].commit(unpack(parcel.value), NOW + MINUTE)
    assert await more_of(shards[2]) == More(2, NOW + MINUTE, LABELLED, SPEC)


async def test_what_has_passed_at_rest_does_not_run_in_another_shard(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    pauses = RedisPauses(shards[0].client, shards[0].namespace, 0, len(shards))
    await shards[0].create(every("a", HOUR, NOW))
    await pauses.pause(["t"], '{"since": 1}', types=True)
    now = NOW + 3 * HOUR + MINUTE
    assert await shards[0].drain(now) == []
    put = every("a", HOUR, now + HOUR, type="new")
    change = Change(0, ["a"], [], [Change(2, [], [put], [], [1])], [])
    assert await doors[0].commit(change, now)
    (parcel,) = await doors[0].parcels()
    assert await doors[2].commit(unpack(parcel.value), now)
    assert await shards[2].drain(now) == []
    (run,) = await shards[2].drain(NOW + 4 * HOUR)
    assert run.nominal == NOW + 4 * HOUR


async def test_a_move_that_kafka_refuses_leaves_the_job_paused(
    shards: list[Shard], doors: list[RedisTransfers]
) -> None:
    here = shards[0]
    kafka, pauses = Publication(here), RedisPauses(here.client, here.namespace, 0, len(shards))
    await here.create(every("a", HOUR, NOW))
    await pauses.pause(["a"], '{"since": 1}', types=False)
    await kafka.settle()
    put = every("a", HOUR, NOW + HOUR, type="new")
    change = Change(0, ["a"], [], [Change(2, [], [put], [], [1])], [])
    assert await doors[0].commit(change, NOW)
    kafka.log.refuses = lambda record: b"parcel" in record.key and record.value is not None
    assert await kafka.settle() > 0
    assert await here.ids() == ["a"]
    assert await here.drain(NOW) == []
    assert (await pauses.resume(["a"], NOW, types=False)).changed == 1
    assert await here.drain(NOW) == []  # that occurrence has passed
    (run,) = await here.drain(NOW + HOUR)
    assert run.brief == ("a", HOUR)


async def test_an_undone_update_brings_properties_back(shard: Shard) -> None:
    await shard.create(labelled())
    before = await record_of(shard)
    await shard.update(every("a", SECOND, **OF_2018))
    (head,) = [entry for entry in await shard.entries() if entry[:1] == b"G"]
    assert before in head
