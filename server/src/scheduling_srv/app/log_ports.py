"""The ports to Kafka: to publish records, to consume them, and to read them back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from scheduling_srv.app.records import Consumed, End
from scheduling_srv.formats.kafka_records import Extent, LogRecord, Record, Refusal
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.positions import InputPosition, Place


class Publisher(Protocol):
    """The only producer. Every failure is `PublishFailed`; then only `open` may follow.

    `RecordRefused`: open carefully, and publish carefully until the fault is found.

    `due`, in epoch ms: readers of committed records do not see them before, and their time stamps
    are not earlier, even if the clock is set back meanwhile (`Released.due`).
    """

    async def open(self, *, careful: bool = False) -> None:
        """Fence every earlier producer of the shard, and end its open transaction."""

    async def publish(self, records: Iterable[Record], position: Position, due: int) -> None:
        """Commit all of it in one transaction. `records` are iterated in another thread."""

    async def publish_carefully(
        self, records: Sequence[Record], position: Position, due: int
    ) -> Sequence[Refusal]:
        """Commit one transaction, or commit nothing and return the refused records."""

    def shrink_batches(self) -> None:
        """Send fewer records together: a batch was refused, but none of its records was."""

    def places(self) -> Sequence[Place]:
        """The partitions that its records go to; none before `open`."""

    async def settle(self, places: Sequence[Place] = ()) -> None:
        """End transactions whose end Kafka has lost, by the next one of the same producer.

        In the partitions that only we read, and in `places`: readers skip its records there.
        """


class Delivery(Protocol):
    """Runs on their way to Kafka."""

    @property
    def ends(self) -> Mapping[int, int]:
        """Partition -> offset after the last run there; once Kafka has all of them."""

    async def wait(self) -> float:
        """Wait until Kafka has all of them; returns the seconds that the slowest one took.

        Raises `PublishFailed` if Kafka may or may not have one of them.
        """


class SwiftPublisher(Publisher, Protocol):
    """It also sends runs at once, outside transactions. A broker cannot fence these runs."""

    async def send(
        self, records: Iterable[Record], size: int, due: int
    ) -> tuple[Sequence[Record], Delivery]:
        """Send the runs among about `size` records; the others are returned, to be published."""

    def abandon(self) -> None:
        """Send no more of the records that were not sent yet."""


class UnknownEvent(NamedTuple):
    """A record whose key is none that the service knows."""

    topic: str
    key: bytes | None
    partition: int
    offset: int


class Polled(NamedTuple):
    """Committed records that a consumer has read."""

    total: int
    """How many, whatever their keys."""
    events: Mapping[Place, Sequence[Consumed]]
    """Those that anything is done about, each partition in its order."""
    ends: Mapping[Place, End]
    """The end of all records of each partition."""
    unknown: Sequence[UnknownEvent]
    exhausted: Mapping[Place, int]
    """Partitions that have no further record, and the offset where they end."""
    is_doubtful: bool
    """A broker may have been away: its topics may be others by now."""


class Consumer(Protocol):
    """Reads committed records. Raises `LogUnavailable`."""

    async def assign(self, starts: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on, and no others."""

    async def poll(self) -> Polled:
        """Some records, or none after a moment.

        Raises `StaleSource` when Kafka has nothing at the position of a partition, and
        `SharedTopic` when one of the records is a run of another service. Then all records of this
        poll are dropped.
        """


class PartitionConsumer(Consumer, Protocol):
    """Reads the partitions that its user names. It tells where they are exhausted."""

    async def connect(self) -> None:
        """Return when a broker has answered."""


FindStarts: TypeAlias = Callable[[Sequence[Place]], Awaitable[Mapping[Place, int]]]
"""Where to read each partition that the group assigns. Partitions may be left out."""
Revoked: TypeAlias = Callable[[Sequence[Place]], None]
"""Called from another thread when the group takes partitions away."""


class GroupConsumer(Consumer, Protocol):
    """A member of the consumer group, which must poll to stay a member.

    The group shares out the partitions. It does not decide where they are read.
    """

    polled_at: float
    """When it last asked for records, by `time.monotonic`."""

    async def join(self, find_starts: FindStarts, revoked: Revoked) -> None:
        """Become a member. `poll` calls these when the group assigns or revokes partitions."""

    async def leave(self) -> None:
        """Be no member any more. It may join again."""

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """Tell the group how far this member is. Nothing depends on it."""

    def end_of(self, place: Place) -> int | None:
        """The end of a partition as far as it is known. Call it on the loop that joined."""


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
        """All committed records of the shard's journal, in order; those of jobs without headers."""

    def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of the jobs topic from that instant on, partition by partition."""

    async def resource_extents(self) -> Sequence[Extent]:
        """The current extents of the partitions of jobs.resource, in the order of their numbers."""

    def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        """All committed records of jobs.resource within `extents`, one extent after the other."""


class RunHistory(History, Protocol):
    """It also reads runs back that no position covers."""

    def jobs_after(
        self, ends: Mapping[int, int], instant: int
    ) -> AsyncGenerator[Sequence[LogRecord]]:
        """Committed records of the jobs topic, each partition from its end in `ends` on.

        Partitions that `ends` does not name: from the instant on. It does not wait for
        transactions that have not ended.
        """
