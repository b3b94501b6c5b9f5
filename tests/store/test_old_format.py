"""A store that the version before scheduling.v1 has left is raised to its format, and goes on."""

from collections import Counter
from contextlib import closing

import pytest
import redis

from scheduling_srv.adapters.redis import job_index
from scheduling_srv.adapters.redis.job_index import RedisJobIndex
from scheduling_srv.adapters.redis.pauses import RedisPauses
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.format_ports import RaiseVerdict
from scheduling_srv.app.requests.job_listing import JobListing
from scheduling_srv.app.run_control_ports import Target
from scheduling_srv.domain.errors import FormatTooOld
from scheduling_srv.domain.job_filter import JobFilter, JobState, ListOrder
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import RunFilter, RunState
from scheduling_srv.domain.run_rules import Overlap
from scheduling_srv.formats import job_record
from scheduling_srv.formats.layouts import VERSION_OF_MORE
from scheduling_srv.formats.versions import FORMATS, READS
from tests.harness.given import Store
from tests.store.old_format import MANY, load
from tests.store.shard import DAY, HOUR, MINUTE, NOW, Shard, briefly, every, ids_of, once
from tests.store.test_presence import connected

PIECE = 7
"""Runs or jobs that a call indexes."""
AT = NOW + 2
"""When the old version was stopped."""
WAITING = [f"many-{n:03}" for n in range(MANY) if n != 7]
FIRST = ["every", "cron", "running", "retrying", "first", "held", "held-too"]


@pytest.fixture
async def old(fresh: Shard, valkey: Store) -> Shard:
    """Owned by the present version."""
    with closing(redis.Redis.from_url(valkey.url)) as plain:
        load(plain, fresh.namespace)
    await fresh.own()
    fresh.lineage, fresh.offset = (await fresh.schedule.state()).lineage, await fresh.position()
    return fresh


async def ids(shard: Shard, order: ListOrder = ListOrder.CREATED, **wanted: object) -> list[str]:
    """All pages of a list."""
    listing = JobListing([RedisJobIndex(shard.client, shard.namespace, 0)])
    found, token = list[str](), ""
    while True:
        jobs, token, _ = await listing.page(JobFilter(**wanted), order, 100, token)  # type: ignore[arg-type]
        found += [each.job.id.decode() for each in jobs]
        if not token:
            return found


async def raise_it(shard: Shard) -> None:
    """As the owners do, each of which dies after its first step."""
    async with connected(shard.client, shard, "test"):
        found = await shard.schedule.raise_format(shard.token, READS)
    assert found.verdict is RaiseVerdict.RAISED
    assert await shard.raw("EXISTS", "lease") == 0
    index, has_more, owners = RedisJobIndex(shard.client, shard.namespace, 0), True, 0
    while has_more:
        await shard.raw("DEL", "lease")
        await shard.own(f"owner-{owners}")
        has_more, owners = await index.index_older(shard.token), owners + 1
        if owners % 10 == 1:
            assert await ids(shard, type="type-1") == WAITING_OF[1]
    assert owners > MANY / PIECE
    assert not await index.index_older(shard.token), "again"


WAITING_OF = [[name for name in WAITING if int(name[-3:]) % 3 == rest] for rest in range(3)]


@pytest.fixture
async def raised(old: Shard, monkeypatch: pytest.MonkeyPatch) -> Shard:
    monkeypatch.setattr(job_index, "INDEXED_AT_ONCE", PIECE)
    await raise_it(old)
    return old


async def end(shard: Shard) -> None:
    await shard.delete(*await ids(shard))
    await shard.forget_runs(AT)
    await shard.publish()


async def test_before_it_is_raised_only_2018_can_be_stored(old: Shard) -> None:
    assert (await old.schedule.state()).format == 1
    with pytest.raises(FormatTooOld):
        await RedisPauses(old.client, old.namespace, 0).pause(["a"], "{}", types=False)
    assert await ids(old) == [*FIRST, *WAITING, "once", "unpublished"]
    await end(old)


async def test_all_is_listed(raised: Shard) -> None:
    shard = raised
    assert (await shard.schedule.state()).format == READS
    everything = [*FIRST, *WAITING, "once", "unpublished"]
    assert await ids(shard) == everything
    assert sorted(await ids(shard, ListOrder.NEXT_DUE)) == sorted(everything)
    for rest, names in enumerate(WAITING_OF):
        assert await ids(shard, type=f"type-{rest}") == names
    assert await ids(shard, type="letter") == ["once"]
    assert await ids(shard, type="mail") == ["every"]
    assert await ids(shard, creator="ann") == ["running", "once"]
    assert await ids(shard, id_prefix="many-2") == [f"many-{n}" for n in range(200, 300)]
    states = {
        JobState.RUNNING: ["running", "first"],
        JobState.RETRYING: ["retrying"],
        JobState.HELD: ["held", "held-too"],
    }
    for state, names in states.items():
        assert await ids(shard, states=frozenset({state})) == names
    listed = await shard.runs.runs(RunFilter(), "", 100)
    found = Counter((each.run.id.job_id, each.run.state) for each in listed.runs)
    assert found == Counter(
        {
            ("held", RunState.HELD): 1,
            ("held-too", RunState.HELD): 1,
            ("retrying", RunState.RETRYING): 1,
            ("running", RunState.RUNNING): 1,
            ("first", RunState.RUNNING): 1,
            ("now", RunState.RUNNING): 1,
        }
    )
    await end(shard)


