"""The outbox and the lease: who may publish, and from where on (docs/decisions/0001)."""

import pytest

from scheduling_srv.app.ports import WriteGroup, WriteMode
from scheduling_srv.app.replies import Cursor, Planned
from scheduling_srv.domain.errors import Diverged, LeaseLost, Overloaded
from scheduling_srv.formats.position_record import Position
from tests.store.shard import HOUR, NOW, Shard, kinds_of, once


async def appended(shard: Shard, *entries: bytes) -> None:
    """Puts entries into an outbox that is empty."""
    await shard.publish()
    receipt = await shard.jobs.append(entries, NOW)
    shard.seen = receipt.number - len(entries)


async def test_entries_are_numbered_and_handed_out_in_order(shard: Shard) -> None:
    """Again and again until they are published."""
    await appended(shard, b"Ea", b"Eb", b"Ec")
    base = shard.seen
    for _ in range(2):
        taken = await shard.take(base)
        assert (taken.after, taken.entries) == (base, [b"Ea", b"Eb", b"Ec"])


@pytest.mark.parametrize("ahead", range(5))
async def test_a_staging_call_hands_out_what_was_there_and_what_it_adds(
    shard: Shard, ahead: int
) -> None:
    """The same entries as a later call reads, from any place on."""
    await shard.create(once("a", NOW), once("b", NOW))
    await appended(shard, b"Ea", b"Eb")
    cursor = Cursor(shard.seen, shard.lineage, ahead)
    taken = (await shard.schedule.stage(shard.token, NOW, 500, cursor)).taken
    assert taken
    whole = await shard.take(shard.seen)
    assert (kinds_of(whole.entries), len(whole.entries)) == ("EEQQ", 5)
    assert (taken.after, taken.entries) == (shard.seen + ahead, whole.entries[ahead:])
    assert (taken.waiting, taken.size) == (whole.waiting, whole.size)


async def test_what_is_published_is_trimmed(shard: Shard) -> None:
    """In the call that hands out the next ones; its numbers go on."""
    await appended(shard, b"Ea", b"Eb", b"Ec")
    base = shard.seen
    await shard.take(base)
    taken = await shard.take(base + 2)
    assert (taken.after, taken.entries) == (base + 2, [b"Ec"])
    assert await shard.raw("LLEN", "outbox") == 1
    assert (await shard.take(base + 3)).entries == []
    assert (await shard.jobs.append([b"Ed"], NOW)).number == base + 4


async def test_how_far_it_was_handed_out_is_stored(shard: Shard) -> None:
    """Before anybody sees it: Kafka is never ahead of that unless Redis has lost writes."""
    await appended(shard, *[b"E%d" % number for number in range(10)])
    base = shard.seen
    shard.rule(batch_records=4)
    await shard.take(base)
    state = await shard.schedule.state()
    assert (state.trimmed, state.taken, state.ready) == (base, base + 4, True)
    await shard.take(base + 4)
    state = await shard.schedule.state()
    assert (state.trimmed, state.taken) == (base + 4, base + 8)
    with pytest.raises(Diverged):
        await shard.take(base + 10)


async def test_what_is_under_way_is_not_handed_out_again(shard: Shard) -> None:
    """It stays until it is published, and counts for how far was handed out."""
    await appended(shard, *[b"E%d" % number for number in range(10)])
    base = shard.seen
    shard.rule(batch_records=4)
    await shard.take(base)
    taken = await shard.take(base, 4)
    assert (taken.after, taken.entries, taken.waiting) == (
        base + 4,
        [b"E4", b"E5", b"E6", b"E7"],
        10,
    )
    taken = await shard.take(base + 4, 4)
    assert (taken.after, taken.entries, taken.waiting) == (base + 8, [b"E8", b"E9"], 6)
    assert (await shard.take(base + 4, 6)).entries == []
    state = await shard.schedule.state()
    assert (state.trimmed, state.taken) == (base + 4, base + 10)


