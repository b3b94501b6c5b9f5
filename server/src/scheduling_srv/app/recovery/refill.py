"""Fills the journal again from Redis when Kafka has lost it (docs/decisions/0013).

The owner runs it. A rebuild loads only jobs that are in the journal. If the journal is empty or
gone while Redis lives, a later loss of Redis would lose the jobs. So the owner writes all living
jobs, retries and parcels again. It does so through the outbox, in the Lua call that reads them, so
that a later change comes after them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, Self

import structlog

from scheduling_srv.app.health.guarantees import Risk
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.formats.kafka_records import Topic

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
"""Seconds between looks without a request."""
PUBLISH_SECONDS = 1.0
"""Seconds in which the first jobs of a new journal get there."""
RETRY_SECONDS = 1.0
"""Seconds until a refill that Redis or Kafka has interrupted continues."""
AGAIN_SECONDS = 600.0
"""Seconds between two refills if Kafka deletes the beginning of the journal."""
FIRST_COUNT, MOST_COUNT = 10, 100
"""Places of a hash that the first call looks at, and that any call does."""
PIECE_BYTES = 250_000
"""Bytes of one call, about: runs that are staged meanwhile wait for them."""
OUTBOX_MOST = 200
"""Entries in the outbox with which a refill waits: emission goes first."""
BUSY_SECONDS = 0.05
"""Seconds until it looks again then."""
REST = 3
"""How many times as long as a call took the refill rests after it."""
LEAST_REST_SECONDS = 0.005


class Extent(NamedTuple):
    """A partition of a log, as it was seen."""

    id: str
    """Id of its topic; empty if topics have none."""
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From `str(extent)`; None for an empty text."""
        if not text:
            return None
        identity, start, end = text.split(" ")
        return cls(identity, int(start), int(end))

    def __str__(self) -> str:
        return f"{self.id} {self.start} {self.end}"

    def is_other_than(self, before: Extent) -> bool:
        """Whether records that were in it before may be gone."""
        renamed = bool(self.id and before.id) and self.id != before.id
        return renamed or self.end < before.end or self.start > before.start

    def has_lost_its_start(self, before: Extent) -> bool:
        """Whether it is the same log, and Kafka has deleted its first records."""
        same = not (self.id and before.id) or self.id == before.id
        return same and self.end >= before.end and self.start > before.start


class Seen(NamedTuple):
    """Redis's notes about the journal and the position on Kafka."""

    journal: Extent | None
    """The one that holds all living jobs and parcels; None: none was seen yet."""
    position: Extent | None
    refilling: str
    """Which refill is under way, as `refill.lua` notes it; empty: none."""
    living: int
    """How many jobs and parcels there are."""


class Piece(NamedTuple):
    """The result of one call."""

    state: str
    """`ok`, `busy` (emission goes first), `ended` (all is in the outbox) or `published`."""
    read: int = 0
    """Bytes that were read."""
    entries: int = 0
    too_large: int = 0
    """Jobs that the journal does not take."""


class RefillStore(Protocol):
    """The shard. Raises `LeaseLost`, `StoreUnavailable`."""

    async def logs_seen(self) -> Seen:
        """The notes about the journal and the position."""

    async def note_log(
        self, token: str, topic: Topic, extent: Extent, now: int | None = None
    ) -> None:
        """This log holds all that it has to; with `now` a position is written as well."""

    async def refill(self, token: str, extent: Extent, now: int, count: int, most: int) -> Piece:
        """Write the next piece of the store; begin anew for another log or another lineage.

        `count` is the number of slots of a hash to look at, `most` the largest record (0: any).
        """


class Logs(Protocol):
    """The partitions on Kafka."""

    async def extents(self, shard: int) -> Mapping[Topic, Extent]:
        """The extents of the shard's compacted topics that exist. Raises `LogUnavailable`."""


class RiskBoard(Protocol):
    """Shows risks to operators."""

    def risk(self, name: Risk, shard: int, sentence: str) -> None:
        """Note a risk of a shard; an empty sentence takes it back."""


class MillisecondClock(Protocol):
    """See `Clock`."""

    def now(self) -> int:
        """Epoch milliseconds."""