async def test_all_goes_on(raised: Shard) -> None:
    """What was stored, emitted or waiting is published, answered and due as it was to be."""
    shard = raised
    entries = await shard.publish(AT)
    assert any(b"unpublished" in entry for entry in entries)
    instances = [int(each) for each in await shard.raw("HKEYS", "runs")]
    assert await shard.done(*instances, now=AT) == 3
    held = await shard.drain(AT)
    assert ids_of(held) == ["held"]
    await shard.done(*held, now=AT)
    (held_too,) = await shard.drain(AT)
    assert held_too.id == "held-too"
    await shard.done(held_too, now=AT)
    runs = await shard.drain(NOW + HOUR)
    assert briefly(runs) == [("every", HOUR), ("running", HOUR)]
    runs += await shard.drain(NOW + HOUR + 100_000)
    assert ("cron", HOUR + 100_000) in briefly(runs)
    runs += await shard.drain(NOW + 2 * HOUR + 2)
    (again,) = [run for run in runs if run.id == "retrying"]
    assert (again.attempt, again.nominal) == (2, NOW)
    await shard.done(*runs, now=NOW + 2 * HOUR)
    last = [run for run in await shard.drain(NOW + DAY + MANY) if run.id in {*WAITING, "once"}]
    assert sorted(ids_of(last)) == sorted([*WAITING, "once"])
    await shard.forget_runs(NOW + DAY)
    for key in ("open", "running", "runs"):
        assert await shard.raw("EXISTS", key) == 0
    assert sorted(await ids(shard)) == ["cron", "every", "held-too", "running"]
    await end(shard)


async def test_its_jobs_may_have_what_is_new(raised: Shard) -> None:
    """Revisions, labels, pauses, rules, cancels: of jobs that the old version has made."""
    shard = raised
    assert job_record.properties_of(await shard.raw("HGET", "jobs", "every")).revision == 1
    assert job_record.version(await shard.raw("HGET", "jobs", "every")) == FORMATS[1].job
    rules = Properties(labels={"a": "b"}, overlap=Overlap.SKIP)
    await shard.update(every("every", MINUTE, NOW + HOUR, type="mail", properties=rules), now=AT)
    record = await shard.raw("HGET", "jobs", "every")
    assert job_record.properties_of(record).revision == 2
    assert job_record.version(record) == VERSION_OF_MORE
    assert await ids(shard, labels={"a": "b"}) == ["every"]
    pauses = RedisPauses(shard.client, shard.namespace, 0)
    assert (await pauses.pause(["cron"], '{"since": 1}', types=False)).changed == 1
    listed = (await shard.runs.runs(RunFilter(), "", 100)).runs
    open_runs = [Target(each.run.id, each.run.instance) for each in listed]
    control = RedisRunControl(shard.client, shard.namespace, 0, shard.schedule.rules)
    assert (await control.cancel(open_runs, AT, dry_run=False)).open == 6
    runs = await shard.drain(NOW + HOUR + 2 * MINUTE)
    assert {run.id for run in runs} == {"every", "running", "held-too"}
    assert briefly([run for run in runs if run.id == "every"]) == [("every", HOUR)]
    await end(shard)


async def test_what_changes_while_it_is_indexed(
    old: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas that have not heard of the new format yet write in the old one."""
    shard, index = old, RedisJobIndex(old.client, old.namespace, 0)
    monkeypatch.setattr(job_index, "INDEXED_AT_ONCE", PIECE)
    async with connected(shard.client, shard, "test"):
        await shard.schedule.raise_format(shard.token, READS)
    await shard.own()
    assert await index.index_older(shard.token)
    await shard.create(once("early", NOW + DAY, type="type-1", created=None), now=AT)
    await shard.update(once("many-001", NOW + DAY, type="type-2", created=None), now=AT)
    await shard.delete("many-004", "many-010", now=AT)
    while await index.index_older(shard.token):
        pass
    gone = {"many-001", "many-004", "many-010"}
    kept = [name for name in WAITING_OF[1] if name not in gone]
    assert await ids(shard, type="type-1") == [*kept, "early"]
    assert await ids(shard, type="type-2") == [*WAITING_OF[2], "many-001"]
    await end(shard)
