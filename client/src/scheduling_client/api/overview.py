"""How the service stands, as values of Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple


class StateCounts(NamedTuple):
    """Jobs and runs by state."""

    jobs: int
    waiting: int
    """Places in the order of due times."""
    running: int
    held: int
    """Runs that a limit holds."""
    retrying: int
    paused_jobs: int
    paused_types: int
    outbox: int
    """Entries that are not on Kafka yet."""


class MinuteCounts(NamedTuple):
    """The counts of a minute."""

    time: datetime | None
    """Its beginning."""
    emitted: int
    done: int
    failed: int
    skipped: int
    mean_lateness: timedelta | None
    max_lateness: timedelta | None


class ShardState(NamedTuple):
    """A shard."""

    number: int
    owner: str
    """Empty: no replica owns it."""
    oldest_due: timedelta | None
    """How long the oldest due run that may start has waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All shards together."""

    counts: StateCounts
    minutes: Sequence[MinuteCounts]
    """The last hour, the oldest first."""
    due: Sequence[int]
    """Jobs that are due in each minute of the next hour."""
    shards: Sequence[ShardState]
    serving: bool
    reasons: Sequence[str]
    """Why it does not serve, or is slow."""
    lag: int
    """Records that the consumer group has not applied yet."""
