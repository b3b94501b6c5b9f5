"""Takes the outbox in order and publishes it, one transaction a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduling_srv.app.announce import MARK, Announcer, advance
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.ports import Clock, Outbox, Position, Publisher

MARKER_PAUSE = 1_000
"""Milliseconds that markers alone may wait: they announce nothing to anybody."""
MARKER_LIMIT = 1_000
"""Markers that may wait."""


class OutboxPublisher:
    """The loop that empties the outbox. The owner's."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        announcer: Announcer,
        announcements: Announcements,
        clock: Clock,
    ) -> None:
        self.outbox = outbox
        self.publisher = publisher
        self.announcer = announcer
        self.announcements = announcements
        self.clock = clock
        self.position = Position(0, "")
        self.last_publish = 0

    def begin(self, position: Position) -> None:
        """Go on from where recovery has found Kafka to be."""
        self.position = position
        self.announcements.published(position.incarnation, position.number)

    async def run_once(self, token: str) -> int:
        """Publish one batch; returns how many entries it had.

        Raises `PublishFailed`, `Diverged`, `LeaseLost` and `StoreUnavailable`: then recover.
        """
        after, entries = await self.outbox.take(token, self.position.number)
        now = self.clock.now()
        if not entries or self._may_wait(entries, now):
            return 0
        incarnation = self.position.incarnation
        records = self.announcer.records(entries, after, incarnation)
        position = replace(advance(self.position, entries, after), at=now)
        await self.publisher.publish(records, position)
        self.last_publish = now
        self.begin(position)
        return len(entries)

    def _may_wait(self, entries: Sequence[bytes], now: int) -> bool:
        if len(entries) > MARKER_LIMIT or now - self.last_publish >= MARKER_PAUSE:
            return False
        return all(entry[0] == MARK for entry in entries)
