"""Claims on job ids: one call at a time decides where an id lives (docs/decisions/0004)."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from scheduling_srv.app import deadline
from scheduling_srv.app.ports import Transfers
from scheduling_srv.app.replies import LEAVING, Claimed, Held
from scheduling_srv.app.sharding.courier import Courier
from scheduling_srv.domain.errors import Contended, Unavailable

LASTS = 5_000
"""Milliseconds after which a claim of a call that has died is void. A call that is slower does no
harm: its commit finds the claim gone, and it begins again."""
PATIENCE_SECONDS = 15.0
"""Seconds that a call waits for others which claim the same ids."""
CLAIMED_IDS = 500
"""Ids of one call: it reads the jobs that they name."""
PAUSE_SECONDS = 0.01
"""Seconds between attempts, on average."""


class Home(NamedTuple):
    """Where a job lives."""

    shard: int
    kind: int


class Claim(NamedTuple):
    """The right to decide about ids, and what there is to know about them."""

    token: str
    ids: Sequence[str]
    homes: Mapping[str, Home]
    """Of those that exist."""
    leaving: Mapping[str, int]
    """Id -> shard, of those whose removal is stored there and is not on Kafka yet."""
    lineages: Sequence[str]
    """Of the store of each shard, when it answered."""

    def held(self) -> Held:
        """What a commit checks: one id of each call, as all claims of a call end at once."""
        return Held(self.token, self.ids[::CLAIMED_IDS])

    def shards(self) -> dict[str, int]:
        """Id -> shard, of those that exist."""
        return {job_id: home.shard for job_id, home in self.homes.items()}

    def origins(self) -> dict[str, int]:
        """Id -> shard that has to announce a removal before another shard announces the job."""
        return {**self.leaving, **self.shards()}


class Claims:
    """Claims an id in all shards.

    First in shard 0, which decides between two calls, then in the others at once. A commit in any
    shard finds out there whether its claim still holds: whoever has claimed the id since has
    claimed it in that shard as well.
    """

    def __init__(self, transfers: Sequence[Transfers], courier: Courier) -> None:
        self.transfers = transfers
        self.courier = courier

    @asynccontextmanager
    async def held(self, ids: Sequence[str]) -> AsyncIterator[Claim]:
        """Decide about these ids. Raises `Unavailable`: then nothing is claimed for long."""
        token = uuid.uuid4().hex[:12]
        try:
            async with asyncio.timeout(deadline.at_most(PATIENCE_SECONDS)):
                claim = await self._claim(token, ids)
        except TimeoutError as fault:
            await self._give_back(token, ids)
            msg = "Another call changes a job of this id: nothing was changed, send it again."
            raise Contended(msg) from fault
        except BaseException:
            await self._give_back(token, ids)
            raise
        try:
            yield claim
        finally:
            await self._give_back(token, ids)

    async def _claim(self, token: str, ids: Sequence[str]) -> Claim:
        while True:
            began = time.monotonic()
            answers = [await _claim_in(self.transfers[0], token, ids)]
            if answers[0].state == "ok":
                calls = (_claim_in(each, token, ids) for each in self.transfers[1:])
                answers += await asyncio.gather(*calls)
                took = time.monotonic() - began  # all have to be held at one instant
                if took < LASTS / 2000 and all(answer.state == "ok" for answer in answers):
                    return read_answers(token, ids, answers)
            if len(ids) > CLAIMED_IDS or answers[0].state == "ok":  # else nothing was kept
                await self._give_back(token, ids)
            for shard, answer in enumerate(answers):
                if answer.state == "moving":
                    await self.courier.settle(shard)
            await asyncio.sleep(random.uniform(0, 2 * PAUSE_SECONDS))  # noqa: S311 - not a secret

    async def _give_back(self, token: str, ids: Sequence[str]) -> None:
        """Void soon in any case, so nobody has to be told that it did not work."""
        calls = asyncio.gather(*(_unclaim_in(each, token, ids) for each in self.transfers))
        with suppress(Unavailable):
            await asyncio.shield(calls)


async def _claim_in(transfers: Transfers, token: str, ids: Sequence[str]) -> Claimed:
    """All of them, no more than one call may look at in a call."""
    kinds, lineage = list[int](), ""
    for start in range(0, len(ids), CLAIMED_IDS):
        answer = await transfers.claim(token, ids[start : start + CLAIMED_IDS], LASTS)
        if answer.state != "ok":
            return answer  # the caller gives back what it has
        kinds += answer.kinds
        lineage = lineage or answer.lineage
    return Claimed("ok", kinds, lineage)


async def _unclaim_in(transfers: Transfers, token: str, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), CLAIMED_IDS):
        await transfers.unclaim(token, ids[start : start + CLAIMED_IDS])


def read_answers(token: str, ids: Sequence[str], answers: Sequence[Claimed]) -> Claim:
    """The claim that these answers, one of each shard, give."""
    homes, leaving = dict[str, Home](), dict[str, int]()
    for shard, answer in enumerate(answers):
        for job_id, kind in zip(ids, answer.kinds, strict=True):
            if kind >= 0:
                homes[job_id] = Home(shard, kind)
            elif kind == LEAVING:
                leaving[job_id] = shard
    return Claim(token, ids, homes, leaving, [answer.lineage for answer in answers])
