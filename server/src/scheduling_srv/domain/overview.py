"""How the service stands, as operators see it. Instants are epoch ms, durations ms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

MINUTE_MS = 60_000
MINUTES = 60
"""Of the past, the present one included; and of the future."""


class Minute(NamedTuple):
    """The counts of a minute."""

    number: int
    """Minutes since 1970."""
    emitted: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    lateness: int = 0
    """Of all emitted runs together, when they were staged."""
    latest: int = 0
    """The greatest lateness."""

    @property
    def time(self) -> int:
        """Its beginning."""
        return self.number * MINUTE_MS

    @property
    def mean_lateness(self) -> int:
        """Of the emitted runs, rounded down."""
        return self.lateness // self.emitted if self.emitted else 0

    def plus(self, other: Self) -> Self:
        """The same minute of two shards."""
        return type(self)(
            self.number,
            self.emitted + other.emitted,
            self.done + other.done,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.lateness + other.lateness,
            max(self.latest, other.latest),
        )


class Counts(NamedTuple):
    """Jobs and runs by state."""

    jobs: int = 0
    waiting: int = 0
    running: int = 0
    held: int = 0
    retrying: int = 0
    paused_jobs: int = 0
    paused_types: int = 0
    outbox: int = 0

    def plus(self, other: Self) -> Self:
        """Of two shards."""
        return type(self)(*(mine + its for mine, its in zip(self, other, strict=True)))


class ShardView(NamedTuple):
    """How a shard stands."""

    counts: Counts
    owner: str
    """Empty: no replica owns it."""
    oldest_due: int | None
    """When the earliest place in the order of due times is due."""
    due: Sequence[int]
    """Jobs that are due in each of the next 60 minutes."""
    minutes: Sequence[Minute]
    """In no order; older ones than an hour may be among them."""


class Owner(NamedTuple):
    """The owner of a shard."""

    shard: int
    name: str
    """Empty: no replica owns it."""
    late: int
    """How long the oldest due run that may start has waited."""


class Overview(NamedTuple):
    """All shards together."""

    counts: Counts
    minutes: Sequence[Minute]
    """The last hour, the oldest first."""
    due: Sequence[int]
    owners: Sequence[Owner]
    serving: bool
    reasons: Sequence[str]
    """Why it does not serve, or is worse than usual."""
    lag: int
    """Records that the consumer group has not applied yet."""


def last_hour(shards: Iterable[Sequence[Minute]], now: int) -> Sequence[Minute]:
    """The minutes up to now, the oldest first; of those that are not there nothing is counted."""
    latest = now // MINUTE_MS
    found = {number: Minute(number) for number in range(latest - MINUTES + 1, latest + 1)}
    for minutes in shards:
        for minute in minutes:
            if minute.number in found:
                found[minute.number] = found[minute.number].plus(minute)
    return [*found.values()]


def all_together(shards: Sequence[ShardView], now: int) -> Overview:
    """Without health and lag."""
    counts = Counts()
    for shard in shards:
        counts = counts.plus(shard.counts)
    owners = [Owner(number, shard.owner, _late(shard, now)) for number, shard in enumerate(shards)]
    due = [sum(each) for each in zip(*(shard.due for shard in shards), strict=True)]
    minutes = last_hour((shard.minutes for shard in shards), now)
    return Overview(counts, minutes, due, owners, serving=False, reasons=(), lag=0)


def _late(shard: ShardView, now: int) -> int:
    return 0 if shard.oldest_due is None else max(0, now - shard.oldest_due)
