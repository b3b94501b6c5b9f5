"""The topics of events, as watchers read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from scheduling_srv.formats.kafka_records import LogRecord
from scheduling_srv.formats.positions import Place


class Tailed(NamedTuple):
    """A record, and where it stands."""

    place: Place
    record: LogRecord


class Tail(Protocol):
    """Reads committed records of some topics. Raises `LogUnavailable`."""

    async def extents(self) -> Mapping[Place, tuple[int, int]]:
        """The begin and the end of each partition of the topics that exist."""

    async def begin(self, offsets: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on, and no others."""

    async def poll(self) -> Sequence[Tailed]:
        """The next records, in the order of their time; none after a moment."""

    async def close(self) -> None:
        """Give up all connections."""
