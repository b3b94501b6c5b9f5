"""Where a partition is read from, as the store, markers and the position record hold it.

A position belongs to one topic (docs/decisions/0008).
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A partition."""

    topic: str
    partition: int

    @property
    def name(self) -> str:
        """`topic:partition`."""
        return f"{self.topic}:{self.partition}"

    @classmethod
    def of(cls, name: str) -> Place:
        """The partition with that name."""
        topic, _, number = name.rpartition(":")
        return cls(topic, int(number))


class InputPosition(NamedTuple):
    """How far a partition is applied."""

    next: int
    """Offset behind the last record that was applied or skipped."""
    stamp: int = 0
    """The newest time stamp before it, in epoch ms; 0: unknown."""
    topic_id: str = ""
    """Of the topic that the offset belongs to; empty: unknown."""

    def pack(self) -> str:
        """As the store, markers and the position record hold it; `lua/lib/input.lua` reads it."""
        if not self.stamp and not self.topic_id:
            return str(self.next)
        return f"{self.next} {self.stamp} {self.topic_id or '-'}"

    @classmethod
    def of(cls, offset: int, origin: str | None) -> InputPosition:
        """The position at `offset`; an `origin` of another offset says nothing about it.

        A version before 0008 moves the offset and leaves the origin.
        """
        at, stamp, topic_id, *_ = (*(origin or "").split(" "), "", "", "")
        if at != str(offset):
            return cls(offset)
        return cls(offset, int(stamp or 0), "" if topic_id == "-" else topic_id)
