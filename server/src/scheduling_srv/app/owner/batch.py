"""A batch of the outbox, and the interface of those who take batches to Kafka.

`OutboxPublisher` publishes each batch in one transaction; `IdempotentPublisher` sends its runs at
once and lets a transaction with all else follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from prometheus_client import Counter

from scheduling_srv.app.replies import Cursor, Taken
from scheduling_srv.formats.layouts import QUEUE, QUEUES
from scheduling_srv.formats.outbox_entries import attempt, nominal_time, type_of
from scheduling_srv.formats.position_record import Position
from scheduling_srv.runtime import metrics


class Batch(NamedTuple):
    """Entries that were taken from the outbox, perhaps none."""

    at: float
    """When the owner asked for them, in monotonic milliseconds."""
    cursor: Cursor
    """The owner asked for them with it."""
    taken: Taken
    due: int = 0
    """See `Released`; 0 also until it is released."""


class BatchPublisher(Protocol):
    """Takes batches to Kafka, in order. After any error only `begin` may follow."""

    def is_settled(self, trimmed: int) -> bool:
        """Whether Kafka and Redis know of all that was published.

        `trimmed` is the number of the last entry that is trimmed.
        """

    def begin(self, position: Position, lineage: str) -> None:
        """Go on from where recovery has found Kafka to be. Forgets all batches under way."""

    async def prepare(self) -> None:
        """Do what must precede the next batch. Raises `PublishFailed`, also that of `follow`."""

    def cursor(self, end: int) -> Cursor | None:
        """From where to take the entries that follow number `end`; None: none may be taken now."""

    def is_stale(self, batch: Batch) -> bool:
        """Whether it was taken so long ago that it has to be taken again."""

    def may_wait(self, entries: Sequence[bytes]) -> bool:
        """Whether these entries may wait for others."""

    async def publish(self, batch: Batch) -> int:
        """Publish the batch or its front; returns how many entries. Raises `PublishFailed`.

        0: none of it may be published now.
        """

    async def follow(self) -> None:
        """Publish what is owed for earlier batches as soon as it is due. Raises `PublishFailed`."""


@contextmanager
def count_outcome(counter: Counter) -> Iterator[None]:
    """Count what happens inside as `committed` or `failed`."""
    try:
        yield
    except BaseException:
        counter.labels(outcome="failed").inc()
        raise
    counter.labels(outcome="committed").inc()


def measure(entries: Sequence[bytes], now: int) -> None:
    """Counts runs that are on Kafka, and looks at the lateness of the first and the last one.

    A retry comes after its backoff: that is not lateness. Nor is a jitter, which others may have.
    """
    queued = [entry for entry in entries if entry[0] in QUEUES]
    metrics.EMITTED.count(len(queued), lambda: map(type_of, queued))
    first, last = next(_punctual(queued), None), next(_punctual(reversed(queued)), None)
    for entry in {id(entry): entry for entry in (first, last) if entry}.values():
        metrics.LATENESS.observe(max(0, now - nominal_time(entry)) / 1000)


def _punctual(queued: Iterable[bytes]) -> Iterator[bytes]:
    return (entry for entry in queued if entry[0] == QUEUE and attempt(entry) == 1)
