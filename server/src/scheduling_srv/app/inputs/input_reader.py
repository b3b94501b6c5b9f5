"""Reads the jobs topic beside the consumer group, up to where it ends now (docs/decisions/0012).

The group needs its session time-out to give the partitions of a dead member to another one. The
owner does not wait for that. It applies records through the same calls, which move a position only
from where it is. So the second of two readers begins again after the first. It keeps its goal, so a
group that is always first cannot keep it from its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import structlog

from scheduling_srv.app.deployments.neighbours import Alone
from scheduling_srv.app.inputs.consume import Consume
from scheduling_srv.app.inputs.identity import Identity
from scheduling_srv.app.log_ports import PartitionConsumer, Polled
from scheduling_srv.app.ports import Clock
from scheduling_srv.app.positions import Logs
from scheduling_srv.app.records import Consumed, End
from scheduling_srv.app.starts import Starts
from scheduling_srv.domain.errors import (
    LogUnavailable,
    SchedulingError,
    SharedTopic,
    StaleSource,
    Undecided,
)
from scheduling_srv.formats.positions import Place

log = structlog.get_logger(__name__)

ATTEMPTS = 50
"""How often a pass begins again before it asks anew where the topic ends."""
PAUSE_SECONDS = 0.02
"""Before it begins again: the group may come to the end meanwhile."""
STUCK_SECONDS = 5.0
"""Seconds without a record after which reading is given up, to be begun again."""
FAR = 10_000
"""Offsets after which the position is stored although there was nothing to apply."""


class InputReader:
    """Implements `Inputs` for all shards of a replica. One pass at a time."""

    def __init__(
        self,
        *,
        consumer: PartitionConsumer,
        consume: Consume,
        starts: Starts,
        logs: Logs,
        clock: Clock,
        topic: str,
        strangers: Alone,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`consume` is this reader's own: it remembers positions."""
        self.consumer = consumer
        self.consume = consume
        self.starts = starts
        self.logs = logs
        self.clock = clock
        self.topic = topic
        self.strangers = strangers
        self.monotonic = monotonic
        self.identity = Identity(starts.topic_ids)
        self._turn = asyncio.Lock()

    async def prepare(self) -> None:
        """A consumer that knows its broker. Raises `LogUnavailable`."""
        async with self._turn:
            await self.consumer.connect()

    async def read(self) -> int:
        """Apply all that the topic holds now; returns the instant of the question in epoch ms.

        Raises `Unavailable`; of that `Undecided` if a transaction in the way does not end;
        `StaleSource` if it is to be called again, as the topic is another one or the group moves
        the positions all the time; `SharedTopic` while another service uses the topic.
        """
        async with self._turn:
            if self.strangers.blocked:
                raise SharedTopic(self.strangers.blocked)
            asked_at = self.clock.now()
            await self._reach(await self._ends())
        await self.consume.settle()
        return asked_at

    async def _reach(self, ends: Mapping[Place, int]) -> None:
        """Apply all records before these ends, or see that the group has."""
        behind = await self._begin(ends)
        topic_ids = self.identity.ids
        for _ in range(ATTEMPTS):
            if not behind:  # records that the group has applied need not be read twice
                return
            try:
                await self._read_to(behind)
            except StaleSource:
                await asyncio.sleep(PAUSE_SECONDS)
                behind = await self._begin(ends)
                if self.identity.ids != topic_ids:
                    raise
            else:
                return
            finally:
                await self.consumer.assign({})
        raise StaleSource("The group applies the same records.")

    async def _ends(self) -> Mapping[Place, int]:
        """The end of each partition, including records of open transactions."""
        found = await self.logs.topics([self.topic])
        partitions = found[self.topic].partitions if self.topic in found else 0
        return await self.logs.high_watermarks([Place(self.topic, n) for n in range(partitions)])

    async def _begin(self, ends: Mapping[Place, int]) -> dict[Place, int]:
        """Find the positions; returns the ends of partitions that are not applied up to them."""
        asked_at = time.monotonic()
        found = await self.starts.find(sorted(ends))
        self.consume.begin(found.shards)
        self.identity.begin(found.topic_ids, asked_at)
        there = found.shards[0].positions
        return {
            place: end
            for place, end in ends.items()
            if place in there and self.consume.applied(place) < end
        }

    async def _read_to(self, ends: Mapping[Place, int]) -> None:
        way = Way(ends, {place: self.consume.applied(place) for place in ends})
        await self.consumer.assign(way.starts)
        moved = self.monotonic()
        while way.behind:
            polled = await self.consumer.poll()
            # The group reads what follows the ends as well: each would be in the other's way.
            events = {
                place: [record for record in batch if record.offset < ends[place]]
                for place, batch in polled.events.items()
            }
            await self._apply([*events.values()])
            if way.go_on(polled, events):
                moved = self.monotonic()
            elif self.monotonic() - moved > STUCK_SECONDS:
                raise self._stuck(is_early=way.is_early)
        # A short way is read again next time: the group's consumer need not go back for it.
        await self.consume.skip(
            {place: end for place, end in way.read.items() if end.offset - way.starts[place] > FAR}
        )

    def _stuck(self, *, is_early: bool) -> LogUnavailable:
        """`is_early`: committed records end before the log does."""
        if is_early:
            return Undecided(f"A transaction on {self.topic} has not ended.")
        return LogUnavailable(f"Kafka does not answer: nothing came for {STUCK_SECONDS:g} s.")

    async def _apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        batches = [batch for batch in batches if batch]
        if not batches:
            return
        position = min(self.consume.applied(batch[0].place) for batch in batches)
        if self.identity.age() > self.identity.trusted(position):
            await self.identity.verify({self.topic})
        try:
            await self.consume.apply(batches)
        except SchedulingError:
            raise
        except Exception:
            log.exception("a batch broke", topic=self.topic)
            await self._apply_alone(batches)

    async def _apply_alone(self, batches: Sequence[Sequence[Consumed]]) -> None:
        """One bad record must not stop the others: find it, and put it aside."""
        await self._begin({batch[0].place: batch[-1].offset + 1 for batch in batches})
        for record in chain.from_iterable(batches):
            if record.offset >= self.consume.applied(record.place):
                await self.consume.apply_alone(record)


