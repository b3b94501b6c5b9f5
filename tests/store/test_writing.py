"""Create, update, upsert, delete, clear: each as a whole or not at all (docs/contract.md)."""

import pytest

from scheduling_srv.adapters.redis.jobs import PIECE, PIECE_BYTES, origin
from scheduling_srv.app.ports import Refusal, WriteGroup, WriteMode
from scheduling_srv.app.positions import Start
from scheduling_srv.domain.errors import StoreNotReady
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.job_record import header
from scheduling_srv.formats.positions import InputPosition, Place
from tests.store.shard import ANY, HOUR, NOW, Shard, at_once, every, ids_of, kinds_of, once

LATER = NOW + HOUR


async def record_of(shard: Shard, job_id: str) -> bytes:
    (found,) = await shard.jobs.get([job_id])
    assert found
    return found.record


async def test_create_stores_and_announces_in_order(shard: Shard) -> None:
    """The jobs are there, and their announcements lie before the receipt."""
    receipt = await shard.create(once("b"), every("a", HOUR))
    assert await shard.ids() == ["b", "a"]
    assert kinds_of(await shard.entries()) == "CC"
    assert receipt.lineage == shard.lineage
    assert receipt.number == int(await shard.raw("HGET", "meta", "tail"))


async def test_what_is_read_is_what_was_written_but_for_its_number(shard: Shard) -> None:
    """The store gives the creation number and touches nothing else of the record."""
    job = every("a", HOUR, creator="me", trace=b"00-trace")
    await shard.create(once("x"), job)
    record = await record_of(shard, "a")
    assert record[6:] == job.record[6:]
    assert header(record).seq == header(await record_of(shard, "x")).seq + 1


async def test_now_jobs_are_kept_but_are_no_resources(shard: Shard) -> None:
    """A `now` job goes to the journal only, and no page shows it (docs/contract.md)."""
    await shard.create(at_once("n"))
    assert await shard.ids() == []
    assert kinds_of(await shard.entries()) == "N"
    assert await shard.jobs.get(["n"]) != [None]


@pytest.mark.parametrize(
    ("mode", "refusal"),
    [(WriteMode.CREATE, Refusal("exists", 1)), (WriteMode.UPDATE, Refusal("missing", 0))],
)
async def test_a_refused_group_changes_nothing(
    shard: Shard, mode: WriteMode, refusal: Refusal
) -> None:
    """One job that cannot be written keeps the others of its group out, and is named."""
    await shard.create(once("old", LATER))
    before = await record_of(shard, "old")
    await shard.entries()
    written = await shard.write(mode, once("new", LATER), once("old", NOW))
    assert written.refusals == [refusal]
    assert await shard.entries() == []
    assert await shard.ids() == ["old"]
    assert await record_of(shard, "old") == before
    assert await shard.stage(NOW) == []


async def test_groups_of_one_call_succeed_and_fail_on_their_own(shard: Shard) -> None:
    """Group commit: each caller gets its own verdict, later groups see what earlier ones did."""
    groups = [
        WriteGroup(WriteMode.CREATE, [once("a")]),
        WriteGroup(WriteMode.CREATE, [once("b"), once("a")], named=["b", "a"]),
        WriteGroup(WriteMode.UPDATE, [once("a", LATER)]),
        WriteGroup(WriteMode.UPDATE, [once("b")]),
        WriteGroup(WriteMode.UPSERT, [once("a"), once("c")]),
    ]
    written = await shard.jobs.write(groups, NOW)
    assert written.refusals == [None, Refusal("exists", 1), None, Refusal("missing", 0), None]
    assert await shard.ids() == ["a", "c"]
    assert kinds_of(await shard.entries()) == "CDCDCC"


async def test_update_replaces_all_and_keeps_the_id(shard: Shard) -> None:
    """Nothing is merged from the old job, which never runs again."""
    await shard.create(once("a", NOW, creator="old"), once("b", NOW))
    before = header(await record_of(shard, "a")).seq
    await shard.update(once("a", LATER, creator="new"))
    assert await shard.ids() == ["b", "a"]
    assert header(await record_of(shard, "a")).seq > before
    assert ids_of(await shard.drain(NOW)) == ["b"]
    assert ids_of(await shard.drain(LATER)) == ["a"]
    old = await shard.jobs.page("old", descending=False, cursor="", limit=ANY)
    new = await shard.jobs.page("new", descending=False, cursor="", limit=ANY)
    assert (old.total, new.total) == (0, 1)


async def test_update_announces_the_deletion_first(shard: Shard) -> None:
    """jobsDeleted, then jobsCreated (docs/contract.md)."""
    await shard.create(once("a"))
    await shard.entries()
    await shard.update(once("a"))
    assert kinds_of(await shard.entries()) == "DC"


async def test_an_update_does_not_find_now_jobs(shard: Shard) -> None:
    """They are no resources, so there is nothing to update."""
    await shard.create(at_once("n"))
    written = await shard.write(WriteMode.UPDATE, once("n"))
    assert written.refusals == [Refusal("missing", 0)]


