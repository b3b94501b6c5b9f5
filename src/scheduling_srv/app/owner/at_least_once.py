"""Takes the outbox in order and sends runs at once; the rest follows in transactions.

Two loops (docs/decisions/0005). `run_once` takes entries and sends their runs without waiting for
Kafka's answer. `settle` follows: once Kafka has all runs up to an entry, one transaction holds all
else up to it, and the position. A crash between the two sends the runs in between again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.log_ports import Delivery, SwiftPublisher
from scheduling_srv.app.owner.publisher import MARKER_PAUSE, Screen, count_outcome, measure
from scheduling_srv.app.ports import Clock, Outbox
from scheduling_srv.app.replies import Backlog, Cursor, Taken
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import Diverged, PublishFailed
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Record
from scheduling_srv.formats.layouts import CREATE, DELETE, GROUP, HAPPENED, MARK, NEW_NOW, QUEUE
from scheduling_srv.formats.outbox_entries import CREATED, GROUPED, QUEUED, SILENT
from scheduling_srv.formats.position_record import Position, advance
from scheduling_srv.runtime import metrics, points
from scheduling_srv.runtime.failpoints import reached

RUN_PAUSE = 50
"""Milliseconds that the position may lag behind runs that Kafka has: so many are sent again."""
AHEAD = 10_000
"""Entries that may be under way without a position behind them."""
AHEAD_BYTES = 32_000_000
"""The same in bytes: librdkafka holds them."""
FOREVER = float("inf")
AWAITED = frozenset({CREATE, NEW_NOW, DELETE, HAPPENED})
"""Entries that somebody may wait for: their transaction follows at once."""


class Batch(NamedTuple):
    """Entries whose runs were sent."""

    at: float
    """When they were taken, in monotonic milliseconds."""
    sent: int
    """When that was, by the host's clock."""
    after: int
    entries: Sequence[bytes]
    rest: Sequence[Record]
    """What they become besides runs."""
    delivery: Delivery
    size: int
    """Bytes of the entries."""
    pause: float
    """Milliseconds that their transaction may wait."""


class Asked(NamedTuple):
    """Entries, and what they were asked for with."""

    at: float
    """When that was, in monotonic milliseconds."""
    cursor: Cursor
    taken: Taken


