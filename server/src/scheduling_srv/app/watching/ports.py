"""The topics of events, as watchers read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from scheduling_srv.formats.kafka_records import LogRecord
from scheduling_srv.formats.positions import Place


class Tailed(NamedTuple):
    """A record, and where it stands."""

    place: Place
    record: LogRecord


Tells = Callable[[str, bytes | None], bool]
"""Whether a record tells of an event: by its topic and its key."""


class Glance(NamedTuple):
    """The newest records of a poll."""

    records: Sequence[Tailed]
    passed: int
    """How many others tell of events."""
    ends: Mapping[Place, int]
    """The next offset of each partition."""


class Tail(Protocol):
    """Reads committed records of some topics. Raises `LogUnavailable`."""

    async def extents(self) -> Mapping[Place, tuple[int, int]]:
        """The begin and the end of each partition of the topics that exist."""

    async def begin(self, offsets: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on, and no others."""

    async def poll(self) -> Sequence[Tailed]:
        """The next records, in the order of their time; none after a moment."""

    async def glance(self, most: int, tells: Tells) -> Glance:
        """At most so many of the next records: the newest that tell of events."""

    async def close(self) -> None:
        """Give up all connections."""
