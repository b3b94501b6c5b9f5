"""The share of the kit is that of the median pair: one slow moment does not count."""

import pytest

from bench.worker import GOAL, Measured, Pair, judge


def a_pair(share: float, speed: float = 1.0) -> Pair:
    """The kit at this share of the bare loop, on a machine of this speed."""
    return Pair(Measured(100_000 * speed, 10.0), Measured(100_000 * speed * share, 12.0))


def test_a_machine_that_gets_slower_slows_both_programs_of_a_pair() -> None:
    assert judge([a_pair(0.7, speed) for speed in (1.0, 0.5, 0.25)]) == 0


def test_one_pair_below_the_goal_is_not_below_the_goal(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge([a_pair(0.5), a_pair(0.7), a_pair(0.8)]) == 0
    assert "70% of the bare loop, the median of 3 pairs from 50% to 80%" in capsys.readouterr().out


def test_a_median_below_the_goal_is_below_the_goal() -> None:
    assert judge([a_pair(GOAL - 0.01), a_pair(GOAL - 0.01), a_pair(2.0)]) == 1
