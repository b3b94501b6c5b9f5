"""What counts as an answer: tests took an empty output for the line that they waited for."""

import pytest

from tests.harness.waiting import eventually


@pytest.mark.parametrize("nothing", [None, False, 0, "", [], {}], ids=repr)
def test_nothing_is_not_the_answer(nothing: object) -> None:
    answers = iter([nothing, "a line"])
    assert eventually(lambda: next(answers), what="a line", every=0) == "a line"


def test_what_does_not_come_is_named() -> None:
    with pytest.raises(TimeoutError, match="not within 0 s: a line"):
        eventually(lambda: "", what="a line", timeout=0)
