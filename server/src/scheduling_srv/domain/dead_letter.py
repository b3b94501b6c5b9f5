"""Records that could not be applied, as callers of scheduling.v1 see them. Times are epoch ms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class LetterId(NamedTuple):
    """Where a dead letter stands on its topic."""

    partition: int
    offset: int

    @property
    def name(self) -> str:
        """As callers give it: `partition:offset`."""
        return f"{self.partition}:{self.offset}"

    @classmethod
    def of(cls, name: str) -> LetterId:
        """Raises `ValueError`."""
        partition, colon, offset = name.partition(":")
        numbers = (partition, offset)
        if not colon or not all(part.isascii() and part.isdigit() for part in numbers):
            raise ValueError(f"{name!r} is no id of a dead letter: it is such as '0:42'.")
        return cls(int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be applied."""

    id: LetterId
    time: int
    """When it was put aside."""
    topic: str
    partition: int
    offset: int
    """Of the original record; -1: it is not known."""
    event: bytes
    """Its key."""
    reason: str
    """Stable, as in `ErrorInfo`."""
    message: str
    size: int
    """Bytes of the value of the original record."""
    value: bytes
    """As far as it was kept; lists leave it out."""
    headers: Mapping[str, str]
    """Of the original record."""
    loss: str = ""
    """Why the original record is not there as a whole; empty: it is."""
    replayed: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters. All conditions that are set apply."""

    event: str = ""
    reason: str = ""
    since: int | None = None
    until: int | None = None
    include_hidden: bool = False


LetterSelection: TypeAlias = Sequence[LetterId] | LetterFilter


class LetterCall(NamedTuple):
    """One step of a bulk call."""

    selection: LetterSelection
    dry_run: bool
    token: str


class LetterPage(NamedTuple):
    """Some dead letters, the newest first."""

    letters: Sequence[DeadLetter]
    token: str
    """For the next page; empty: this was the last one."""
