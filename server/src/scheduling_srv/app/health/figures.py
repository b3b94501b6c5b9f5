"""Figures of Redis for `/metrics`: any replica may ask, at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from scheduling_srv.app.ports import ShardCounts
from scheduling_srv.app.replies import Counts
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.runtime.metrics import OTHER, STORE, StoreMetrics

FRESH_SECONDS = 1.0
"""How long figures are shown again: requests may be frequent, but not those to Redis."""
PATIENCE_SECONDS = 0.5
"""A page does not wait longer for Redis."""


class Figures:
    """The figures of all shards."""

    def __init__(
        self,
        shards: Sequence[ShardCounts],
        *,
        store: StoreMetrics = STORE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shards = shards
        self.store = store
        self.monotonic = monotonic
        self._fresh_until = float("-inf")
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Ask, unless it was a moment ago. Figures that cannot be found out are shown no more."""
        async with self._lock:
            if self.monotonic() < self._fresh_until:
                return
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    types = self.store.types
                    self._show(await asyncio.gather(*[each.counts(types) for each in self.shards]))
            except (Unavailable, TimeoutError):
                self.store.forget()  # health says why
            self._fresh_until = self.monotonic() + FRESH_SECONDS

    def _show(self, shards: Sequence[Counts]) -> None:
        self.store.figures = {
            "scheduling_jobs": sum(each.jobs for each in shards),
            "scheduling_jobs_waiting": sum(each.waiting for each in shards),
            "scheduling_retries_waiting": sum(each.retries for each in shards),
            "scheduling_runs_held": sum(each.held for each in shards),
        }
        known = {
            name: sum(each.unanswered_of[name] for each in shards) for name in self.store.types
        }
        total = sum(each.unanswered for each in shards)
        self.store.unanswered = {**known, OTHER: max(0, total - sum(known.values()))}