class Refill:
    """Refills the journal of one shard. `most_bytes` returns the journal's limit for a batch."""

    def __init__(
        self,
        *,
        store: RefillStore,
        logs: Logs,
        shard: int,
        clock: MillisecondClock,
        board: RiskBoard,
        most_bytes: Callable[[], int | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.logs = logs
        self.shard = shard
        self.clock = clock
        self.board = board
        self.most_bytes = most_bytes
        self.monotonic = monotonic
        self._called = asyncio.Event()
        self._begun_at = float("-inf")

    def notice(self) -> None:
        """A topic may be another one."""
        self._called.set()

    async def run(self, token: str) -> None:
        """Watch the logs, and refill them, until cancelled: the owner's task."""
        try:
            while True:
                self._called.clear()
                pause = LOOK_SECONDS
                try:
                    await self.run_once(token)
                except Unavailable as fault:
                    log.debug("the journal cannot be read", reason=str(fault))
                    pause = RETRY_SECONDS
                await wait(self._called, pause)
        finally:
            self.board.risk(Risk.JOURNAL_REFILLING, self.shard, "")

    async def run_once(self, token: str) -> None:
        """Look at both topics; refill what Kafka lost. Raises `Unavailable`, `LeaseLost`."""
        seen, extents = await self._look()
        if seen.journal is None and seen.living:
            await asyncio.sleep(PUBLISH_SECONDS)
            seen, extents = await self._look()
        if journal := extents.get(Topic.JOURNAL):
            await self._check_journal(token, journal, seen)
        if position := extents.get(Topic.POSITION):
            await self._check_position(token, position, seen)

    async def _look(self) -> tuple[Seen, Mapping[Topic, Extent]]:
        """Redis first: its jobs were there before."""
        return await self.store.logs_seen(), await self.logs.extents(self.shard)

    async def _check_position(self, token: str, extent: Extent, seen: Seen) -> None:
        if seen.position == extent:
            return
        lost = seen.position is not None and extent.is_other_than(seen.position)
        now = self.clock.now() if lost or extent.start == extent.end else None
        await self.store.note_log(token, Topic.POSITION, extent, now)

    async def _check_journal(self, token: str, extent: Extent, seen: Seen) -> None:
        if seen.refilling or self._is_lost(extent, seen):
            await self._refill(token, extent)
        elif seen.journal != extent:
            await self.store.note_log(token, Topic.JOURNAL, extent)

    def _is_lost(self, extent: Extent, seen: Seen) -> bool:
        if seen.journal is None:
            return extent.start == extent.end and seen.living > 0
        if extent.has_lost_its_start(seen.journal):
            # A journal that Kafka deletes from loses its start again and again.
            return self.monotonic() - self._begun_at >= AGAIN_SECONDS
        return extent.is_other_than(seen.journal)

    async def _refill(self, token: str, extent: Extent) -> None:
        """Piece by piece. Everything that is needed to go on after a crash is in the store."""
        self._begun_at = self.monotonic()
        sentence = f"The journal of shard {self.shard} has lost records: it is filled from Redis."
        log.warning("filling the journal again from Redis", shard=self.shard, log=str(extent))
        self.board.risk(Risk.JOURNAL_REFILLING, self.shard, sentence)
        count, entries, too_large = FIRST_COUNT, 0, 0
        while True:
            began = self.monotonic()
            most = self.most_bytes() or 0
            piece = await self.store.refill(token, extent, self.clock.now(), count, most)
            if piece.state == "published":
                break
            entries, too_large = entries + piece.entries, too_large + piece.too_large
            if piece.state == "ok":
                count = _next_count(count, piece.read)
                took = self.monotonic() - began
                await asyncio.sleep(max(LEAST_REST_SECONDS, REST * took))
            else:
                await asyncio.sleep(BUSY_SECONDS)
        self.board.risk(Risk.JOURNAL_REFILLING, self.shard, "")
        self._note_too_large(too_large)
        log.warning("the journal is filled again", shard=self.shard, records=entries)

    def _note_too_large(self, jobs: int) -> None:
        sentence = (
            f"The journal of shard {self.shard} does not take {jobs} jobs: they are larger than "
            "its max.message.bytes. A rebuild would forget them."
        )
        self.board.risk(Risk.JOURNAL_TOO_SMALL, self.shard, sentence if jobs else "")


def _next_count(count: int, read: int) -> int:
    """The count for the next call to read about `PIECE_BYTES`. It grows slowly: sizes differ."""
    if read > PIECE_BYTES:
        return max(1, count * PIECE_BYTES // read)
    return min(MOST_COUNT, count * 2)