@pytest.mark.parametrize("most", [1, 99, 100, 101, 250, 1000])
async def test_a_batch_has_a_greatest_number_of_entries(shard: Shard, most: int) -> None:
    """All of them come, each once, whatever the size of a batch."""
    entries = [b"E%d" % number for number in range(350)]
    await appended(shard, *entries)
    shard.rule(batch_records=most)
    taken = await shard.take(shard.seen)
    assert taken.entries == entries[:most]


async def test_a_batch_has_a_greatest_size(shard: Shard) -> None:
    """The entry that reaches it is the last one."""
    entries = [b"E" + b"x" * 999 for _ in range(250)]
    await appended(shard, *entries)
    shard.rule(batch_bytes=30_001)
    taken = await shard.take(shard.seen)
    assert len(taken.entries) == 31
    assert (await shard.schedule.state()).taken == shard.seen + 31


@pytest.mark.parametrize("distance", [-1, 3])
async def test_a_position_outside_the_outbox_is_refused(shard: Shard, distance: int) -> None:
    """And nothing is trimmed."""
    await appended(shard, b"Ea", b"Eb")
    with pytest.raises(Diverged):
        await shard.take(shard.seen + distance)
    assert await shard.raw("LLEN", "outbox") == 2


async def test_one_owner_at_a_time(shard: Shard) -> None:
    """The lease is given back, or ends."""
    assert await shard.schedule.acquire("other") is None
    await shard.schedule.release(shard.token)
    token = await shard.schedule.acquire("other")
    assert token
    assert await shard.schedule.acquire("test") is None
    await shard.schedule.release(token)


async def test_every_lease_has_its_own_token(shard: Shard) -> None:
    """Also for the same owner: what an earlier one has begun must not end in the later one."""
    tokens = {shard.token}
    for _ in range(3):
        await shard.schedule.release(shard.token)
        tokens.add(await shard.own())
    assert len(tokens) == 4


async def test_a_lease_ends_by_itself(shard: Shard) -> None:
    """Whoever says nothing for so long is the owner no longer."""
    ttl = await shard.raw("PTTL", "lease")
    assert HOUR - 60_000 < ttl <= HOUR
    shard.rule(lease=5 * HOUR)
    await shard.schedule.renew(shard.token, emitting=False)
    assert await shard.raw("PTTL", "lease") > 4 * HOUR
    assert not (await shard.schedule.progress()).working
    await shard.schedule.renew(shard.token, emitting=True)
    assert (await shard.schedule.progress()).working
    assert 4 * HOUR < await shard.raw("PTTL", "emitting") <= 5 * HOUR
    await shard.schedule.renew(shard.token, emitting=False)
    assert not (await shard.schedule.progress()).working


async def test_a_lost_lease_stops_every_script_of_the_owner(shard: Shard) -> None:
    """Nothing is changed by somebody who believes to be the owner."""
    await shard.create(once("a"))
    await shard.restores.begin("{}", NOW, None)
    old = shard.token
    await shard.schedule.release(old)
    await shard.own("other")
    before = await shard.raw("HGETALL", "meta")
    schedule = shard.schedule
    calls = {
        "stage": schedule.stage(old, NOW, 10),
        "unplanned": schedule.unplanned(old, 10),
        "plan": schedule.plan(old, [Planned(b"x" * 8, NOW, settled=False)], NOW),
        "expire": schedule.expire(old, NOW, 10),
        "take": schedule.take(old, Cursor(0, shard.lineage), NOW),
        "renew": schedule.renew(old, emitting=True),
        "release": schedule.release(old),
        "initialise": schedule.initialise(old, Position(0, "x"), NOW),
        "rebuild": schedule.begin_rebuild(old),
        "load_jobs": schedule.load_jobs(old, []),
        "load_runs": schedule.load_runs(old, []),
        "restore_end": shard.restores.end(old, "1", b"E"),
    }
    for name, call in calls.items():
        with pytest.raises(LeaseLost, match=r"^Another replica owns the shard by now\.$"):
            await call
            pytest.fail(name)
    assert await shard.raw("HGETALL", "meta") == before
    assert await shard.ids() == ["a"]
    assert len(await shard.restores.pending()) == 1
    await shard.restores.end(shard.token, "1", b"E")


