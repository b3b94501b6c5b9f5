"""The pages of all shards as one page, in the order of their places."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from scheduling_srv.app.ports import Page
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.formats.job_record import seq as seq_of

SEPARATOR = ","
"""Between the shards' cursors."""
ENDED = "-"
"""Cursor of a shard that has nothing further."""
FIRST = ""
"""Cursor of a shard of which nothing was read."""

T = TypeVar("T")


def cursors_of(cursor: str, shards: int) -> Sequence[str]:
    """The cursor of each shard, in the cursor of a merged page."""
    return cursor.split(SEPARATOR) if cursor else [FIRST] * shards


class Row(NamedTuple, Generic[T]):
    """One item of a shard's page."""

    order: Any
    """Compares with that of all rows."""
    place: str
    """The cursor after it."""
    item: T


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The page of one shard."""

    rows: Sequence[Row[T]]
    cursor: str
    """After all that was looked at; empty: there is nothing further."""


class Merge(Generic[T]):
    """Takes rows from the pages in order, as long as it is known which one comes next."""

    def __init__(self, parts: Sequence[Part[T] | None], cursors: Sequence[str]) -> None:
        """`cursors` are those before the pages; a shard that has ended has none."""
        self.parts = parts
        self.cursors = [at if part else ENDED for part, at in zip(parts, cursors, strict=True)]
        self._places = [0] * len(parts)
        self._heads: list[tuple[Any, int, Row[T]]] = []
        """A heap of the next row of each shard, and the shard."""
        self._complete = True

    @property
    def ended(self) -> bool:
        """Whether all rows of all shards were taken."""
        return all(at == ENDED for at in self.cursors)

    def take(self, limit: int) -> Iterator[T]:
        """At most `limit` items. The cursors are then after the last one."""
        for shard in range(len(self.parts)):
            self._look(shard)
        for _ in range(limit):
            if not self._complete or not self._heads:
                return
            _, shard, row = heapq.heappop(self._heads)
            yield row.item
            self._places[shard] += 1
            self.cursors[shard] = row.place
            self._look(shard)

    def _look(self, shard: int) -> None:
        """At the next row of the shard: another one may only be taken when it is known."""
        part, place = self.parts[shard], self._places[shard]
        if part is None:
            return
        if place < len(part.rows):
            row = part.rows[place]
            heapq.heappush(self._heads, (row.order, shard, row))
        elif part.cursor:
            self.cursors[shard] = part.cursor
            self._complete = False
        else:
            self.cursors[shard] = ENDED


def merged_page(
    pages: Sequence[Page | None], cursors: Sequence[str], limit: int, *, descending: bool
) -> Page:
    """At most `limit` jobs in order of creation. `cursors` are those before the pages."""
    merge = Merge([_part(page, -1 if descending else 1) for page in pages], cursors)
    jobs = list(merge.take(limit))
    total = sum(page.total for page in pages if page)
    return Page(total, "" if merge.ended else SEPARATOR.join(merge.cursors), jobs)


def _part(page: Page | None, sign: int) -> Part[StoredJob] | None:
    if page is None:
        return None
    numbers = [seq_of(job.record) for job in page.jobs]
    rows = [Row(sign * seq, str(seq), job) for seq, job in zip(numbers, page.jobs, strict=True)]
    return Part(rows, page.cursor)
