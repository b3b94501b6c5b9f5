"""Ids of runs, as callers give them."""

import pytest

from scheduling_srv.domain.run_control import LARGEST, RunName


@pytest.mark.parametrize(
    "name",
    [RunName("a", 1, 2), RunName("a/b é", 7, 9, 1), RunName("", 0, LARGEST - 1, 2)],
)
def test_an_id_is_read_back(name: RunName) -> None:
    assert RunName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/1",
        "a/1/",
        "a/1/x",
        "a/x/1",
        "a/1/2z",
        "a/-1/2",
        "a/1/2mb",
        "a/1/²",
        f"a/1/{LARGEST}",
    ],
)
def test_no_run_has_another_id(text: str) -> None:
    assert RunName.parse(text) is None
