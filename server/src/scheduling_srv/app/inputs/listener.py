"""The consumer group on the jobs and the commands topic (docs/contract.md).

Positions live in the store, beside the changes of the records; the group only shares out the
partitions. The listener commits offsets to Kafka for operators who watch its lag.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Protocol

import structlog

from scheduling_srv.app.deployments.neighbours import Alone
from scheduling_srv.app.inputs.consume import Consume
from scheduling_srv.app.inputs.identity import Identity
from scheduling_srv.app.inputs.unknown_events import UnknownEvents
from scheduling_srv.app.log_ports import GroupConsumer, Polled
from scheduling_srv.app.records import Consumed, End
from scheduling_srv.app.starts import Found, Starts
from scheduling_srv.domain.errors import (
    SchedulingError,
    SharedTopic,
    StaleSource,
    StoreFault,
    Unavailable,
)
from scheduling_srv.formats.positions import Place
from scheduling_srv.runtime import metrics, points
from scheduling_srv.runtime.failpoints import passed, reached
from scheduling_srv.runtime.states import Seldom, State

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5
"""To wait after a server did not answer."""
MISSING_PAUSE_SECONDS = 1.0
"""Between looks for partitions that were not there."""


class Shown(Protocol):
    """Where operators look for positions."""

    async def show_offsets(self, offsets: Mapping[Place, int]) -> None:
        """See `InputStore.show_offsets`."""


class Listener:
    """Consumes, applies, and shows how far it is. `offset_interval` is in milliseconds."""

    def __init__(
        self,
        consumer: GroupConsumer,
        consume: Consume,
        starts: Starts,
        shown: Shown,
        *,
        offset_interval: int,
        strangers: Alone,
    ) -> None:
        self.consumer = consumer
        self.consume = consume
        self.starts = starts
        self.store = shown
        self.offset_interval = offset_interval
        self.strangers = strangers
        self.next: dict[Place, End] = {}
        """The end of the records that were applied or skipped."""
        self.missing: set[Place] = set()
        """Partitions that are assigned, but were not there."""
        self.held: set[Place] = set()
        """Partitions that are assigned, but not read: another service uses the topic."""
        self.shown: dict[Place, int] = {}
        self.last_shown = float("-inf")
        self.identity = Identity(starts.topic_ids)
        self.unknown = UnknownEvents()
        self._looked = 0.0
        self._stopping = False
        self._reads = State("events are not read", "events are read again")
        self._finds = State("partitions are not there", "partitions are there again")
        self._seldom = Seldom()

    @property
    def polled_at(self) -> float:
        """When it last asked for records, by `time.monotonic`."""
        return self.consumer.polled_at

    def stop(self) -> None:
        """Apply the records that were read, then leave the group; `run` returns."""
        self._stopping = True

    async def run(self) -> None:
        """Consume until stopped."""
        self.next.clear()  # it may run again after it broke
        self.missing.clear()
        self.held.clear()
        await self.consumer.join(self._find_starts, self._revoked)
        try:
            while not self._stopping:
                await self._round()
            await self._show_last()
        finally:
            await self.consumer.leave()

    async def _show_last(self) -> None:
        try:
            await self._show_offsets()
        except (StaleSource, Unavailable) as fault:
            log.info("positions not shown", reason=str(fault))

    async def _round(self) -> None:
        try:
            await self.run_once()
        except SharedTopic as fault:
            log.debug("reading nothing", reason=str(fault))
        except StaleSource as fault:
            if self._seldom.is_due(str(fault)):
                log.info("reading again from the stored positions", reason=str(fault))
            await self._go_back()
        except Unavailable as fault:
            self._reads.fails(str(fault))
            await asyncio.sleep(PAUSE_SECONDS)
            await self._go_back()
        else:
            self._reads.works()

    async def run_once(self) -> int:
        """Consume and apply one batch; returns how many records it had.

        Raises `SharedTopic`: then nothing of it was applied.
        """
        if self.strangers.blocked:
            await self._hold()
            with suppress(StaleSource):
                await self.consumer.poll()  # else the group would drop this member
            return 0
        if self.held:
            await self._go_back()
        if self.missing and time.monotonic() - self._looked > MISSING_PAUSE_SECONDS:
            await self._look_for_missing()
        polled = await self._poll()
        if polled.total:
            await reached(points.LISTEN_POLLED)
            await self._handle(polled)
            await reached(points.LISTEN_APPLIED)
        if (time.monotonic() - self.last_shown) * 1000 >= self.offset_interval:
            await self._show_offsets()
        if self.next and self.identity.is_due():
            await self.identity.verify({place.topic for place in self.next})
        return polled.total

    async def _poll(self) -> Polled:
        """Waits for a record as long as no positions are to be shown."""
        until = self.last_shown + self.offset_interval / 1000
        while True:
            polled = await self.consumer.poll()
            if polled.is_doubtful:
                self.identity.doubt()
            if polled.total or self._stopping or time.monotonic() >= until:
                return polled

    async def _handle(self, polled: Polled) -> None:
        for event in polled.unknown:
            self.unknown.note(*event)
        await self._apply([each for place, each in polled.events.items() if place in self.next])
        for place, end in polled.ends.items():
            if place in self.next:
                self.next[place] = end

    async def _apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        if not batches:
            return
        await self._verify([batch[0].place for batch in batches])
        try:
            await self.consume.apply(batches)
        except Exception as fault:
            if isinstance(fault, SchedulingError) and not isinstance(fault, StoreFault):
                raise
            # One bad record must not stop the others: find it, and put it aside.
            log.exception(
                "a batch broke", first={each[0].place.name: each[0].offset for each in batches}
            )
            await self._go_back()
            for record in chain.from_iterable(batches):
                if record.place in self.next:
                    await self.consume.apply_alone(record)

    async def _verify(self, places: Sequence[Place]) -> None:
        """Records count only if they came from the topic that the positions belong to."""
        position = min(self.consume.applied(place) for place in places)
        if self.identity.age() > self.identity.trusted(position):
            await self.identity.verify({place.topic for place in self.next})

    # --- Partitions ---------------------------------------------------------------------------

    def _revoked(self, places: Sequence[Place]) -> None:
        """Called in the consumer's thread."""
        passed(points.LISTEN_REVOKED)
        for place in places:
            self.next.pop(place, None)
            self.missing.discard(place)
            self.held.discard(place)
            _forget_lag(place)

    async def _find_starts(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """Where to begin; waits for the servers as long as it takes."""
        while True:
            began = time.monotonic()
            try:
                found = await self.starts.find(places)
            except SchedulingError as fault:
                self._reads.fails(str(fault))
                if self._stopping:
                    return {}
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.identity.begin(found.topic_ids, began)
                return self._begin(places, found)

    def _begin(self, places: Sequence[Place], found: Found) -> Mapping[Place, int]:
        self.consume.begin(found.shards)
        there = found.shards[0].positions
        self.shown.clear()  # a store that was lost has lost what it showed
        self.next = {place: End(self.consume.applied(place), 0) for place in there}
        self.held.clear()
        missing, self._looked = {*places} - {*there}, time.monotonic()
        if missing:
            self._finds.fails(", ".join(sorted(each.name for each in missing)))
        else:
            self._finds.works()
        self.missing = missing
        for place in missing:
            _forget_lag(place)
        return {place: end.offset for place, end in self.next.items()}

    async def _look_for_missing(self) -> None:
        """The others are read on as long as none of them is there."""
        self._looked = time.monotonic()
        try:
            found = await self.starts.find_any(sorted(self.missing))
        except Unavailable as fault:
            log.debug("cannot look for partitions", reason=str(fault))
        else:
            if found:
                await self._go_back()

    async def _go_back(self) -> None:
        """Read again from where the store says that it is."""
        places = sorted({*self.next, *self.missing, *self.held})
        if places:
            await self.consumer.assign(await self._find_starts(places))

    async def _hold(self) -> None:
        """Read nothing, and stay in the group: its member list shows who uses the topic."""
        if reading := {*self.next, *self.missing}:
            self.held |= reading
            self.next.clear()
            self.missing.clear()
            await self.consumer.assign({})

    # --- Positions ----------------------------------------------------------------------------

    async def _show_offsets(self) -> None:
        """Store the positions, also after records that were skipped."""
        self.last_shown = time.monotonic()
        moved = {
            place: end for place, end in self.next.items() if self.shown.get(place) != end.offset
        }
        if not moved:
            return
        await self._verify([*moved])
        await self.consume.skip(moved)
        offsets = {place: end.offset for place, end in moved.items()}
        await self.store.show_offsets(offsets)
        self.shown |= offsets
        await self.consumer.commit(offsets)

    def note_lag(self) -> None:
        """Show how far each partition is behind, as far as its end is known.

        Call it on the loop of `run`, which closes the consumer.
        """
        for place, end in [*self.next.items()]:
            high = self.consumer.end_of(place)
            if high is not None and place in self.next:  # it may have been revoked meanwhile
                lag = metrics.CONSUMER_LAG.labels(topic=place.topic, partition=str(place.partition))
                lag.set(max(0, high - end.offset))


def _forget_lag(place: Place) -> None:
    with suppress(KeyError):
        metrics.CONSUMER_LAG.remove(place.topic, str(place.partition))
