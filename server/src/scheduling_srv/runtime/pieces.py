"""Sequences in pieces: one call to a server has a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def pieces(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    """All items in order, `size` at a time; the last piece may be shorter."""
    left = iter(items)
    while piece := list(islice(left, size)):
        yield piece