async def test_an_upsert_over_a_now_job_announces_no_deletion(shard: Shard) -> None:
    """Nobody was told of it, so nobody is told that it is gone."""
    await shard.create(at_once("n"))
    await shard.entries()
    await shard.upsert(once("n"))
    assert kinds_of(await shard.entries()) == "XC"
    assert len(await shard.drain(NOW)) == 1


async def test_a_create_does_not_overwrite_a_now_job(shard: Shard) -> None:
    """An id is unique among all that lives."""
    await shard.create(at_once("n"))
    written = await shard.write(WriteMode.CREATE, once("n"))
    assert written.refusals == [Refusal("exists", 0)]


async def test_update_leaves_the_old_run_to_its_answer(shard: Shard) -> None:
    """Its answer ends it, and neither deletes nor retries the new job."""
    await shard.create(once("a", NOW, attempts=5))
    (run,) = await shard.stage(NOW)
    await shard.update(once("a", LATER, attempts=5))
    assert await shard.fail(run) == 1
    assert await shard.ids() == ["a"]
    assert await shard.drain(LATER - 1) == []
    assert len(await shard.drain(LATER)) == 1


async def test_delete_takes_what_exists_and_announces_that(shard: Shard) -> None:
    """Unknown ids are no error and emit nothing, nor does one that stands twice."""
    await shard.create(once("a"), once("b"), at_once("n"))
    await shard.entries()
    await shard.delete("a", "ghost", "a", "n")
    assert kinds_of(await shard.entries()) == "DX"
    assert await shard.ids() == ["b"]
    assert ids_of(await shard.drain(NOW)) == ["b"]


async def test_delete_of_nothing_still_has_a_receipt(shard: Shard) -> None:
    """A run that was staged before the call lies before its receipt."""
    await shard.create(once("a"))
    await shard.stage(NOW)
    receipt = await shard.delete("ghost")
    assert receipt.number >= shard.seen


async def test_nothing_is_staged_after_a_delete(shard: Shard) -> None:
    """Whether it waits for its time, its retry, a free place or its plan."""
    busy = every("busy", HOUR, NOW, parallel=1, type="x")
    held = every("held", HOUR, NOW, parallel=1, type="x")
    retried = every("retried", HOUR, NOW, attempts=2, delay=10)
    await shard.create(busy, held, retried)
    runs = {run.id: run for run in await shard.stage(NOW)}
    assert list(runs) == ["busy", "retried"]
    await shard.fail(runs["retried"])
    await shard.delete("busy", "held", "retried")
    await shard.done(runs["busy"])
    assert await shard.drain(NOW + 10 * HOUR) == []
    assert await shard.keys() == ["inputs", "meta", "outbox"]


async def test_clear_deletes_all_resources_but_no_now_jobs(shard: Shard) -> None:
    """`collection`: each deletion is announced."""
    await shard.create(once("a", LATER), at_once("n", LATER), every("b", HOUR))
    await shard.entries()
    receipt = await shard.clear()
    assert kinds_of(await shard.entries()) == "DD"
    assert receipt.number == shard.seen
    assert await shard.ids() == []
    assert ids_of(await shard.drain(LATER)) == ["n"]


async def test_clear_spares_what_comes_after_its_first_piece(shard: Shard) -> None:
    """What is created or replaced while a large deletion is under way stays."""
    await shard.create(*[once(f"j{number}", LATER) for number in range(3)])
    await shard.jobs.scripts.run("clear", now=NOW, mark="cleared", **origin(None))
    await shard.create(once("new", LATER))
    await shard.upsert(once("j1", LATER))
    await shard.jobs.sweep()
    assert await shard.ids() == ["new", "j1"]


async def test_what_is_to_be_cleared_does_not_run_any_more(shard: Shard) -> None:
    """A crash between the pieces leaves nothing but a sweep to be done."""
    await shard.create(once("a"), every("b", HOUR, NOW), at_once("n"))
    await shard.jobs.scripts.run("clear", now=NOW, mark="cleared", **origin(None))
    assert ids_of(await shard.drain(NOW + HOUR)) == ["n"]
    await shard.entries()
    await shard.jobs.sweep()
    assert kinds_of(await shard.entries()) == "DD"
    assert await shard.ids() == []


async def test_pages_go_through_all_jobs_both_ways(shard: Shard) -> None:
    """In order of creation, with the number of all, whatever the size of a page."""
    names = [f"j{number}" for number in range(25)]
    await shard.create(*[once(name, LATER) for name in names])
    for descending in (False, True):
        found, cursor = [], ""
        while True:
            page = await shard.jobs.page("", descending=descending, cursor=cursor, limit=10)
            assert page.total == 25
            found += [job.id.decode() for job in page.jobs]
            cursor = page.cursor
            if not cursor:
                break
        assert found == (names[::-1] if descending else names)


async def test_pages_of_one_creator(shard: Shard) -> None:
    """Only that one's, also when another one's name begins alike."""
    await shard.create(once("a", creator="c"), once("b", creator="c:d"), once("d", creator="c"))
    page = await shard.jobs.page("c", descending=True, cursor="", limit=1)
    assert (page.total, [job.id for job in page.jobs]) == (2, [b"d"])
    page = await shard.jobs.page("c", descending=True, cursor=page.cursor, limit=5)
    assert [job.id for job in page.jobs] == [b"a"]
    assert (await shard.jobs.page("nobody", descending=False, cursor="", limit=5)).total == 0


