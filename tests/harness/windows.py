"""A test that has to be fast enough tries again with more time if it was not.

Some behaviour shows only if the test acts before an instant: the service has to be dead before a
job is due. How long that takes depends on the machine. Such a test is an attempt with a window, and
checks its premise: that it was fast enough.
"""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TRIES = 6


class TooSlow(Exception):
    """The machine was too slow for the window; the text is the premise, which did not hold."""


def in_time(fast_enough: bool, premise: str) -> None:
    """Raise TooSlow unless the premise holds."""
    if not fast_enough:
        raise TooSlow(premise)


def with_enough_time(attempt: Callable[[int], T], window_ms: int, *, tries: int = TRIES) -> T:
    """The result of the first attempt that was fast enough.

    `attempt` is given its window in milliseconds, and raises TooSlow. The next one is twice as
    long. What an attempt leaves behind must not disturb the next one.
    """
    premise = ""
    for number in range(tries):
        try:
            return attempt(window_ms << number)
        except TooSlow as slow:
            premise = str(slow)
    longest = window_ms << (tries - 1)
    raise AssertionError(f"too slow even for {longest} ms. The premise does not hold: {premise}")
