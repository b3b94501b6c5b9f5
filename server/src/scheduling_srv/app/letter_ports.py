"""The ports of dead letters: their topic, and the notes about them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from scheduling_srv.app.ports import Receipt
from scheduling_srv.domain.dead_letter import LetterId
from scheduling_srv.formats.kafka_records import Extent, LogRecord


class LetterLog(Protocol):
    """The dead-letter topic. Raises `LogUnavailable`."""

    async def topic_id(self) -> str:
        """Its id; empty if the broker has none, or there is no topic."""

    async def extents(self) -> Sequence[Extent]:
        """The extents of its partitions; none if there is no topic."""

    def read(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        """The records within `extents`, one extent after the other."""


class Noted(NamedTuple):
    """What is noted about a dead letter."""

    replayed: bool
    hidden: bool


class Replay(NamedTuple):
    """A dead letter that is put on its topic again."""

    id: LetterId
    low: int
    """The first offset that its partition has."""
    entry: bytes
    """The original record, as an entry of the outbox."""


class Replayed(NamedTuple):
    """What a replay has done."""

    receipt: Receipt
    changed: int
    """Letters that had not been replayed before."""


class LetterNotes(Protocol):
    """Notes about dead letters. Raises `StoreUnavailable` and `StoreNotReady`."""

    async def noted(self, topic_id: str, ids: Sequence[LetterId]) -> Sequence[Noted]:
        """For each of these."""

    async def replay(self, topic_id: str, letters: Sequence[Replay]) -> Replayed:
        """Announce the original records of those that were not replayed yet.

        Raises `FormatTooOld`, and `Overloaded` while too much waits for Kafka.
        """

    async def hide(self, topic_id: str, ids: Sequence[LetterId], now: int) -> int:
        """Hide these; returns how many were not hidden. Raises `FormatTooOld`."""
