"""Delays for the steps of tests, and stalls for replicas, as a busy machine has them.

With TEST_DELAY_MS=3000 a step waits at random before and after its work, up to 3 s each. It finds
tests that depend on a fast machine.

With TEST_STALL_MS=300 each replica stands still half of the time, for up to 0.3 s. It finds tests
that look for a state which only follows: a log line, a figure, health.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LONGEST_STALL_MS = int(os.environ.get("TEST_STALL_MS", "0"))
LONGEST_MS = int(os.environ.get("TEST_DELAY_MS", "0"))
MANY = 5
"""The n-th step waits with the probability MANY / n, so that tests of many steps end as well."""


class Delays:
    """The delays of one test. The seed decides them."""

    def __init__(self, seed: str = "") -> None:
        self._random = random.Random(seed)
        self._steps = 0

    def pause(self) -> None:
        """Wait, or not."""
        self._steps += 1
        if self._random.random() < min(0.5, MANY / self._steps):
            time.sleep(self._random.uniform(0, LONGEST_MS) / 1000)


_delays = [Delays()]


def begin(test: str) -> None:
    """Begin the delays of a test: each time the same, other ones for another LONGEST_MS."""
    _delays[0] = Delays(f"{LONGEST_MS} {test}")


def pause() -> None:
    """Wait, or not, where a test may be slow."""
    if LONGEST_MS:
        _delays[0].pause()


@contextmanager
def step() -> Iterator[None]:
    """A step of a test: it may begin late, and the test may go on late."""
    pause()
    yield
    pause()


class Stallable(Protocol):
    """A process that can stand still for a while."""

    @property
    def pid(self) -> int:
        """Its number; another one after a restart."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""

    def stall(self, seconds: float) -> None:
        """Let it stand still, unless a test does so already."""


def stall(process: Stallable) -> None:
    """Let this process stand still now and then, until it ends."""
    if LONGEST_STALL_MS:
        threading.Thread(target=_stall, args=(process, process.pid), daemon=True).start()


def _stall(process: Stallable, pid: int) -> None:
    while process.alive and process.pid == pid:
        time.sleep(random.uniform(0, LONGEST_STALL_MS) / 1000)
        process.stall(random.uniform(0, LONGEST_STALL_MS) / 1000)
