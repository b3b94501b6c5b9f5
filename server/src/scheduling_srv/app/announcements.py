"""Calls that wait until their change is on Kafka."""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Iterable, Sequence
from itertools import count

from scheduling_srv.app.gathering import Gathering
from scheduling_srv.app.ports import Receipt
from scheduling_srv.domain.errors import FailedPrecondition, OutcomeUnknown

ANNOUNCE_TIMEOUT_SECONDS = 20.0
"""Seconds that a call waits for its announcement; its own deadline may be shorter."""
MOST_GONE = 1_000
"""Calls that have given up and are still remembered, at least."""
MOST_REFUSED = 1_000
"""Refused jobs that are remembered, at least, for the calls that wait for them."""
LOST = "Redis has lost writes: whether the change was kept is not known."


class Announcements:
    """How far a shard has published, as far as this replica knows, and the calls that wait."""

    def __init__(self) -> None:
        self.lineage = ""
        self.number = 0
        self.gathering = Gathering()
        self._order = count()
        self._waiting: list[tuple[int, int, str, asyncio.Future[None]]] = []
        self._gone = 0
        self._refused: dict[str, tuple[str, int, str]] = {}
        """Job id -> lineage and number of the entry that Kafka refuses, and a sentence."""

    @property
    def waiting(self) -> bool:
        """Whether any call waits."""
        return bool(self._waiting)

    async def wait(self, receipt: Receipt, floor: int = 0) -> None:
        """Return when the change is published.

        `floor` is `number` as it was before the change. A receipt below it comes from a Redis that
        has lost published entries. Raises `OutcomeUnknown` then, and if the store is rebuilt
        meanwhile. Cancel it to give up.
        """
        if receipt.lineage == self.lineage and receipt.number < floor:
            raise OutcomeUnknown(LOST)
        if receipt.lineage == self.lineage and receipt.number <= self.number:
            return
        future = asyncio.get_running_loop().create_future()
        place = (receipt.number, next(self._order), receipt.lineage, future)
        heapq.heappush(self._waiting, place)
        try:
            await future
        except asyncio.CancelledError:
            self._forget_one()
            raise

    def refused(self, news: str) -> None:
        """Kafka refuses jobs: their change was undone. `news` comes from `dump_news`."""
        lineage, sentence, jobs = json.loads(news)
        if len(self._refused) > MOST_REFUSED:
            self._refused.clear()
        for number, job_id in jobs:
            self._refused[job_id] = (lineage, number, sentence)

    def check(self, receipt: Receipt, floor: int, ids: Iterable[str]) -> None:
        """Raises `FailedPrecondition` if one of these jobs is refused. After `wait`."""
        if not self._refused:
            return
        for job_id in ids:
            lineage, number, sentence = self._refused.get(job_id, ("", 0, ""))
            if lineage == receipt.lineage and floor < number <= receipt.number:
                raise FailedPrecondition(f"{sentence} Nothing of the request was kept.")

    def _forget_one(self) -> None:
        """While Kafka is away more and more calls give up: remove them now and then."""
        self._gone += 1
        if self._gone > max(MOST_GONE, len(self._waiting) // 2):
            self._waiting = [place for place in self._waiting if not place[-1].done()]
            heapq.heapify(self._waiting)
            self._gone = 0

    def published(self, lineage: str, number: int) -> None:
        """All up to `number` is on Kafka."""
        if lineage != self.lineage:
            self._begin(lineage)
        self.number = max(self.number, number)
        early, answered = [], 0
        while self._waiting and self._waiting[0][0] <= self.number:
            place = heapq.heappop(self._waiting)
            *_, promised, future = place
            if promised != lineage:
                early.append(place)  # of a rebuilt store that has not been heard of here
            elif not future.done():
                future.set_result(None)
                answered += 1
        for place in early:
            heapq.heappush(self._waiting, place)
        self.gathering.published(lineage, self.number, answered)

    def _begin(self, lineage: str) -> None:
        """Numbers of another lineage do not count for the calls that wait."""
        self.lineage, self.number = lineage, 0
        kept = []
        for place in self._waiting:
            *_, promised, future = place
            if promised == lineage:
                kept.append(place)
            elif not future.done():
                future.set_exception(OutcomeUnknown(LOST))
        heapq.heapify(kept)
        self._waiting = kept


def dump_news(lineage: str, jobs: Sequence[tuple[int, str]], sentence: str) -> str:
    """Refused jobs as the owner tells them to all replicas; `jobs`: entry numbers and ids."""
    return json.dumps([lineage, sentence, jobs])
