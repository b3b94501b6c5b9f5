"""What each shard does of a change, and how that is kept (docs/decisions/0004)."""

import zlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduling_srv.app.changes import Change, pack, plan_delete, plan_write, shard_of, unpack
from scheduling_srv.domain.job import NewJob
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


def test_a_record_is_decided_where_it_says() -> None:
    change = plan_write([job("a", 2)], {"a": 1}, SHARDS, at=2)
    assert outline(change) == (2, [], [], [(1, ["a"], [], [(2, [], ["a"], [])])])
    assert outline(plan_delete({"a": 1, "b": 0}, 0)) == (0, ["b"], [], [(1, ["a"], [], [])])
    assert outline(plan_delete({}, 2)) == (2, [], [], [])


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
