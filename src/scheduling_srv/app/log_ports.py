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
        """Fence every earlier producer of the shard, and end its open transaction."""

    async def publish(self, records: Iterable[Record], position: Position) -> None:
        """Commit all of it in one transaction. `records` are iterated in another thread."""

    async def publish_carefully(
        self, records: Sequence[Record], position: Position
    ) -> Sequence[Refusal]:
        """Commit one transaction, or commit nothing and return the refused records."""

    def shrink_batches(self) -> None:
        """Send fewer records together: a batch was refused, but none of its records was."""

    async def settle(self) -> None:
        """End transactions whose end Kafka has lost, by the next one of the same producer."""


class Delivery(Protocol):
    """Runs on their way to Kafka."""

    async def wait(self) -> float:
        """Wait until Kafka has all of them; returns the seconds that the slowest one took.

        Raises `PublishFailed` if Kafka may or may not have one of them.
        """


class SwiftPublisher(Publisher, Protocol):
    """It also sends runs at once, outside transactions. A broker cannot fence these runs."""

    async def send(self, records: Iterable[Record], size: int) -> tuple[Sequence[Record], Delivery]:
        """Send the runs among about `size` records; the others are returned, to be published."""

    def abandon(self) -> None:
        """Send no more of the records that were not sent yet."""


class History(Protocol):
    """Reads committed records back from Kafka. Raises `LogUnavailable`.

    Records after a transaction that has not ended are not read: `Undecided` if that lasts.
    """

    async def last_position(self) -> Position | None:
        """The last committed position record of the shard."""

    async def input_starts(self) -> Mapping[str, InputPosition]:
        """Starts of listening on the very first start, by `topic:partition`.

        Positions at the end have the present as their time stamp: all older records are skipped.
        """

    def journal(self) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of the shard's journal, in order."""

    def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of the jobs topic from that instant on, partition by partition."""

    async def resource_extents(self) -> Sequence[Extent]:
        """The current extents of the partitions of jobs.resource, in the order of their numbers."""

    def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of jobs.resource within `extents`, one extent after the other."""
