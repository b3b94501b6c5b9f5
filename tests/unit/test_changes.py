"""What each shard does of a change, and how that is kept (docs/decisions/0004)."""

import zlib
from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from scheduling_srv.app.budget import DELETED_IDS
from scheduling_srv.app.replies import LEAVING, Claimed
from scheduling_srv.app.sharding.changes import PIECE, plan_delete, plan_write, shard_of
from scheduling_srv.app.sharding.claims import read_answers
from scheduling_srv.app.sharding.courier import GENERATIONS
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.changes import Change, pack, unpack
from tests.store.shard import NOW, once

SHARDS = 3


def kind(shard: int) -> str:
    return next(f"t{n}" for n in range(100) if zlib.crc32(f"t{n}".encode()) % SHARDS == shard)


def job(job_id: str, shard: int) -> NewJob:
    return once(job_id, NOW + 5, type=kind(shard))


def outline(change: Change) -> object:
    """Shard, ids that leave, ids that come, what follows."""
    then = [outline(each) for each in change.then]
    return change.shard, list(change.removed), [each.id for each in change.put], then


def test_the_shard_of_a_type_never_changes() -> None:
    """It is stored: in the keys of Redis and in the journal of Kafka."""
    assert [shard_of(text, 7) for text in ("a", "send_report", "Ä")] == [
        0xE8B7BE43 % 7,
        zlib.crc32(b"send_report") % 7,
        zlib.crc32("Ä".encode()) % 7,
    ]


def test_new_jobs_begin_in_one_shard_and_go_on_in_the_others() -> None:
    jobs = [job("a", 2), job("b", 1), job("c", 2), job("d", 0)]
    assert outline(plan_write(jobs, {}, SHARDS)) == (
        0,
        [],
        ["d"],
        [(1, [], ["b"], []), (2, [], ["a", "c"], [])],
    )


def test_a_job_leaves_before_it_comes() -> None:
    change = plan_write([job("a", 2), job("b", 2)], {"a": 1, "b": 2}, SHARDS)
    assert outline(change) == (1, ["a"], [], [(2, [], ["a"], []), (2, [], ["b"], [])])


def test_a_shard_deletes_many_jobs_in_parcels_to_itself() -> None:
    """One call for 10,000 jobs held Redis for a quarter of a second."""
    names = [f"j{number}" for number in range(1000)]
    change = plan_delete(dict.fromkeys(names, 1), 1)
    parts = [change, *change.then]
    assert {part.shard for part in parts} == {1}
    assert [name for part in parts for name in part.removed] == names
    assert len(change.removed) == DELETED_IDS
    assert all(len(pack(part)) <= PIECE for part in change.then)


def generations(change: Change) -> int:
    return max((1 + generations(each) for each in change.then), default=0)


def test_a_change_has_as_many_generations_of_parcels_as_a_courier_delivers() -> None:
    """`Courier.settle_all` returns after so many rounds."""
    shards = range(SHARDS)
    changes = [
        change
        for begins in (None, *shards)
        for homes in product((None, *shards), repeat=2)
        for targets in product(shards, repeat=2)
        for lived in [{name: home for name, home in zip("ab", homes, strict=True) if home}]
        for change in (
            plan_write([job("a", targets[0]), job("b", targets[1])], lived, SHARDS, begins),
            plan_delete(lived, begins or 0),
        )
    ]
    assert max(map(generations, changes)) == GENERATIONS


def test_a_removed_job_is_created_elsewhere_by_way_of_where_it_was() -> None:
    """Its removal may not be on Kafka yet (docs/decisions/0026)."""
    answers = [Claimed("ok", kinds) for kinds in ([LEAVING, 3], [-1, -1], [-1, LEAVING])]
    claim = read_answers("token", ["a", "b"], answers)
    assert (claim.shards(), claim.origins()) == ({"b": 0}, {"a": 0, "b": 0})
    change = plan_write([job("a", 1)], claim.origins(), SHARDS)
    assert outline(change) == (0, ["a"], [], [(1, [], ["a"], [])])
    assert outline(plan_write([job("a", 0)], claim.origins(), SHARDS)) == (0, [], ["a"], [])


def test_a_record_is_decided_where_it_says() -> None:
    change = plan_write([job("a", 2)], {"a": 1}, SHARDS, at=2)
    assert outline(change) == (2, [], [], [(1, ["a"], [], [(2, [], ["a"], [])])])
    assert outline(plan_delete({"a": 1, "b": 0}, 0)) == (0, ["b"], [], [(1, ["a"], [], [])])
    assert outline(plan_delete({}, 2)) == (2, [], [], [])


def heavy(job_id: str, shard: int, size: int = 20_000) -> NewJob:
    return NewJob(job_id, NOW + 5, job(job_id, shard).record + bytes(size))


def test_what_one_record_of_kafka_could_not_hold_goes_in_several_parcels() -> None:
    """A record that Kafka refuses would keep the shard from publishing for ever."""
    new = [heavy(f"new {n}", 1) for n in range(10)]
    moving = [heavy(f"moving {n}", 0) for n in range(10)]
    leaving = [heavy(f"leaving {n}", 2) for n in range(10)]
    homes = {each.id: 2 for each in moving} | {each.id: 0 for each in leaving}
    change = plan_write([*new, *moving, *leaving], homes, SHARDS, at=0)
    assert max(len(pack(each)) for each in change.then) <= 64_000
    reached = {
        (each.shard, put.id)
        for first in change.then
        for each in (first, *first.then)
        for put in each.put
    }
    assert reached == (
        {(1, each.id) for each in new}
        | {(0, each.id) for each in moving}
        | {(2, each.id) for each in leaving}
    )
    assert len(change.then) > 8
    for parcel in change.then:  # a job leaves and moves on in the same one
        assert list(parcel.removed) == [put.id for each in parcel.then for put in each.put]
    places = [place for each in change.then if each.shard == 1 for place in each.places]
    assert places == [*range(1, 11)]


def test_long_ids_and_large_jobs_have_parcels_of_their_own() -> None:
    ids = [f"{n}" + "ä" * 1000 for n in range(100)]
    assert max(len(pack(each)) for each in plan_delete(dict.fromkeys(ids, 1), 0).then) <= 64_000
    jobs = [heavy(f"{n}", 1, 900_000) for n in range(3)]
    parcels = plan_write([job("a", 0), *jobs], {}, SHARDS).then
    assert [len(parcel.put) for parcel in parcels] == [1, 1, 1]


jobs = st.builds(NewJob, st.text(), st.integers(0, 1 << 40), st.binary())
changes: st.SearchStrategy[Change] = st.deferred(
    lambda: st.builds(
        Change,
        st.integers(0, 63),
        st.lists(st.text(), max_size=3),
        st.lists(jobs, min_size=2, max_size=2),
        st.lists(changes, max_size=2),
        st.lists(st.integers(1, 99), min_size=2, max_size=2),
    )
)


@given(changes)
def test_what_is_packed_is_unpacked(change: Change) -> None:
    assert unpack((7).to_bytes(8, "little") + pack(change)) == replace(change, base=7)
