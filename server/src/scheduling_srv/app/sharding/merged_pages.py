"""The pages of all shards as one page, in order of creation."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from scheduling_srv.app.ports import Page
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.formats.job_record import seq as seq_of

SEPARATOR = ","
"""Between the shards' cursors."""
ENDED = "-"
"""Cursor of a shard that has no further jobs."""
FIRST = ""
"""Cursor of a shard of which nothing was read."""


def cursors_of(cursor: str, shards: int) -> Sequence[str]:
    """The cursor of each shard, in the cursor of a merged page."""
    return cursor.split(SEPARATOR) if cursor else [FIRST] * shards


class MergedPages:
    """Takes jobs from the pages in order, as long as it is known which one comes next."""

    def __init__(
        self, pages: Sequence[Page | None], cursors: Sequence[str], *, descending: bool
    ) -> None:
        """`cursors` are those before the pages; a shard that has ended has none."""
        self.pages = pages
        self.cursors = [at if page else ENDED for page, at in zip(pages, cursors, strict=True)]
        self.places = [0] * len(pages)
        self.sign = -1 if descending else 1
        self._heads: list[tuple[int, int]] = []
        """A heap of the next creation number of each shard, signed, and the shard."""
        self._complete = True

    def page(self, limit: int) -> Page:
        """At most `limit` jobs."""
        jobs = list(self._jobs(limit))
        total = sum(page.total for page in self.pages if page)
        ended = all(at == ENDED for at in self.cursors)
        return Page(total, "" if ended else SEPARATOR.join(self.cursors), jobs)

    def _jobs(self, limit: int) -> Iterator[StoredJob]:
        for shard in range(len(self.pages)):
            self._look(shard)
        for _ in range(limit):
            if not self._complete or not self._heads:
                return
            signed, shard = heapq.heappop(self._heads)
            page = self.pages[shard]
            assert page  # noqa: S101 - it had a head
            yield page.jobs[self.places[shard]]
            self.places[shard] += 1
            self.cursors[shard] = str(self.sign * signed)
            self._look(shard)

    def _look(self, shard: int) -> None:
        """At the next job of the shard: another one may only be taken when it is known."""
        page, place = self.pages[shard], self.places[shard]
        if page is None:
            return
        if place < len(page.jobs):
            seq = seq_of(page.jobs[place].record)
            heapq.heappush(self._heads, (self.sign * seq, shard))
        elif page.cursor:
            self.cursors[shard] = page.cursor
            self._complete = False
        else:
            self.cursors[shard] = ENDED
