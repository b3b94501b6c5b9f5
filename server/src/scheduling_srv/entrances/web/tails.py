"""The live tail of events: viewers with one filter share one watcher, and its rows.

A tail is calm: at most so many rows a second, and a line that counts the others. So it costs the
service little, however many runs there are and however many look at them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

import structlog

from scheduling_client.api.events import Event as Shown
from scheduling_client.api.events import EventFilter, events_in
from scheduling_srv.app.watching.watcher import MOST_SENT
from scheduling_srv.domain.errors import Overloaded, SchedulingError, SlowWatcher, Unavailable
from scheduling_srv.domain.event import Event
from scheduling_srv.domain.limits import Limits
from scheduling_srv.entrances.web.rendering import environment
from scheduling_srv.entrances.web.service import V1, Take, Visitor
from scheduling_srv.formats.v1.events import encode_events

MOST_ROWS = 30
"""Rows per second: more cannot be read."""
MOST_KEPT = 200
"""Rows that a new viewer sees at once."""
EVERY_SECONDS = 1.0
"""Between two pieces of a tail."""
DRAIN_SECONDS = 0.05
"""Between two looks at what waits: it must not be more than a watcher holds."""
LINGER_SECONDS = 30.0
"""How long a tail goes on after its last viewer: it may only have gone to another window."""
MOST_TAILS = 16
"""Different filters that are watched at once."""
BEGIN_SECONDS = 2.0
"""How long a page waits for a tail to begin: it may be refused."""
LOST = -1
"""Of an unknown number of events."""
_ELSEWHERE = -1
"""The place of a viewer who comes from another tail: even the first piece is not the next one."""
_MOST_DIGITS = 15

log = structlog.get_logger(__name__)
Key = tuple[str, str, tuple[tuple[str, str], ...], tuple[str, ...], Limits | None]


@dataclass(frozen=True)
class Piece:
    """The events of some time."""

    number: int
    events: Sequence[Shown]
    """The latest ones, the newest first."""
    left_out: int
    """How many more there were; `LOST`: unknown."""

    @cached_property
    def rows(self) -> str:
        """HTML. All viewers of a tail get the same rows: they are rendered once."""
        return environment().get_template("event_rows.html").render(piece=self, lost=LOST)


@dataclass(slots=True)
class Gathered:
    """Events that wait for the next piece."""

    latest: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST_ROWS))
    count: int = 0
    lost: bool = False

    def add(self, events: Sequence[Event], passed: int = 0) -> None:
        """Keep the latest ones. `passed`: how many more there were."""
        self.latest.extend(events)
        self.count += len(events) + passed

    def clear(self) -> None:
        """They are in a piece."""
        self.latest.clear()
        self.count, self.lost = 0, False

    @property
    def left_out(self) -> int:
        """How many are not kept."""
        return LOST if self.lost else self.count - len(self.latest)


class Tail:
    """The events of one filter."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(4)
        """In the ids of its pieces: those of another tail are not its own."""
        self.pieces = deque[Piece]()
        self.viewers = 0
        self.fault: SchedulingError | None = None
        self.left_at = time.monotonic()
        self._last = 0
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()

    async def after(self, number: int, seconds: float) -> Sequence[Piece]:
        """The pieces after this one; none after so many seconds. Raises its fault.

        The first one is empty and `LOST`, if pieces in between are not kept any more.
        """
        if self._last <= number and not self.fault:
            changed = self._changed
            try:
                async with asyncio.timeout(seconds):
                    await changed.wait()
            except TimeoutError:
                return ()
        if self._last <= number and self.fault:
            raise self.fault
        kept = [piece for piece in self.pieces if piece.number > number]
        return kept if number >= self._gone else [Piece(self._gone, (), LOST), *kept]

    @property
    def _gone(self) -> int:
        """The number of the last piece that is not kept any more."""
        return self._last - len(self.pieces)

    def place_of(self, name: str) -> int:
        """Where a viewer goes on who has seen the piece with this name; a new one has none."""
        if not name:
            return self._gone
        mark, _, number = name.partition(".")
        is_own = mark == self.mark and len(number) <= _MOST_DIGITS
        if not is_own or not (number.isascii() and number.isdigit()):
            return _ELSEWHERE
        return min(int(number), self._last)

    def name_of(self, piece: Piece) -> str:
        """For the viewer, who goes on from there."""
        return f"{self.mark}.{piece.number}"

    def add(self, gathered: Gathered) -> None:
        """A new piece for all viewers."""
        self._last += 1
        self.pieces.append(Piece(self._last, _shown(gathered.latest), gathered.left_out))
        gathered.clear()
        while sum(len(piece.events) for piece in self.pieces) > MOST_KEPT:
            self.pieces.popleft()
        self._notify()

    def begin(self) -> None:
        """Events are watched from now on."""
        self._begun.set()

    async def begun(self) -> SchedulingError | None:
        """The fault that keeps it from beginning, as far as that is known soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_SECONDS):
                await self._begun.wait()
        return self.fault

    def end(self, fault: SchedulingError) -> None:
        """No more comes."""
        self.fault = fault
        self._begun.set()
        self._notify()

    @property
    def is_left(self) -> bool:
        """Whether no page has shown it for a while."""
        return not self.viewers and time.monotonic() >= self.left_at + LINGER_SECONDS

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Tails:
    """All tails of a replica."""

    def __init__(self, v1: V1) -> None:
        self._v1 = v1
        self._tails: dict[Key, Tail] = {}
        self._tasks = dict[Tail, asyncio.Task[None]]()

    @asynccontextmanager
    async def joined(self, visitor: Visitor, where: EventFilter) -> AsyncGenerator[Tail]:
        """The tail of a filter, for as long as it is looked at.

        Raises `Forbidden`, `OverQuota`, and `Overloaded` for one filter too many.
        """
        self._v1.admit_watch(visitor)
        tail = self._tail(visitor, where)
        tail.viewers += 1
        try:
            yield tail
        finally:
            tail.viewers -= 1
            tail.left_at = time.monotonic()

    def _tail(self, visitor: Visitor, where: EventFilter) -> Tail:
        key = _key(visitor, where)
        if tail := self._tails.get(key):
            return tail
        if len(self._tails) >= MOST_TAILS:
            self._make_place()
        tail = self._tails[key] = Tail()
        task = self._tasks[tail] = asyncio.create_task(self._run(key, tail, visitor, where))
        task.add_done_callback(lambda _: self._tasks.pop(tail))
        return tail

    def _make_place(self) -> None:
        """End the tail that was left first, so that who tries filters takes no place of others."""
        left = [(tail.left_at, key) for key, tail in self._tails.items() if not tail.viewers]
        if not left:
            raise Overloaded(f"{MOST_TAILS} other filters are watched here: choose one of them.")
        _, key = min(left, key=lambda each: each[0])
        self._tasks[self._tails.pop(key)].cancel()

    async def _run(self, key: Key, tail: Tail, visitor: Visitor, where: EventFilter) -> None:
        """Until no page shows it, or it breaks."""
        try:
            await self._follow(tail, visitor, where)
            tail.end(Unavailable("No page showed these events for a while: load the page again."))
        except SchedulingError as fault:
            tail.end(fault)
        except Exception:
            log.exception("a tail of events broke")
            tail.end(Unavailable("Events cannot be shown: the log of the service tells why."))
        finally:
            if self._tails.get(key) is tail:
                del self._tails[key]

    async def _follow(self, tail: Tail, visitor: Visitor, where: EventFilter) -> None:
        """A watcher that falls behind is replaced by one that begins now."""
        gathered = Gathered()
        while not tail.is_left:
            with suppress(SlowWatcher):
                async with self._v1.watch(visitor, where) as take:
                    tail.begin()
                    await _gather(tail, take, gathered)
                return
            gathered.lost = True


async def _gather(tail: Tail, take: Take, gathered: Gathered) -> None:
    """Make pieces of events until no page shows them."""
    due = 0.0
    while not tail.is_left:
        wait = max(0.0, due - time.monotonic()) if gathered.count else EVERY_SECONDS
        batch = await take(wait)
        gathered.add(batch.events, batch.passed)
        if gathered.count and time.monotonic() >= due:
            tail.add(gathered)
            due = time.monotonic() + EVERY_SECONDS
        elif batch.events:
            await asyncio.sleep(0 if len(batch.events) >= MOST_SENT else DRAIN_SECONDS)


def _key(visitor: Visitor, where: EventFilter) -> Key:
    """Equal for those who may see the same."""
    labels = tuple(sorted(where.labels.items()))
    kinds = tuple(sorted(each.name for each in where.kinds))
    return where.job_id, where.type, labels, kinds, visitor.caller.limits


def _shown(events: Sequence[Event] | deque[Event]) -> Sequence[Shown]:
    """As clients get them, the newest first."""
    return events_in(encode_events([*events], ""))[::-1]