class Way:
    """How far one pass has come in each partition."""

    def __init__(self, ends: Mapping[Place, int], starts: Mapping[Place, int]) -> None:
        self.ends = ends
        self.starts = starts
        self.behind = set(ends)
        """Partitions that are not read up to their ends."""
        self.read = dict[Place, End]()
        self.exhausted = dict[Place, int]()
        """Where the committed records of a partition ended, when it was last said."""

    def go_on(self, polled: Polled, events: Mapping[Place, Sequence[Consumed]]) -> bool:
        """Note a poll. Returns whether a partition moved that was behind: others do not count."""
        before = {place: self._reached(place) for place in self.behind}
        self.exhausted |= polled.exhausted
        for place, read in polled.ends.items():
            self.read[place] = _within(read, self.ends[place], events.get(place, ()))
        self.behind = {place for place in before if self._reached(place) < self.ends[place]}
        return any(self._reached(place) > offset for place, offset in before.items())

    @property
    def is_early(self) -> bool:
        """Whether the committed records of a partition end before the log does.

        Kafka says so once: it holds until the partition is read further.
        """
        return any(self.exhausted.get(place, -1) >= self._read(place) for place in self.behind)

    def _read(self, place: Place) -> int:
        return self.read[place].offset if place in self.read else self.starts[place]

    def _reached(self, place: Place) -> int:
        return max(self.exhausted.get(place, 0), self._read(place))


def _within(read: End, end: int, events: Sequence[Consumed]) -> End:
    """How far a partition is read, without the records at `end` and behind it."""
    if read.offset <= end:
        return read
    return End(end, max((record.timestamp for record in events), default=0))
