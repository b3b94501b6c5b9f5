"""Empty runs through one worker of a contender (`python -m bench.worker`).

A contender is a module that is called with the port of Valkey and the number of jobs. It takes the
jobs in, then starts its worker, and prints how many runs a second that did.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class Count:
    """Counts runs that begin."""

    def __init__(self) -> None:
        self.number = 0
        self._began = 0.0

    def note(self) -> None:
        """One more begins."""
        if not self.number:
            self._began = time.perf_counter()
        self.number += 1

    def rate(self, count: int) -> float:
        """Runs a second until now. Raises `RuntimeError` unless there were `count`."""
        if self.number != count:
            raise RuntimeError(f"{self.number} of {count} runs")
        return count / (time.perf_counter() - self._began)


def main(measure: Callable[[str, int], float]) -> None:
    """The command."""
    _, port, count = sys.argv
    rate = measure(f"redis://127.0.0.1:{port}/0", int(count))
    sys.stdout.write(f"{rate}\n")
