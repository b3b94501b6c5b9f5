"""A client of a campaign in a thread of its own."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable


class CallerThread(ABC):
    """Makes one call after another, at random times, until it has to leave."""

    JOIN_SECONDS: float
    """Seconds in which the call under way has ended."""

    def __init__(self, name: str, seed: int, *, pause: float) -> None:
        """`pause`: mean seconds between calls."""
        self.name = name
        self.rng = random.Random(f"{seed}/{name}")  # noqa: S311 - chance that can be repeated
        self.pause = pause
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def leave(self) -> None:
        """End with the call under way."""
        self._leaving.set()

    def join(self) -> None:
        """Wait for that; raises what went wrong."""
        self._thread.join(self.JOIN_SECONDS)
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._leaving.wait(self.rng.expovariate(1 / self.pause)):
                self._choose()()
        except BaseException as failure:  # noqa: BLE001 - raised again where it is joined
            self.failure = failure

    @abstractmethod
    def _choose(self) -> Callable[[], object]:
        """The next call."""
