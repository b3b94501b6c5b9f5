"""Finds where partitions are read from, and stores it (docs/decisions/0008).

The listener begins with it, and so does every other reader that uses the store's positions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from scheduling_srv.app.ports import Clock, InputStore
from scheduling_srv.app.positions import Logs, PartitionLog, Start, Topic, begin, is_another
from scheduling_srv.domain.errors import StaleSource
from scheduling_srv.formats.positions import InputPosition, Place
from scheduling_srv.runtime.pieces import pieces

log = structlog.get_logger(__name__)

PIECE_PARTITIONS = 500
"""Partitions of one store call."""


class Begun(NamedTuple):
    """The positions from which a shard continues."""

    lineage: str
    """Lineage of the store whose positions these are."""
    positions: Mapping[Place, InputPosition]


class Found(NamedTuple):
    """The positions from which each shard continues, in the order of shards."""

    shards: Sequence[Begun]
    topic_ids: Mapping[str, str]
    """Id of each topic that exists."""


class Starts:
    """`stores` are those of the shards, `topics` the names of those that are read."""

    def __init__(
        self, stores: Sequence[InputStore], logs: Logs, clock: Clock, topics: Sequence[str]
    ) -> None:
        self.stores = stores
        self.logs = logs
        self.clock = clock
        self.topics = topics

    async def find(self, places: Sequence[Place]) -> Found:
        """The positions to read from. Missing partitions are left out.

        Raises `Unavailable` and `StaleSource`: then nothing is known, and it may be asked again.
        """
        names = list(dict.fromkeys(place.topic for place in places))
        topics = await self.logs.topics(names)
        there = [place for place in places if _is_there(place, topics)]
        # Positions are read before ends. Another replica may move a position meanwhile. Beside an
        # older end, it would look like a log that lost records, which would be applied again.
        answers = await asyncio.gather(*(store.positions() for store in self.stores))
        ends = await self.logs.ends(there)
        logs = {
            place: PartitionLog(*ends[place], topics[place.topic].id)
            for place in there
            if place in ends
        }
        starts = [await self._starts(logs, stored) for _, stored in answers]
        if await self.logs.topics(names) != topics:  # some of it was said of another topic
            raise StaleSource("A topic has changed meanwhile.")
        shards = []
        for store, (lineage, stored), found in zip(self.stores, answers, starts, strict=True):
            await self._store(store, lineage, stored, found)
            await self._forget(store, lineage, stored, topics)
            shards.append(Begun(lineage, found))
        return Found(shards, {name: topic.id for name, topic in topics.items()})

    async def find_any(self, places: Sequence[Place]) -> bool:
        """Whether any of these partitions is there. Raises `Unavailable`."""
        topics = await self.logs.topics(list(dict.fromkeys(place.topic for place in places)))
        return bool(await self.logs.ends([each for each in places if _is_there(each, topics)]))

    async def topic_ids(self, topics: Sequence[str]) -> Mapping[str, str]:
        """The ids of those that there are. Raises `Unavailable`."""
        return {name: topic.id for name, topic in (await self.logs.topics(topics)).items()}

    async def _starts(
        self, logs: Mapping[Place, PartitionLog], stored: Mapping[str, InputPosition]
    ) -> dict[Place, InputPosition]:
        known = {place: stored.get(place.name) for place in logs}
        stamps = {
            place: at.stamp
            for place, at in known.items()
            if at and at.stamp and is_another(at, logs[place])
        }
        newer = await self.logs.first_after(stamps) if stamps else {}
        return {place: begin(known[place], logs[place], newer.get(place)) for place in logs}

    async def _store(
        self,
        store: InputStore,
        lineage: str,
        stored: Mapping[str, InputPosition],
        found: Mapping[Place, InputPosition],
    ) -> None:
        changed = [
            (place, stored.get(place.name), to)
            for place, to in found.items()
            if stored.get(place.name) != to
        ]
        for piece in pieces(changed, PIECE_PARTITIONS):
            starts = [Start(place.name, at.next if at else None, to) for place, at, to in piece]
            await store.set_positions(starts, lineage, self.clock.now())
        _tell([(place, at, to) for place, at, to in changed if at and at.next != to.next])

    async def _forget(
        self,
        store: InputStore,
        lineage: str,
        stored: Mapping[str, InputPosition],
        topics: Mapping[str, Topic],
    ) -> None:
        """Drop positions of removed partitions, and of topics that are not read any more.

        A topic that is to be read and is not there keeps its positions: it may come back.
        """
        known = {Place.of(name): at.next for name, at in stored.items() if not name.startswith("@")}
        gone = {place for place in known if place.topic in topics and not _is_there(place, topics)}
        if others := {place.topic for place in known} - {*self.topics}:
            found = await self.logs.topics(sorted(others))
            gone |= {p for p in known if p.topic in others and not _is_there(p, found)}
        for piece in pieces(sorted(gone), PIECE_PARTITIONS):
            log.info("partitions are gone", partitions=[place.name for place in piece])
            await store.forget({place: known[place] for place in piece}, lineage, self.clock.now())


def _is_there(place: Place, topics: Mapping[str, Topic]) -> bool:
    topic = topics.get(place.topic)
    return topic is not None and place.partition < topic.partitions


def _tell(moved: Sequence[tuple[Place, InputPosition, InputPosition]]) -> None:
    """One sentence for each topic."""
    for topic in dict.fromkeys(place.topic for place, *_ in moved):
        ours = [each for each in moved if each[0].topic == topic]
        renewed = any(at.topic_id and at.topic_id != to.topic_id for _, at, to in ours)
        log.warning(
            "The topic is another one than before: it is read from the first record that is newer "
            "than the last applied one."
            if renewed
            else "The stored position is not in the log: reading goes on at the nearest record.",
            topic=topic,
            stored={place.partition: at.next for place, at, _ in ours},
            to={place.partition: to.next for place, _, to in ours},
        )
