"""Sends the runs of each batch at once; everything else follows in transactions.

A transaction begins when Kafka has all runs up to an entry, and holds all else up to that entry and
the position (docs/decisions/0005). A crash between the two sends the runs in between again.
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
from scheduling_srv.app.owner.batch import Batch, count_outcome, measure
from scheduling_srv.app.owner.publisher import MARKER_PAUSE_MS
from scheduling_srv.app.ports import Clock
from scheduling_srv.app.replies import Cursor
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.entry_groups import lists_of, size_of
from scheduling_srv.formats.kafka_records import Record
from scheduling_srv.formats.layouts import CREATE, DELETE, GROUP, HAPPENED, NEW_NOW, QUEUES
from scheduling_srv.formats.outbox_entries import CREATED, QUEUED, SILENT
from scheduling_srv.formats.position_record import Position, advance
from scheduling_srv.runtime import metrics

RUN_PAUSE_MS = 50
"""So long may the position lag behind runs that Kafka has: a crash sends so many again."""
MOST_AHEAD_ENTRIES = 10_000
"""So many may be under way without a position behind them."""
MOST_AHEAD_BYTES = 32_000_000
"""The same in bytes: librdkafka holds them."""
FOREVER = float("inf")
NO_RUNS = 0
"""In place of the time at which the runs of a transaction are due."""
AWAITED = frozenset({CREATE, NEW_NOW, DELETE, HAPPENED})
"""Entries that a caller may wait for: their transaction follows at once."""


class Sent(NamedTuple):
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


class IdempotentPublisher:
    """Implements `BatchPublisher` for SCHEDULING_DELIVERY=at_least_once."""

    def __init__(
        self,
        *,
        publisher: SwiftPublisher,
        announcer: Announcer,
        announcements: Announcements,
        clock: Clock,
        rules: ShardRules,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.publisher = publisher
        self.announcer = announcer
        self.announcements = announcements
        self.clock = clock
        self.rules = rules
        self.monotonic = monotonic
        self._news = asyncio.Event()
        self.begin(Position(0, ""), "")

    def begin(self, position: Position, lineage: str) -> None:
        """See `BatchPublisher`. All behind the position is sent again."""
        self.position, self.lineage = position, lineage
        self.sent = position.number
        self.under_way: list[Sent] = []
        self.changed: dict[bytes, tuple[int, bool]] = {}
        """Jobs whose change is not on Kafka yet: the entry's number, and whether it is `now`."""
        self.held = 0
        """The entry whose transaction the next run waits for."""
        self.fault: Exception | None = None
        """`follow` ended with it."""
        self.announcements.published(lineage, position.number)

    def is_settled(self, trimmed: int) -> bool:
        """See `BatchPublisher`."""
        pending = any(each.pause < MARKER_PAUSE_MS for each in self.under_way)
        return not pending and not self._is_held() and trimmed == self.position.number

    async def prepare(self) -> None:
        """See `BatchPublisher`. Kafka must know in which store runs are ahead of their position."""
        if self.fault:
            raise self.fault
        if self.position.lineage != self.lineage:
            await self._anchor()

    def cursor(self, end: int) -> Cursor | None:
        """See `BatchPublisher`."""
        if self.fault or self.position.lineage != self.lineage:
            return None
        if self._is_held() or self._is_far_ahead():
            return None
        published = self.position.number
        return Cursor(published, self.lineage, end - published)

    def is_stale(self, batch: Batch) -> bool:
        """Another replica may own the shard by now, and no broker fences runs."""
        return self._now() - batch.at > self.rules.lease / 2

    def may_wait(self, _entries: Sequence[bytes]) -> bool:
        """Nothing is kept back: only transactions wait."""
        return False

    async def publish(self, batch: Batch) -> int:
        """See `BatchPublisher`. Sends the runs; `follow` owes the rest."""
        after, taken, *_ = batch.taken
        if not (entries := self._allowed(taken, after)):
            return 0
        records = self.announcer.records(entries, after, self.position.incarnation)
        rest, delivery = await self.publisher.send(records, len(entries), batch.due)
        now, size = self.clock.now(), sum(map(len, entries))
        sent = Sent(batch.at, now, after, entries, rest, delivery, size, _pause(entries))
        self.under_way.append(sent)
        self.sent = after + len(entries)
        self._news.set()
        return len(entries)

    async def follow(self) -> None:
        """See `BatchPublisher`. One transaction; sends nothing any more when it is cancelled."""
        try:
            await self._until_due()
            await self._settle()
        except BaseException as fault:
            if isinstance(fault, Exception):
                self.fault = fault
            self.publisher.abandon()  # a lost lease: others may send them by now
            raise

    async def _anchor(self) -> None:
        await self._publish((), replace(self.position, lineage=self.lineage))

    async def _settle(self) -> None:
        under_way, position = list(self.under_way), self.position
        ends = dict(position.runs)
        for each in under_way:
            took = await each.delivery.wait()
            measure(each.entries, each.sent + round(took * 1000))
            position = advance(position, each.entries, each.after)
            ends |= each.delivery.ends
        position = replace(position, runs=ends)
        await self._publish(chain.from_iterable(each.rest for each in under_way), position)
        del self.under_way[: len(under_way)]
        number = position.number
        self.changed = {job: at for job, at in self.changed.items() if at[0] > number}
        self.announcements.published(self.lineage, number)

    async def _publish(self, records: Sequence[Record] | chain[Record], position: Position) -> None:
        position = replace(position, at=self.clock.now())
        with metrics.TRANSACTION_SECONDS.time(), count_outcome(metrics.TRANSACTIONS):
            await self.publisher.publish(records, position, NO_RUNS)
        self.position = position

    async def _until_due(self) -> None:
        while (left := self._due() - self._now()) > 0:
            self._news.clear()
            await wait(self._news, left / 1000 if left < FOREVER else None)

    def _due(self) -> float:
        """When the next transaction is to begin."""
        if self.under_way and self._is_far_ahead():
            return 0.0
        return min((each.at + each.pause for each in self.under_way), default=FOREVER)

    def _now(self) -> float:
        return self.monotonic() * 1000

    def _is_held(self) -> bool:
        return self.held > self.position.number

    def _is_far_ahead(self) -> bool:
        if self.sent - self.position.number >= MOST_AHEAD_ENTRIES:
            return True
        return sum(each.size for each in self.under_way) >= MOST_AHEAD_BYTES

    def _allowed(self, entries: Sequence[bytes], after: int) -> Sequence[bytes]:
        """The entries before the first run whose job is not on Kafka yet.

        No run may show a change that Redis could still forget: the call would have been half done.
        A `now` job that a call creates alone is its run, and need not wait. One of a list waits for
        the others, and one of a record for its position: else the record would come again, and be
        another job with another run.
        """
        together = _created_together(entries, after)
        for number, entry in enumerate(entries, start=after + 1):
            letter = entry[0]
            if letter in QUEUES and self.changed:
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
                is_now = letter == NEW_NOW and number not in together
                self.changed[job] = (number, is_now and self.changed.get(job, (0, True))[1])
        return entries


def _created_together(entries: Sequence[bytes], after: int) -> set[int]:
    """Numbers of entries that must not be seen before the rest of their group.

    Those are all but the lists of one entry that come from calls: such calls are written together,
    and Redis may forget each without the others.
    """
    found: set[int] = set()
    for place, entry in enumerate(entries):
        if entry[0] == GROUP:
            lists = lists_of(entry, place)
            alone = {each.first for each in lists if each.is_one_job_of_a_call}
            own = range(place, place + 1 + size_of(entry))
            found.update(after + 1 + each for each in own if each not in alone)
    return found


def _pause(entries: Sequence[bytes]) -> float:
    """How long the transaction behind these entries may wait, in milliseconds."""
    letters = {entry[0] for entry in entries}
    if letters & AWAITED:
        return 0
    return MARKER_PAUSE_MS if letters <= SILENT else RUN_PAUSE_MS