async def test_a_lease_that_ended_is_lost(shard: Shard) -> None:
    """Also when nobody has taken it since."""
    await shard.raw("DEL", "lease")
    gone = "The lease is gone from Redis, and no replica has it"
    with pytest.raises(LeaseLost, match=gone):
        await shard.schedule.stage(shard.token, NOW, 10)
    with pytest.raises(LeaseLost, match=gone):
        await shard.schedule.renew(shard.token, emitting=True)


async def test_shards_and_namespaces_do_not_see_one_another(shard: Shard) -> None:
    """Each has its own keys, whatever the namespace is called."""
    others = [
        Shard.of(shard.client, shard.namespace, number=1),
        Shard.of(shard.client, f"{shard.namespace}:{{0}}"),
        Shard.of(shard.client, f"{shard.namespace}*[a]?"),
    ]
    for other in others:
        await other.open()
        await other.create(once("a"))
    assert await shard.ids() == []
    for other in others:
        await other.schedule.begin_rebuild(other.token)
        await other.raw("DEL", "meta")
        await other.raw("DEL", "lease")
        await other.raw("DEL", "owners")
    await shard.create(once("b"))
    assert len(await shard.drain(NOW)) == 1


async def test_a_full_outbox_takes_no_jobs_in(shard: Shard) -> None:
    """Kafka is behind: what waits for it in Redis is bounded, and it goes on when there is room."""
    shard.jobs.outbox_limit = len(await shard.entries()) + 3
    await shard.create(once("a"), once("b"), once("c"))
    with pytest.raises(Overloaded):
        await shard.create(once("d"))
    assert await shard.ids() == ["a", "b", "c"]
    await shard.publish()
    await shard.create(once("d"))


async def test_a_group_is_handed_out_as_a_whole(shard: Shard) -> None:
    """The effects of a record and the position behind it share a transaction, whatever its size."""
    await appended(shard, b"Ea", b"Eb")
    jobs = [once(f"job {number}") for number in range(250)]
    await shard.jobs.write([WriteGroup(WriteMode.CREATE, jobs, 5)], NOW, shard.source(5))
    await shard.jobs.append([b"Ec"], NOW)
    shard.rule(batch_records=3)
    taken = await shard.take((await shard.schedule.state()).trimmed)
    assert [entry[:1] for entry in taken.entries[:4]] == [b"E", b"E", b"G", b"C"]
    assert [entry[:1] for entry in taken.entries[-2:]] == [b"C", b"M"]
    assert len(taken.entries) == 2 + 1 + 250 + 1


async def test_a_store_of_another_life_hands_out_nothing(shard: Shard) -> None:
    """Redis was started again, or the shard rebuilt: numbers may have been given out twice."""
    await appended(shard, b"Ea")
    with pytest.raises(Diverged):
        await shard.schedule.take(shard.token, Cursor(shard.seen, "first:another server"), NOW)


@pytest.mark.parametrize("mode", [WriteMode.CREATE, WriteMode.UPDATE])
async def test_a_list_and_an_update_are_published_as_a_whole(shard: Shard, mode: WriteMode) -> None:
    """Found by review: between two transactions Redis could lose what comes in a job's place."""
    jobs = [once("a", NOW + HOUR), once("b", NOW + HOUR)]
    if mode is WriteMode.UPDATE:
        await shard.create(*jobs)
        jobs = jobs[:1]
    await shard.publish()
    published = (await shard.schedule.state()).trimmed
    await shard.write(mode, *jobs)
    shard.rule(batch_records=1)
    taken = await shard.take(published)
    assert kinds_of(taken.entries) == {WriteMode.CREATE: "CC", WriteMode.UPDATE: "DC"}[mode]
