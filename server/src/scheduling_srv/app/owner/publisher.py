"""Publishes each batch of the outbox in one Kafka transaction, together with its position.

Markers announce nothing, so markers alone may wait a second for other entries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.log_ports import Publisher
from scheduling_srv.app.owner.batch import Batch, count_outcome, measure
from scheduling_srv.app.ports import Clock
from scheduling_srv.app.replies import Cursor
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.outbox_entries import SILENT
from scheduling_srv.formats.position_record import Position, advance
from scheduling_srv.runtime import metrics

MARKER_PAUSE_MS = 1_000
"""So long may markers alone wait."""
MOST_MARKERS = 1_000
"""So many may wait."""


class OutboxPublisher:
    """Implements `BatchPublisher` for SCHEDULING_DELIVERY=exactly_once."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        announcer: Announcer,
        announcements: Announcements,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.publisher = publisher
        self.announcer = announcer
        self.announcements = announcements
        self.clock = clock
        self.monotonic = monotonic
        self.position = Position(0, "")
        self.lineage = ""
        self.last_publish = float("-inf")
        """In monotonic milliseconds."""

    def begin(self, position: Position, lineage: str) -> None:
        """See `BatchPublisher`."""
        # A position of ours is never behind the runs: it needs not say where they came from.
        self.position, self.lineage = replace(position, lineage="", runs={}), lineage
        self.announcements.published(lineage, position.number)

    async def prepare(self) -> None:
        """Nothing precedes a transaction."""

    def cursor(self, end: int) -> Cursor:
        """See `BatchPublisher`."""
        return Cursor(self.position.number, self.lineage, end - self.position.number)

    def is_settled(self, trimmed: int) -> bool:
        """See `BatchPublisher`."""
        return trimmed == self.position.number

    def is_stale(self, _batch: Batch) -> bool:
        """Kafka fences a transaction of a former owner."""
        return False

    def may_wait(self, entries: Sequence[bytes]) -> bool:
        """See `BatchPublisher`."""
        if len(entries) >= MOST_MARKERS:
            return False
        if self.monotonic() * 1000 - self.last_publish >= MARKER_PAUSE_MS:
            return False
        return all(entry[0] in SILENT for entry in entries)

    async def publish(self, batch: Batch) -> int:
        """See `BatchPublisher`."""
        entries = batch.taken.entries
        if not entries:
            return 0
        await self._publish(batch)
        measure(entries, self.clock.now())
        return len(entries)

    async def follow(self) -> None:
        """Nothing is owed, ever: a transaction has all of its batch."""
        await asyncio.Event().wait()

    async def _publish(self, batch: Batch) -> None:
        after, entries, *_ = batch.taken
        behind = batch.taken.left(batch.cursor.ahead).entries > 0
        records = self.announcer.records(entries, after, self.position.incarnation)
        position = replace(advance(self.position, entries, after), at=self.clock.now())
        with (
            metrics.TRANSACTION_SECONDS.time(),
            count_outcome(metrics.TRANSACTIONS),
            self.announcements.gathering.under_way(behind=behind),
        ):
            await self.publisher.publish(records, position, batch.due)
        self.last_publish = self.monotonic() * 1000
        self.begin(position, self.lineage)
