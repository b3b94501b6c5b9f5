"""One reader of events for all watchers of a replica (docs/decisions/0031).

It reads while anyone watches, and for a while after. Nothing is written for watchers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

import structlog

from scheduling_srv.app.giving_way import GivingWay
from scheduling_srv.app.watching.ports import Glance, Tail, Tailed
from scheduling_srv.app.watching.watcher import Watcher
from scheduling_srv.domain.errors import CursorGone, LogUnavailable, Overloaded, Unavailable
from scheduling_srv.domain.event import EventFilter
from scheduling_srv.formats import event_cursor
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.positions import Place
from scheduling_srv.formats.v1.event_records import EventRecords
from scheduling_srv.runtime.time_slice import SharedSlice

log = structlog.get_logger(__name__)

LINGER_SECONDS = 10.0
"""How long the reader goes on after the last watcher has left."""
MOST_WATCHERS = 200
"""Watchers of a replica, with those that are about to begin."""
MOST_OF_A_SOURCE = 20
"""Watchers of one caller, or of one host."""
MOST_BEHIND = 100_000
"""Offsets that a cursor is behind the end at most, over all partitions: one reader serves all."""
MOST_GLANCED = 50
"""Events of one poll that watchers get who only glance."""
PAUSE_SECONDS = 0.25
"""Between two polls while more runs are due here than go out at once."""
GONE = "Kafka has deleted records after this cursor: leave it out to begin now."
FAR_BEHIND = f"The cursor is more than {MOST_BEHIND:,} records old: leave it out to begin now."
ENDED = "The reader of events has just ended: watch again."


class Hub:
    """`names`: the topics that tell of events. `tail` makes a reader of them."""

    def __init__(
        self,
        tail: Callable[[], Tail],
        names: Mapping[Topic, str],
        *,
        linger_seconds: float = LINGER_SECONDS,
        giving_way: GivingWay | None = None,
    ) -> None:
        self._make = tail
        self._giving_way = giving_way or GivingWay()
        self._names = names
        self._topics = {name: topic for topic, name in names.items()}
        self._linger_seconds = linger_seconds
        self._watchers = set[Watcher]()
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._tail: Tail | None = None
        self._records = EventRecords()
        self._next: dict[Place, int] = {}
        """The next offset that the reader hands out."""
        self._astray = False
        """The reader has to go to another place before it goes on."""
        self._of = Counter[str]()
        """Source -> its watchers, with those that are about to begin."""
        self._beginning = 0
        """Watchers that are about to begin."""

    @asynccontextmanager
    async def watcher(
        self, wanted: EventFilter, cursor: str, source: str, *, glances: bool = False
    ) -> AsyncGenerator[Watcher]:
        """A watcher from a cursor on; an empty one begins now. `source`: its caller or host.

        `glances`: while there are many events the newest suffice, with the number of the others.

        Raises `InvalidRequest`, `CursorGone`, `Overloaded` and `LogUnavailable`.
        """
        asked = event_cursor.unpack(cursor, self._names) if cursor else None
        with self._place(source):
            watcher = await self._begin(wanted, asked, glances=glances)
            try:
                yield watcher
            finally:
                self._watchers.discard(watcher)
                watcher.leave()
                self._aim()
                self._changed.set()

    @contextmanager
    def _place(self, source: str) -> Generator[None]:
        """Raises `Overloaded`."""
        if self._of.total() >= MOST_WATCHERS:
            raise Overloaded(f"{MOST_WATCHERS} clients watch this replica already.")
        if self._of[source] >= MOST_OF_A_SOURCE:
            raise Overloaded(f"{source} watches this replica {MOST_OF_A_SOURCE} times already.")
        self._of[source] += 1
        try:
            yield
        finally:
            self._of[source] -= 1
            if not self._of[source]:
                del self._of[source]

    def cursor(self, offsets: Mapping[Place, int]) -> str:
        """As clients send it back."""
        return event_cursor.pack(offsets, self._topics)

    async def _begin(
        self, wanted: EventFilter, asked: Mapping[Place, int] | None, *, glances: bool
    ) -> Watcher:
        self._beginning += 1
        try:
            async with self._lock:
                tail = self._reader()
                extents = await tail.extents()
                if self._tail is not tail:
                    raise LogUnavailable(ENDED)
                offsets = {place: end for place, (_, end) in extents.items()}
                if asked is not None:
                    offsets = _from_cursor(asked, extents)
                watcher = Watcher(wanted, offsets, glances=glances)
                self._watchers.add(watcher)
                self._aim()
        finally:
            self._beginning -= 1
        return watcher

    def _reader(self) -> Tail:
        """The one that reads, or will soon."""
        if self._tail is None:
            self._tail, self._next, self._astray = self._make(), {}, True
            self._reading = asyncio.create_task(self._read(self._tail))
        self._changed.set()
        return self._tail

    async def _read(self, tail: Tail) -> None:
        """Read until none has watched for a while."""
        try:
            while await self._anyone():
                await self._giving_way.wait(PAUSE_SECONDS)
                if self._astray:
                    await self._go(tail)
                if self._all_glance():
                    self._show(await tail.glance(MOST_GLANCED, self._tells))
                else:
                    await self._hand_out_all(await tail.poll())
        except LogUnavailable as fault:
            self._end(fault)
        except Exception as fault:
            log.exception("the reader of events broke")
            self._end(LogUnavailable(f"Events cannot be read: {fault}."))
        finally:
            self._tail, self._reading = None, None
            await tail.close()

    async def _anyone(self) -> bool:
        """Whether anyone watches, or does soon."""
        if self._watchers or self._beginning:
            return True
        self._changed.clear()
        try:
            async with asyncio.timeout(self._linger_seconds):
                await self._changed.wait()
        except TimeoutError:
            return bool(self._watchers or self._beginning)
        return True

    def _aim(self) -> None:
        """Watchers have changed: the reader goes back for a new one, or on without an old one."""
        self._astray = any(self._next.get(place) != at for place, at in self._oldest().items())

    async def _go(self, tail: Tail) -> None:
        oldest = self._oldest()
        self._next, self._astray = dict(oldest), False
        await tail.begin(oldest)

    def _oldest(self) -> Mapping[Place, int]:
        offsets = dict[Place, int]()
        for watcher in self._watchers:
            if watcher.fault:
                continue
            for place, offset in watcher.offsets.items():
                offsets[place] = min(offset, offsets.get(place, offset))
        return offsets

    def _all_glance(self) -> bool:
        return all(each.glances for each in self._watchers)

    def _tells(self, topic: str, key: bytes | None) -> bool:
        return self._records.tells(self._topics[topic], key)

    def _show(self, glance: Glance) -> None:
        if not self._all_glance():  # a new watcher may need what was passed over
            self._astray = True
        if self._astray:
            return
        for each in glance.records:
            self._hand_out(each)
        self._next |= glance.ends
        for watcher in self._watchers:
            watcher.pass_over(glance.passed, glance.ends)

    async def _hand_out_all(self, found: Sequence[Tailed]) -> None:
        time_slice = SharedSlice()
        for each in found:
            if self._astray:  # a new watcher needs earlier ones first; the rest is read again
                return
            self._hand_out(each)
            await time_slice.yield_if_used()

    def _hand_out(self, tailed: Tailed) -> None:
        place, record = tailed
        self._next[place] = record.offset + 1
        event = self._records.read(self._topics[place.topic], record)
        for watcher in self._watchers:
            if watcher.sees(place, record.offset):
                watcher.note(place, record.offset, event)

    def _end(self, fault: Unavailable) -> None:
        for watcher in self._watchers:
            watcher.end(fault)

    def close(self) -> None:
        """The process is shutting down: all watchers end."""
        self._end(Unavailable("This replica is shutting down."))


def _from_cursor(
    asked: Mapping[Place, int], extents: Mapping[Place, tuple[int, int]]
) -> dict[Place, int]:
    """Partitions that have come since are read from their begin."""
    offsets = dict[Place, int]()
    for place, (low, end) in extents.items():
        offset = asked.get(place, low)
        if not low <= offset <= end:
            raise CursorGone(GONE)
        offsets[place] = offset
    if sum(end - offsets[place] for place, (_, end) in extents.items()) > MOST_BEHIND:
        raise CursorGone(FAR_BEHIND)
    return offsets
