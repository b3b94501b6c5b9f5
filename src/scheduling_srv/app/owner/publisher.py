"""Takes the outbox in order and publishes it, one transaction a batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

from prometheus_client import Counter

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.log_ports import Publisher
from scheduling_srv.app.ports import Clock, Outbox
from scheduling_srv.app.replies import Backlog, Cursor, Taken
from scheduling_srv.domain.errors import Diverged
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.layouts import QUEUE
from scheduling_srv.formats.outbox_entries import SILENT, attempt, nominal_time, type_of
from scheduling_srv.formats.position_record import Position, advance
from scheduling_srv.runtime import metrics, points
from scheduling_srv.runtime.failpoints import reached

MARKER_PAUSE = 1_000
"""Milliseconds that markers alone may wait: they announce nothing to anybody."""
MARKER_LIMIT = 1_000
"""Markers that may wait."""


def _punctual(queued: Iterable[bytes]) -> Iterator[bytes]:
    return (entry for entry in queued if attempt(entry) == 1)


Screen: TypeAlias = Callable[[str, str, Taken], Awaitable[bool]]
"""Sets aside what Kafka would refuse; whether there was any. See `Refusals.screen`."""


@contextmanager
def count_outcome(counter: Counter) -> Iterator[None]:
    """Count what happens inside as `committed` or `failed`."""
    try:
        yield
    except BaseException:
        counter.labels(outcome="failed").inc()
        raise
    counter.labels(outcome="committed").inc()


def measure(entries: Sequence[bytes], now: int) -> None:
    """Counts runs that are on Kafka, and looks at the lateness of the first and the last one.

    A retry comes after its backoff: that is not lateness.
    """
    queued = [entry for entry in entries if entry[0] == QUEUE]
    metrics.EMITTED.count(len(queued), lambda: map(type_of, queued))
    first, last = next(_punctual(queued), None), next(_punctual(reversed(queued)), None)
    for entry in {id(entry): entry for entry in (first, last) if entry}.values():
        metrics.LATENESS.observe(max(0, now - nominal_time(entry)) / 1000)


class OutboxPublisher:
    """The loop that empties the outbox. The owner's."""

    settled = True
    """Nothing is under way when `run_once` has returned 0."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        announcer: Announcer,
        announcements: Announcements,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.monotonic = monotonic
        self.outbox = outbox
        self.publisher = publisher
        self.announcer = announcer
        self.announcements = announcements
        self.clock = clock
        self.position = Position(0, "")
        self.lineage = ""
        self.wake: Callable[[], None] = lambda: None
        """Called when `run_once` has something to do that no new entry tells of."""
        self.last_publish = float("-inf")
        self.waiting = metrics.Part(metrics.OUTBOX)
        self.handed_out: Callable[[Backlog], None] = lambda _left: None
        """Called with the entries that are left, whenever there was a look at them."""
        self.screen: Screen | None = None
        """Set after a run was refused."""
        self._next: Taken | None = None

    def begin(self, position: Position, lineage: str) -> None:
        """Go on from where recovery has found Kafka to be."""
        # A position of ours is never behind the runs: it needs not say where they came from.
        self.position, self.lineage = replace(position, lineage=""), lineage
        self._next = None
        self.announcements.published(lineage, position.number)

    @property
    def offered(self) -> bool:
        """Whether `run_once` has entries already."""
        return self._next is not None

    def cursor(self) -> Cursor | None:
        """From where to take for `run_once`, which must not be under way; None: it need not be."""
        return None if self._next else self._cursor()

    def _cursor(self, ahead: int = 0) -> Cursor:
        return Cursor(self.position.number, self.lineage, ahead)

    def offer(self, taken: Taken, cursor: Cursor) -> None:
        """Entries that were taken for `run_once`."""
        self._note(taken, cursor.ahead)
        if taken.entries and not self._is_for_later(taken):
            self._next = taken
            self.wake()

    async def run_once(self, token: str) -> int:
        """Publish one batch; returns how many entries it had.

        Raises `PublishFailed`, `Diverged`, `LeaseLost` and `StoreUnavailable`: then recover.
        """
        taken, self._next = self._next or await self._take(token, self._cursor()), None
        if not taken.entries:
            await reached(points.PUBLISH_TRIMMED)
            return 0
        if taken.after != self.position.number:
            raise Diverged("What was taken does not follow what was published.")
        if self.screen and await self.screen(token, self.lineage, taken):
            return 1  # other entries stand there now
        if self._is_for_later(taken):
            return 0
        await reached(points.PUBLISH_TAKEN)
        if taken.waiting > len(taken.entries):
            await self._publish_and_take(token, taken)
        else:
            await self._publish(taken)
        return len(taken.entries)

    async def _take(self, token: str, cursor: Cursor) -> Taken:
        taken = await self.outbox.take(token, cursor)
        self._note(taken, cursor.ahead)
        return taken

    def _note(self, taken: Taken, ahead: int) -> None:
        self.waiting.set(taken.waiting)
        self.handed_out(taken.left(ahead))

    async def _publish_and_take(self, token: str, taken: Taken) -> None:
        """Take what comes next while Kafka commits; and trim what was published before."""
        cursor = self._cursor(len(taken.entries))
        first, second = await asyncio.gather(
            self._publish(taken), self._take(token, cursor), return_exceptions=True
        )
        for fault in (first, second):
            if isinstance(fault, BaseException):
                raise fault
        if isinstance(second, Taken) and second.entries and not self._may_wait(second.entries):
            self._next = second  # else the next call asks again: there may be more by then

    async def _publish(self, taken: Taken) -> None:
        after, entries, *_ = taken
        records = self.announcer.records(entries, after, self.position.incarnation)
        position = replace(advance(self.position, entries, after), at=self.clock.now())
        with (
            metrics.TRANSACTION_SECONDS.time(),
            count_outcome(metrics.TRANSACTIONS),
            self.announcements.gathering.under_way(),
        ):
            await self.publisher.publish(records, position)
        self.last_publish = self.monotonic() * 1000
        self.begin(position, self.lineage)
        await reached(points.PUBLISH_KNOWN)
        measure(entries, self.clock.now())

    def _is_for_later(self, taken: Taken) -> bool:
        return taken.waiting == len(taken.entries) and self._may_wait(taken.entries)

    def _may_wait(self, entries: Sequence[bytes]) -> bool:
        if (
            len(entries) >= MARKER_LIMIT
            or self.monotonic() * 1000 - self.last_publish >= MARKER_PAUSE
        ):
            return False
        return all(entry[0] in SILENT for entry in entries)
