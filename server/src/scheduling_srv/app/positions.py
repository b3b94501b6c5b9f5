"""Finds the position at which reading a partition begins (docs/decisions/0008).

A position belongs to one topic. A topic that was deleted and created again has another id, and its
offsets begin anew: it is read from the first record that is newer than the last applied one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog

from scheduling_srv.formats.positions import InputPosition, Place

log = structlog.get_logger(__name__)


class Start(NamedTuple):
    """A position that a partition gets."""

    partition: str
    before: int | None
    """Its offset so far."""
    to: InputPosition


class PartitionLog(NamedTuple):
    """A partition as Kafka has it."""

    low: int
    """The first offset that is left."""
    high: int
    """The offset after the last record."""
    topic_id: str = ""
    """Empty: the broker has no ids."""


class Topic(NamedTuple):
    """A topic as Kafka has it."""

    id: str
    """Empty: the broker has no ids."""
    partitions: int


class Logs(Protocol):
    """Ids and ends of topics on Kafka. Raises `LogUnavailable`."""

    async def topics(self, topics: Sequence[str]) -> Mapping[str, Topic]:
        """The topics that exist."""

    async def ends(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, int]]:
        """The begin and the end of each partition; missing partitions are left out."""

    async def high_watermarks(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The end of each partition, including records of open transactions."""

    async def last_stable_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The end of each partition, before the first open transaction."""

    async def first_after(self, stamps: Mapping[Place, int]) -> Mapping[Place, int | None]:
        """The first offset whose record is newer than the time stamp; None: there is none."""


def is_another(known: InputPosition, found: PartitionLog) -> bool:
    """Whether the position belongs to a topic that is no more."""
    if known.topic_id and found.topic_id:
        return known.topic_id != found.topic_id
    # A log that ends a little before the position has lost its last records.
    beyond = known.next > found.high
    return beyond and (bool(known.stamp) or found.high < known.next // 2)


def begin(
    known: InputPosition | None, found: PartitionLog, first_newer: int | None = None
) -> InputPosition:
    """The position to read from. `first_newer`: the first record newer than `known`, if any.

    A partition that was added since the first start is read from its beginning.
    """
    if known is None:
        return InputPosition(found.low, 0, found.topic_id)
    topic_id = found.topic_id or known.topic_id
    if not is_another(known, found):
        return known._replace(next=max(found.low, min(known.next, found.high)), topic_id=topic_id)
    if not known.stamp:
        return InputPosition(found.low, 0, topic_id)
    return InputPosition(found.high if first_newer is None else first_newer, known.stamp, topic_id)