async def test_get_keeps_the_order_of_the_question(shard: Shard) -> None:
    """Unknown ids have no job."""
    await shard.create(once("a"), once("b"))
    found = await shard.jobs.get(["b", "ghost", "a"])
    assert [each and each.id for each in found] == [b"b", None, b"a"]
    assert await shard.jobs.get([]) == []


async def test_no_answer_of_redis_is_larger_than_it_has_to_be(shard: Shard) -> None:
    """Large jobs come in smaller pages: neither server has to hold them all."""
    large = PIECE_BYTES // 2 + 1
    ids = ["a", "b", "c", "d", "e"]
    await shard.create(*[once(job_id, creator="x", timezone="z" * large) for job_id in ids])
    found, cursor = [list[str](), list[str]()], ""
    while page := (await shard.jobs.page("", descending=False, cursor=cursor, limit=ANY)):
        found[0] += [job.id.decode() for job in page.jobs]
        cursor = page.cursor
        assert len(page.jobs) <= 2
        if not cursor:
            break
    asked = [*ids, "nobody"]
    while rest := asked[len(found[1]) :]:
        jobs = await shard.jobs.get(rest)
        assert 1 <= len(jobs) <= 2
        found[1] += [job.id.decode() if job else "nobody" for job in jobs]
    assert found == [ids, asked]


async def test_ten_thousand_jobs_in_one_list(shard: Shard) -> None:
    """The longest list is written, read, staged, updated and deleted in one call each."""
    jobs = [once(f"j{number}", NOW + number % 7) for number in range(10_000)]
    await shard.create(*jobs)
    assert len(await shard.ids()) == 10_000
    assert len(await shard.jobs.get([job.id for job in jobs])) == PIECE
    staged = await shard.drain(NOW + 10)
    assert len(staged) == len({run.instance for run in staged}) == 10_000
    assert await shard.done(*staged[:5000]) == 5000
    await shard.upsert(*[once(job.id, job.due, attempts=2) for job in jobs])
    await shard.delete(*[job.id for job in jobs])
    assert await shard.done(*staged[5000:]) == 5000
    assert await shard.drain(NOW + 10) == []
    assert len(await shard.publish()) > 50_000
    assert await shard.keys() == ["inputs", "meta"]


ODD = [
    "{}",
    "{0}:x",
    "a b",
    "*",
    "job[1]?",
    "é\u4e16\U0001f600",
    "a:b:c",
    "0",
    "-",
    "/1/2",
    "'\"\\",
    "x" * 4096,
]


@pytest.mark.parametrize("text", ODD)
async def test_odd_texts_are_ids_types_and_creators_like_any_other(shard: Shard, text: str) -> None:
    """Written, found, held, staged, answered, deleted; nothing is left and nobody else is hit."""

    def named(job_id: str) -> NewJob:
        return every(job_id, HOUR, NOW, type=text, creator=text, parallel=1, attempts=2)

    await shard.create(named(text), named("other"))
    page = await shard.jobs.page(text, descending=False, cursor="", limit=5)
    assert [job.id.decode() for job in page.jobs] == [text, "other"]
    (first,) = await shard.stage(NOW)
    assert first.id == text
    assert await shard.fail(first) == 1
    (second,) = await shard.stage(NOW)
    assert await shard.done(second) == 1
    (third,) = await shard.stage(NOW)
    assert {second.id, third.id} == {text, "other"}
    await shard.delete(text)
    assert await shard.ids() == ["other"]
    await shard.done(third)
    await shard.clear()
    await shard.drain(NOW + HOUR)
    await shard.publish()
    assert await shard.keys() == ["inputs", "meta"]


async def test_nothing_is_accepted_before_the_shard_is_ready(fresh: Shard) -> None:
    """While it is being recovered, no call can tell what there is."""
    await fresh.own()
    with pytest.raises(StoreNotReady):
        await fresh.create(once("a"))
    with pytest.raises(StoreNotReady):
        await fresh.delete("a")
    with pytest.raises(StoreNotReady):
        await fresh.clear()
    with pytest.raises(StoreNotReady):
        await fresh.jobs.sweep()
    with pytest.raises(StoreNotReady):
        await fresh.ids()
    with pytest.raises(StoreNotReady):
        await fresh.jobs.get(["a"])
    with pytest.raises(StoreNotReady):
        await fresh.jobs.positions()
    with pytest.raises(StoreNotReady):
        await fresh.jobs.append([b"E"], NOW)
    with pytest.raises(StoreNotReady):
        await fresh.restores.begin("{}", NOW, None)
    with pytest.raises(StoreNotReady):
        await fresh.done(1)
    with pytest.raises(StoreNotReady):
        await fresh.jobs.set_positions([Start("jobs:0", None, InputPosition(1))], "", NOW)
    with pytest.raises(StoreNotReady):
        await fresh.jobs.forget({Place("jobs", 0): 1}, "", NOW)
