"""One watcher: the events that it wants, and how far it is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from scheduling_srv.domain.errors import SchedulingError, SlowWatcher
from scheduling_srv.domain.event import Event, EventFilter
from scheduling_srv.formats.positions import Place

MOST_WAITING = 1_000
"""Events that wait for a watcher; with one more it is too slow."""
MOST_SENT = 100
"""Events of one message."""
UNHEARD_SECONDS = 60.0
"""How long a fault that has ended a watcher waits to be taken."""
SLOW = (
    f"The client reads too slowly: {MOST_WAITING:,} events wait for it. Watch again from the last"
    " cursor."
)


class Batch(NamedTuple):
    """Events, and how far the watcher is after them."""

    events: Sequence[Event]
    offsets: Mapping[Place, int]
    passed: int = 0
    """How many events were passed over for a watcher that glances."""


class Waiting(NamedTuple):
    """An event that was not taken yet."""

    event: Event
    place: Place
    offset: int


class Watcher:
    """`offsets`: where it begins. `glances`: while there are many events, the newest suffice."""

    def __init__(
        self, wanted: EventFilter, offsets: Mapping[Place, int], *, glances: bool = False
    ) -> None:
        self.wanted = wanted
        self.glances = glances
        self.offsets = dict(offsets)
        """The next offset that was not looked at for it."""
        self._taken = dict(offsets)
        self._waiting = deque[Waiting]()
        self._passed = 0
        self._noticed = asyncio.Event()
        self.fault: SchedulingError | None = None
        self.unheard: Callable[[SchedulingError], None] | None = None
        """Is called if nobody takes the fault: it ends the task that watches."""
        self._timer: asyncio.TimerHandle | None = None

    def sees(self, place: Place, offset: int) -> bool:
        """Whether a record is new to it. A partition that has come later is read from its begin."""
        return offset >= self.offsets.get(place, 0)

    def note(self, place: Place, offset: int, event: Event | None) -> None:
        """The next record of a partition, and the event that it tells of."""
        self.offsets[place] = offset + 1
        if event is None or self.fault or not self.wanted.matches(event):
            return
        if len(self._waiting) >= MOST_WAITING:
            self.end(SlowWatcher(SLOW))
            return
        self._waiting.append(Waiting(event, place, offset))
        self._noticed.set()

    def pass_over(self, count: int, ends: Mapping[Place, int]) -> None:
        """So many events before these offsets are not shown to it."""
        self._passed += count
        for place, end in ends.items():
            self.offsets[place] = max(end, self.offsets.get(place, 0))

    def end(self, fault: SchedulingError) -> None:
        """Nothing more comes: `take` raises this once all that waits was taken."""
        self.fault = fault
        self._noticed.set()
        self._wait_to_be_heard()

    def leave(self) -> None:
        """Nobody watches any more."""
        if self._timer:
            self._timer.cancel()
        self._timer = self.unheard = None

    def _wait_to_be_heard(self) -> None:
        """A client that takes nothing holds its task for ever: after a while, end the task."""
        if self._timer:
            self._timer.cancel()
        if self.unheard and self.fault:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(UNHEARD_SECONDS, self.unheard, self.fault)

    async def take(self, seconds: float) -> Batch:
        """The next events; none after so many seconds. Raises the fault that has ended it."""
        if self.fault:
            self._wait_to_be_heard()
        if not self._waiting and self.fault is None:
            self._noticed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._noticed.wait()
            except TimeoutError:
                pass
        events = list[Event]()
        while self._waiting and len(events) < MOST_SENT:
            event, place, offset = self._waiting.popleft()
            self._taken[place] = offset + 1
            events.append(event)
        if not events and self.fault:
            raise self.fault
        if not self._waiting and self.fault is None:
            self._taken = dict(self.offsets)
        passed, self._passed = self._passed, 0
        return Batch(events, dict(self._taken), passed)
