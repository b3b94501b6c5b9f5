"""The format of the stored data, on which it depends what jobs may have (docs/decisions/0024)."""

from __future__ import annotations

from typing import NamedTuple

from scheduling_srv.domain.errors import FormatTooOld

OLDEST_SERVED = 1
"""A replica raises an older format before it serves."""
SCHEDULING_V1 = 2
"""The first format that holds the properties and pauses of scheduling.v1."""


class StoredFormat:
    """The format that all shards of a namespace have, as far as this replica knows.

    Records are written in it. It only grows. Records of earlier formats are read.
    """

    def __init__(self, number: int = OLDEST_SERVED) -> None:
        self.number = number
        self._shards: dict[int, int] = {}

    def note(self, shard: int, found: int) -> None:
        """A shard was found to have this format."""
        self._shards[shard] = max(found, self._shards.get(shard, OLDEST_SERVED))
        self.number = min(self._shards.values())

    def check_scheduling_v1(self) -> None:
        """Raise `FormatTooOld` while only the contract of 2018 can be stored."""
        if self.number < SCHEDULING_V1:
            raise FormatTooOld(
                f"The stored data has format {self.number}, and scheduling.v1 needs format"
                f" {SCHEDULING_V1}: the service raises it once no replica of the version before is"
                " connected any more."
            )


class ShardFormat(NamedTuple):
    """The part of one shard in it."""

    stored: StoredFormat
    shard: int = 0

    @property
    def number(self) -> int:
        """The format in which this replica writes."""
        return self.stored.number

    def note(self, found: int) -> None:
        """The shard was found to have this format."""
        self.stored.note(self.shard, found)
