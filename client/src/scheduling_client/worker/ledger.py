"""Which offsets of a partition are done, in whatever order they end."""

from __future__ import annotations

from collections import deque


class Ledger:
    """One assignment of a partition.

    `position` is the next offset to read, `committable` the one to commit: all before it are done.
    """

    __slots__ = (
        "_done",
        "_given_up",
        "_open",
        "committed",
        "is_cut",
        "is_released",
        "partition",
        "position",
        "scanned",
        "unanswered",
    )

    def __init__(
        self, partition: int, start: int, scanned: int = 0, unanswered: frozenset[int] = frozenset()
    ) -> None:
        """Runs before the offset `scanned` are answered, except for the instances `unanswered`."""
        self.partition = partition
        self.position = self.committed = start
        self.scanned = scanned
        self.unanswered = unanswered
        self.is_released = False
        """Another worker reads the partition from now on, or this one reads it anew."""
        self.is_cut = False
        """An offset came again: the partition was cut, or its topic was made anew."""
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._given_up = 0

    def begin(self, offset: int) -> None:
        """The run at this offset has to be done. Offsets grow."""
        self._open.append(offset)

    def end(self, offset: int) -> None:
        """The run at this offset is done."""
        if self._open and self._open[0] == offset:
            self._open.popleft()
            while self._open and self._open[0] in self._done:
                self._done.discard(self._open.popleft())
        else:
            self._done.add(offset)

    def give_up(self) -> None:
        """A run will not be done here. Its offset stays open, for the next worker."""
        self._given_up += 1

    @property
    def committable(self) -> int:
        """Every offset before it is done."""
        return self._open[0] if self._open else self.position

    @property
    def is_idle(self) -> bool:
        """No run is open, except for those that were given up."""
        return len(self._open) - len(self._done) <= self._given_up

    def was_answered(self, offset: int, instance: int) -> bool:
        """Whether the topic had an answer to this run when the partition was assigned."""
        return offset < self.scanned and instance not in self.unanswered