class AtLeastOnce:
    """The loops that empty the outbox when runs need no transaction. The owner's."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: SwiftPublisher,
        announcer: Announcer,
        announcements: Announcements,
        clock: Clock,
        *,
        rules: ShardRules,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outbox = outbox
        self.publisher = publisher
        self.announcer = announcer
        self.announcements = announcements
        self.clock = clock
        self.rules = rules
        self.monotonic = monotonic
        self.waiting = metrics.Part(metrics.OUTBOX)
        self.handed_out: Callable[[Backlog], None] = lambda _left: None
        """See `OutboxPublisher`."""
        self.wake: Callable[[], None] = lambda: None
        """Called when `run_once` has something to do that no new entry tells of."""
        self.screen: Screen | None = None
        """See `OutboxPublisher`."""
        self._news = asyncio.Event()
        self.begin(Position(0, ""), "")

    def begin(self, position: Position, lineage: str) -> None:
        """Go on from where recovery has found Kafka to be: all behind it is sent again."""
        self.position, self.lineage = position, lineage
        self.sent = self.trimmed = position.number
        self.batches: list[Batch] = []
        self.changed: dict[bytes, tuple[int, bool]] = {}
        """Jobs whose change is not on Kafka yet: the entry's number, and whether it is `now`."""
        self.held = 0
        """The entry whose transaction the next run waits for."""
        self.fault: PublishFailed | None = None
        """What `settle` ended with."""
        self._asked = 0.0
        """When the stager was last given a cursor, in monotonic milliseconds."""
        self._offer: Asked | None = None
        self.announcements.published(lineage, position.number)

    @property
    def settled(self) -> bool:
        """Whether Kafka and Redis know of all that was sent."""
        pending = any(batch.pause < MARKER_PAUSE for batch in self.batches)
        return not pending and not self._is_held() and self.trimmed == self.position.number

    @property
    def offered(self) -> bool:
        """Whether `run_once` has entries already."""
        return self._offer is not None

    def cursor(self) -> Cursor | None:
        """See `OutboxPublisher`."""
        waits = self._is_held() or self._is_far_ahead()
        if self._offer or self.fault or waits or self.position.lineage != self.lineage:
            return None
        self._asked = self._now()
        return self._cursor()

    def offer(self, taken: Taken, cursor: Cursor) -> None:
        """See `OutboxPublisher`."""
        self._note(cursor, taken)
        if taken.entries:
            self._offer = Asked(self._asked, cursor, taken)
            self.wake()

    async def run_once(self, token: str) -> int:
        """Send the runs of what comes next; returns how many entries that were.

        Raises `PublishFailed`, `Diverged`, `LeaseLost` and `StoreUnavailable`: then recover.
        """
        if self.fault:
            raise self.fault
        if self.position.lineage != self.lineage:
            await self._anchor()
        if self._is_held() or self._is_far_ahead():
            return 0
        asked, cursor, (after, taken, *_) = self._offer or await self._take(token)
        self._offer, self.trimmed = None, cursor.published
        if after != self.sent:
            raise Diverged("What was taken does not follow what was sent.")
        if self.screen and await self.screen(token, self.lineage, Taken(after, taken, 0)):
            return 1  # other entries stand there now
        if taken:
            await reached(points.SEND_TAKEN)
        if self._now() - asked > self.rules.lease / 2:
            return 1  # taken long ago: somebody else may own the shard by now, so ask again
        if not (entries := self._allowed(taken, after)):
            return 0
        records = self.announcer.records(entries, after, self.position.incarnation)
        rest, delivery = await self.publisher.send(records, len(entries))
        now = self.clock.now()
        size = sum(map(len, entries))
        batch = Batch(asked, now, after, entries, rest, delivery, size, _pause(entries))
        self.batches.append(batch)
        self.sent = after + len(entries)
        self._news.set()
        await reached(points.SEND_SENT)
        return len(entries)

    async def _take(self, token: str) -> Asked:
        at, cursor = self._now(), self._cursor()
        taken = await self.outbox.take(token, cursor)
        self._note(cursor, taken)
        return Asked(at, cursor, taken)

    def _cursor(self) -> Cursor:
        published = self.position.number
        return Cursor(published, self.lineage, self.sent - published)

    def _note(self, cursor: Cursor, taken: Taken) -> None:
        self.waiting.set(taken.waiting)
        self.handed_out(taken.left(cursor.ahead))

    async def settle(self, _token: str) -> None:
        """Follow with transactions until cancelled. Raises `PublishFailed`."""
        try:
            while True:
                await self._until_due()
                await self._settle()
        except PublishFailed as fault:
            self.fault = fault
            self.wake()
            raise
        finally:
            self.publisher.abandon()  # a lost lease: others may send them by now

    async def _anchor(self) -> None:
        """Let Kafka know in which store runs are ahead of their position, before they are."""
        await self._publish((), replace(self.position, lineage=self.lineage))
        await reached(points.SEND_ANCHORED)

    async def _settle(self) -> None:
        batches, position = list(self.batches), self.position
        for batch in batches:
            took = await batch.delivery.wait()
            measure(batch.entries, batch.sent + round(took * 1000))
            position = advance(position, batch.entries, batch.after)
        await reached(points.SEND_DELIVERED)
        await self._publish(chain.from_iterable(batch.rest for batch in batches), position)
        del self.batches[: len(batches)]
        number = position.number
        self.changed = {job: at for job, at in self.changed.items() if at[0] > number}
        await reached(points.SEND_SETTLED)
        self.announcements.published(self.lineage, number)
        self.wake()

    async def _publish(self, records: Sequence[Record] | chain[Record], position: Position) -> None:
        position = replace(position, at=self.clock.now())
        with metrics.TRANSACTION_SECONDS.time(), count_outcome(metrics.TRANSACTIONS):
            await self.publisher.publish(records, position)
        self.position = position

    async def _until_due(self) -> None:
        while (left := self._due() - self._now()) > 0:
            self._news.clear()
            await wait(self._news, left / 1000 if left < FOREVER else None)

    def _due(self) -> float:
        """When the next transaction is to begin."""
        if self.batches and self._is_far_ahead():
            return 0.0
        return min((batch.at + batch.pause for batch in self.batches), default=FOREVER)

    def _now(self) -> float:
        return self.monotonic() * 1000

    def _is_held(self) -> bool:
        return self.held > self.position.number

    def _is_far_ahead(self) -> bool:
        if self.sent - self.position.number >= AHEAD:
            return True
        return sum(batch.size for batch in self.batches) >= AHEAD_BYTES

    def _allowed(self, entries: Sequence[bytes], after: int) -> Sequence[bytes]:
        """The entries before the first run whose job is not on Kafka yet.

        No run may show a change that Redis could still forget: the call would have been half done.
        A `now` job is its run, and need not wait; but one of a record has to: if it were forgotten
        the record would come again, and be another job with another run.
        """
        recorded = _of_records(entries, after)
        for number, entry in enumerate(entries, start=after + 1):
            letter = entry[0]
            if letter == QUEUE and self.changed:
                kind, *_, size, _, _, _ = QUEUED.unpack_from(entry)
                at, is_now = self.changed.get(entry[QUEUED.size : QUEUED.size + size], (0, False))
                if at > self.position.number and not (is_now and kind == TriggerKind.NOW):
                    self.held = at
                    return entries[: number - after - 1]
            elif letter == DELETE:
                self.changed[entry[1:]] = (number, False)
            elif letter in (CREATE, NEW_NOW):
                _, size = CREATED.unpack_from(entry)
                job = entry[CREATED.size : CREATED.size + size]
                is_now = letter == NEW_NOW and number not in recorded
                self.changed[job] = (number, is_now and self.changed.get(job, (0, True))[1])
        return entries


def _of_records(entries: Sequence[bytes], after: int) -> set[int]:
    """Numbers of entries that the listener has made: their groups end with a marker."""
    found: set[int] = set()
    for place, entry in enumerate(entries):
        if entry[0] == GROUP:
            (size,) = GROUPED.unpack_from(entry)
            if entries[place + size][0] == MARK:
                found.update(range(after + place + 1, after + place + size + 2))
    return found


def _pause(entries: Sequence[bytes]) -> float:
    """How long the transaction behind these entries may wait, in milliseconds."""
    letters = {entry[0] for entry in entries}
    if letters & AWAITED:
        return 0
    return MARKER_PAUSE if letters <= SILENT else RUN_PAUSE
