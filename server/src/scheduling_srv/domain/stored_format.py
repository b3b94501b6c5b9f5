"""The format of the stored data, on which it depends what jobs may have (docs/decisions/0024)."""

from __future__ import annotations

from typing import NamedTuple

from scheduling_srv.domain.errors import FormatTooOld, StoreNotReady

OLDEST_SERVED = 1
"""A replica raises an older format before it serves."""
SCHEDULING_V1 = 2
"""The first format that holds the properties and pauses of scheduling.v1."""
NOT_KNOWN = "The schedule is being recovered from Kafka, which tells the format of its data."


class StoredFormat:
    """The format that all shards of a namespace have, as far as this replica knows.

    Records are written in it. It only grows. Records of earlier formats are read.
    """

    def __init__(self, number: int | None = None) -> None:
        """None: not known before the first shard is noted."""
        self.number = OLDEST_SERVED if number is None else number
        self._is_known = number is not None
        self._shards: dict[int, int] = {}
        self._unsure = set[int]()

    def note(self, shard: int, found: int, *, sure: bool = True) -> None:
        """A shard was found to have this format.

        It is not `sure` if Redis has lost it: the rebuild of the shard tells its format then.
        """
        self._is_known = True
        (self._unsure.discard if sure else self._unsure.add)(shard)
        self._shards[shard] = max(found, self._shards.get(shard, OLDEST_SERVED))
        self.number = min(self._shards.values())

    @property
    def newest(self) -> int:
        """The latest format that a shard was found to have: no replica of an earlier one starts."""
        return max(self._shards.values(), default=self.number)

    def check_scheduling_v1(self) -> None:
        """Raise `FormatTooOld` while only the contract of 2018 can be stored.

        Raises `StoreNotReady` as long as that is not known.
        """
        if self.number < SCHEDULING_V1:
            if self._unsure or not self._is_known:
                raise StoreNotReady(NOT_KNOWN)
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
