"""Asks each replica how it is, and notes each change."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from chaos.clock import now_ms
from chaos.history import Recorder
from tests.harness.service import Service

PERIOD_SECONDS = 0.25


class HealthWatch:
    """A thread a replica: a frozen one must not keep the others from being asked."""

    def __init__(self, recorder: Recorder, services: Mapping[str, Service]) -> None:
        """`services` by the names of their replicas."""
        self.recorder = recorder
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=each, name=f"health-{each[0]}", daemon=True)
            for each in services.items()
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when the last question is answered."""
        self._ending.set()
        for thread in self._threads:
            thread.join(5)

    def _watch(self, replica: str, service: Service) -> None:
        last: bool | None = None
        while not self._ending.wait(PERIOD_SECONDS):
            asked = now_ms()
            serving = service.is_serving()
            if serving != last:
                # It was so at some instant between the question and the answer.
                self.recorder.health(asked if not serving else now_ms(), replica, serving=serving)
                last = serving
        self.recorder.health(now_ms(), replica, serving=False)
