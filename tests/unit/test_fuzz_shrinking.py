"""Leaving out what a failure does not take."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from chaos.fuzz_inputs import Input
from chaos.fuzz_shrinking import CUT, simplest, smallest


@given(st.data(), st.integers(1, 200))
def test_only_the_causes_are_left(data: st.DataObject, count: int) -> None:
    causes = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))
    left = smallest(range(count), lambda items: causes <= set(items))
    assert left == sorted(causes)


@given(st.integers(0, 114))
def test_one_cause_of_a_hundred_takes_few_calls(cause: int) -> None:
    calls: list[int] = []

    def fails(items: Sequence[int]) -> bool:
        calls.append(len(items))
        return cause in items

    assert smallest(range(115), fails) == [cause]
    assert len(calls) <= 16


def test_any_one_of_several_is_enough() -> None:
    assert smallest([1, 2, 3], lambda items: len(items) >= 1) in ([1], [2], [3])


def test_an_input_loses_its_headers_and_the_bytes_that_do_no_harm() -> None:
    harmless = Input("/Read", "", None, b"1234", (), ())
    cause = Input("/Create", "", None, b"some \xff and more", ((b"a", b"b"),), ("flip",))

    def fails(batch: Sequence[Input]) -> bool:
        return any(b"\xff" in (each.value or b"") for each in batch)

    assert simplest([harmless] * 9 + [cause], fails) == [
        Input("/Create", "", None, b"\xff", (), ("flip", CUT))
    ]


def test_an_input_that_is_simple_stays_as_it_is() -> None:
    cause = Input("", "jobs", b"createJobs", None, (), ("null",))
    assert simplest([cause], lambda batch: batch == [cause]) == [cause]
