"""Counts and logs the events that the service skips, as it does not know them (contract.md)."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from scheduling_client.schedules.texts import shown
from scheduling_srv.runtime import metrics

LOG_EVERY_SECONDS = 3_600.0
MAX_KEYS, MAX_KEY_BYTES = 100, 100
"""Keys that are remembered, and bytes of each. Random keys fill neither the memory nor the log."""

log = structlog.get_logger(__name__)


class UnknownEvents:
    """Counts unknown events, and logs each key once an hour."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._logged: dict[bytes, float] = {}

    def note(self, topic: str, key: bytes | None, partition: int, offset: int) -> None:
        """Count a record whose key is not in `KNOWN`."""
        metrics.UNKNOWN_EVENTS.labels(topic=topic).inc()
        key, now = (key or b"")[:MAX_KEY_BYTES], self.monotonic()
        if now - self._logged.get(key, float("-inf")) < LOG_EVERY_SECONDS:
            return
        if len(self._logged) >= MAX_KEYS:
            self._forget_old(now)
        if len(self._logged) >= MAX_KEYS:
            return
        self._logged[key] = now
        log.warning(
            "an event is not known, and skipped",
            key=shown(key.decode(errors="backslashreplace")),
            topic=topic,
            partition=partition,
            offset=offset,
        )

    def _forget_old(self, now: float) -> None:
        logged = self._logged.items()
        self._logged = {key: at for key, at in logged if now - at < LOG_EVERY_SECONDS}
