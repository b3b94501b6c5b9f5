"""Decides when runs may go to Kafka: none before its time (docs/decisions/0028).

Every path from the outbox to Kafka asks here: the publish loop, and the search for refused records.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from scheduling_srv.app.ports import ExactClock
from scheduling_srv.formats.layouts import QUEUES
from scheduling_srv.formats.outbox_entries import NOMINAL, nominal_time

log = structlog.get_logger(__name__)

HOLD_LIMIT_SECONDS = 5.0
"""A clock that was set back holds runs no longer."""


class Released(NamedTuple):
    """The front of some entries that may go to Kafka now."""

    front: int
    """Entries before the first run that has to wait."""
    due: int
    """When the last of these runs is due, in epoch ms. No commit may precede it. 0: any may.

    Without `Hold.early` it is not in the future.
    """


class Hold:
    """Of one shard, for its owner."""

    def __init__(
        self,
        clock: ExactClock,
        lead: int,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        early: int = 0,
    ) -> None:
        """`lead`: milliseconds by which runs are staged ahead.

        `early`: by which they may go to Kafka, in a transaction that is committed at their time.
        """
        self.clock = clock
        self.lead = lead
        self.early = early
        self.monotonic = monotonic
        self.since: float | None = None
        """Since when the first entry waits for its time, in monotonic seconds; None: none does."""
        self._told = False

    def begin(self) -> None:
        """Nothing waits."""
        self.since = None

    def release(self, entries: Sequence[bytes]) -> Released:
        """The front of `entries` that may go now."""
        now, latest, forced = self.clock.now(), 0, False
        for place, entry in enumerate(entries):
            if entry[0] in QUEUES:
                (nominal,) = NOMINAL.unpack_from(entry)
                if nominal > now + self.early:
                    if not self._is_of_another_clock(nominal, now):
                        return self._released(place, latest, held=True, forced=forced)
                    forced = True
                elif nominal > latest:
                    latest = nominal
        return self._released(len(entries), latest, held=False, forced=forced)

    async def until_due(self, entries: Sequence[bytes]) -> int:
        """Return when all of `entries` may go, with `Released.due`."""
        while (released := self.release(entries)).front < len(entries):
            left = self.clock.until(self.opens(entries[released.front]))
            await asyncio.sleep(min(max(left, 0.001), 1.0))
        return released.due

    def opens(self, run: bytes) -> int:
        """From when on the entry of a run may go, in epoch ms."""
        return nominal_time(run) - self.early

    def _released(self, front: int, latest: int, *, held: bool, forced: bool) -> Released:
        if forced:  # more of them may follow: they need not wait as long again
            return Released(front, 0)
        if front:
            self.since, self._told = None, False
        elif held and self.since is None:
            self.since = self.monotonic()
        return Released(front, latest)

    def _is_of_another_clock(self, nominal: int, now: int) -> bool:
        """Whether a run was due by a clock that was ahead of ours, and has waited long enough."""
        if self.since is None or nominal <= now + self.lead:
            return False
        if self.monotonic() - self.since <= HOLD_LIMIT_SECONDS:
            return False
        if not self._told:
            self._told = True
            log.warning("the clock was set back: runs go before it says so", ahead_ms=nominal - now)
        return True
