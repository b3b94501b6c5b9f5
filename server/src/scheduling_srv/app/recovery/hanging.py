"""Ends hanging transactions of the shard's producers (docs/decisions/0036).

Kafka has committed such a transaction, and has lost its end in one of the partitions. Readers of
committed records wait there until a transaction of the same producer ends in that partition.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog

from scheduling_srv.domain.errors import LogUnavailable
from scheduling_srv.formats.positions import Place
from scheduling_srv.runtime.states import Kind, State

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two looks at the ends of partitions."""
MOST_ASKED = 200
"""Partitions of a look: those with an open transaction, half of these at most, and the next ones
in turn."""
SUSPECTS = MOST_ASKED // 2
TIMEOUT_SECONDS = 5.0
"""Seconds that a look may take. After that Kafka counts as away."""
PATIENCE_SECONDS = 3.0
"""Seconds in which a transaction of ours has ended; a longer one is ended once more, at no harm."""
NAMED = 5
"""Partitions that a log line names."""


class Ends(Protocol):
    """The ends of partitions on Kafka. Both raise `LogUnavailable`, and leave out what is missing.

    Part of `Logs`.
    """

    async def high_watermarks(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The offset after the last record, those of open transactions included."""

    async def last_stable_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The offset of the first record of an open transaction, else the high watermark."""


class Settler(Protocol):
    """Part of `Publisher`."""

    def places(self) -> Sequence[Place]:
        """The partitions that its records go to."""

    async def settle(self, places: Sequence[Place] = ()) -> None:
        """Commit a transaction of each producer in these partitions."""


class Open(NamedTuple):
    """An open transaction at the front of a partition."""

    offset: int
    """Of its first record: the last stable offset."""
    since: float
    """When it was seen first, in monotonic seconds."""


class HangingTransactions:
    """Of one shard, for its owner."""

    def __init__(
        self,
        *,
        ends: Ends,
        publisher: Settler,
        shard: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ends = ends
        self.publisher = publisher
        self.monotonic = monotonic
        self._open: dict[Place, Open] = {}
        """Those that the next look asks for again."""
        self._settled: dict[Place, int] = {}
        """Offsets of those that got another end."""
        self._turn = deque[Place]()
        """Partitions that this round has not come to."""
        self._blocked = State(
            "readers wait for the end of a transaction",
            "the transaction has ended",
            kind=Kind.CHANGE,
            shard=shard,
        )

    async def run(self, _token: str) -> None:
        """Look until cancelled. Raises `PublishFailed`: the producers are in doubt."""
        self._open, self._settled, self._turn = {}, {}, deque()
        with self._blocked.watched():
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await self.look()

    async def look(self) -> None:
        """End each transaction that is open for too long. Raises `PublishFailed`."""
        asked = self._next_places()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                found = await self._find(asked)
        except (LogUnavailable, TimeoutError):  # the health checks say so
            self._open = {}
            return
        now = self.monotonic()
        seen = {place: self._seen(place, offset, now) for place, offset in found.items()}
        late = {at: each for at, each in seen.items() if now - each.since >= PATIENCE_SECONDS}
        self._open = dict(sorted(seen.items(), key=self._order)[:SUSPECTS])
        if hanging := {at: each for at, each in late.items() if not self._is_settled(at, each)}:
            await self._settle(hanging)
        elif late:
            self._blocked.fails(_foreign(late))
        else:
            self._blocked.works()

    async def find(self) -> Mapping[Place, int]:
        """Partitions with an open transaction, and where it begins. Raises `LogUnavailable`."""
        found, places = dict[Place, int](), self.publisher.places()
        for start in range(0, len(places), MOST_ASKED):
            found |= await self._find(places[start : start + MOST_ASKED])
        return found

    async def _find(self, places: Sequence[Place]) -> dict[Place, int]:
        # A transaction that ends between the two questions must not look open.
        high = await self.ends.high_watermarks(places)
        stable = await self.ends.last_stable_offsets(places)
        return {at: end for at, end in stable.items() if at in high and end < high[at]}

    def _next_places(self) -> Sequence[Place]:
        self._turn = self._turn or deque(self.publisher.places())
        size = min(MOST_ASKED - len(self._open), len(self._turn))
        in_turn = [self._turn.popleft() for _ in range(size)]
        return [*dict.fromkeys([*self._open, *in_turn])]

    def _seen(self, place: Place, offset: int, now: float) -> Open:
        known = self._open.get(place)
        return known if known and known.offset == offset else Open(offset, now)

    def _order(self, found: tuple[Place, Open]) -> tuple[bool, float, bool]:
        """Who may hang comes first: under load each partition has an open one for a moment."""
        place, each = found
        return self._is_settled(place, each), each.since, place in self._open

    def _is_settled(self, place: Place, each: Open) -> bool:
        return self._settled.get(place) == each.offset

    async def _settle(self, hanging: Mapping[Place, Open]) -> None:
        log.warning(
            "a transaction has not ended in some partitions: each producer commits another one",
            partitions=[f"{at.name}@{each.offset}" for at, each in [*hanging.items()][:NAMED]],
            count=len(hanging),
        )
        await self.publisher.settle([*hanging])
        now = self.monotonic()
        for place, each in hanging.items():
            # It has as long again until it is called foreign.
            self._open[place] = Open(each.offset, now)
            self._settled[place] = each.offset


def _foreign(late: Mapping[Place, Open]) -> str:
    (topic, partition), open_ = next(iter(late.items()))
    return (
        f"A transaction of another producer is open at offset {open_.offset} of "
        f"{topic}:{partition}. Readers wait there. Find the producer with kafka-transactions.sh "
        "find-hanging."
    )
