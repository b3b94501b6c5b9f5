"""The ports to Kafka: to publish records, and to read committed records back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Protocol

from scheduling_srv.app.positions import InputPosition
from scheduling_srv.app.records import Extent, LogRecord, Position, Record, Refusal


class Publisher(Protocol):
    """The only producer. Every failure is `PublishFailed`; then only `open` may follow.

    `RecordRefused`: open carefully, and publish carefully until the fault is found.
    """

    async def open(self, *, careful: bool = False) -> None:
        """Fence every earlier producer of the shard and settle its open transaction."""

    async def publish(self, records: Iterable[Record], position: Position) -> None:
        """One transaction with all of it, committed. `records` are read in another thread."""

    async def publish_carefully(
        self, records: Sequence[Record], position: Position
    ) -> Sequence[Refusal]:
        """One transaction, committed; or nothing of it, and which of the records are refused."""

    def shrink_batches(self) -> None:
        """Send fewer records together: none was refused by itself, but they were together."""

    async def settle(self) -> None:
        """End transactions whose end Kafka has lost: with the next one of the same producer."""


class Delivery(Protocol):
    """Runs on their way to Kafka."""

    async def wait(self) -> float:
        """Return when Kafka has all of them: how many seconds the slowest one took.

        Raises `PublishFailed` when it is not known whether Kafka has one of them.
        """


class SwiftPublisher(Publisher, Protocol):
    """It also sends runs at once, outside of transactions, so it cannot be fenced from that."""

    async def send(self, records: Iterable[Record], size: int) -> tuple[Sequence[Record], Delivery]:
        """Send the runs among about `size` records; the others are returned, to be published."""

    def abandon(self) -> None:
        """Send no more of the records that were not sent yet."""


class History(Protocol):
    """Reads committed records back from Kafka. Raises `LogUnavailable`.

    Nothing is read past a transaction that has not ended: `Undecided` is raised if that lasts.
    """

    async def last_position(self) -> Position | None:
        """The last committed position record of the shard."""

    async def input_starts(self) -> Mapping[str, InputPosition]:
        """Where listening begins on the very first start, by `topic:partition`.

        Positions at the end hold the present as their time stamp: all before it is skipped.
        """

    def journal(self) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of the shard's journal, in order."""

    def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of the jobs topic from that instant on, partition by partition."""

    async def resource_extents(self) -> Sequence[Extent]:
        """The current extents of the partitions of jobs.resource, in the order of their numbers."""

    def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of jobs.resource within `extents`, one extent after the other."""
