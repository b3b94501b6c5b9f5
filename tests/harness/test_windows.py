"""An attempt that was too slow is made again with more time; a failure is one at once."""

import pytest

from tests.harness.windows import TRIES, in_time, with_enough_time


def test_an_attempt_that_is_fast_enough_is_the_only_one() -> None:
    assert with_enough_time(lambda window: window, 100) == 100


def test_the_window_grows_until_the_premise_holds() -> None:
    def attempt(window: int) -> int:
        in_time(window > 700, "700 ms are enough")
        return window

    assert with_enough_time(attempt, 100) == 800


def test_a_premise_that_never_holds_is_named() -> None:
    windows: list[int] = []

    def attempt(window: int) -> None:
        windows.append(window)
        in_time(False, "the service was dead before the job was due")

    with pytest.raises(AssertionError, match="the service was dead before the job was due"):
        with_enough_time(attempt, 100)
    assert len(windows) == TRIES
    assert windows[-1] == 3_200


def test_a_failure_is_not_tried_again() -> None:
    windows: list[int] = []

    def attempt(window: int) -> None:
        windows.append(window)
        assert not windows

    with pytest.raises(AssertionError):
        with_enough_time(attempt, 100)
    assert windows == [100]
