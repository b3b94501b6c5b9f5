"""Backfills in Redis: the typed side of backfill_begin, backfills and backfill."""

from __future__ import annotations

import json
from collections.abc import Sequence

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.jobs import bounds
from scheduling_srv.adapters.redis.replies import checked, owned
from scheduling_srv.adapters.redis.run_control import OLD_FORMAT
from scheduling_srv.adapters.redis.run_rows import run_in, values_of
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.run_control_ports import BackfillVerdict, NewBackfill, OpenBackfill
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import FormatTooOld
from scheduling_srv.domain.run_control import Backfilled
from scheduling_srv.formats import job_record

ROW = 5
"""Values of a backfill in a reply."""
REFUSALS = {each.value.encode(): each for each in BackfillVerdict if each != BackfillVerdict.BEGUN}


class RedisBackfills:
    """Implements `BackfillStore` for one shard."""

    def __init__(
        self, client: RedisClient, namespace: str, shard: int, rules: ShardRules, shards: int = 1
    ) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)
        self.rules = rules

    @property
    def _outbox(self) -> str:
        return bounds(self.rules.outbox_limit, self.rules.outbox_bytes)

    async def begin(
        self, asked: NewBackfill, request: str
    ) -> tuple[BackfillVerdict, Receipt, Backfilled]:
        """`backfill_begin.lua`."""
        first = asked.plan.first
        reply = await self.scripts.run(
            "backfill_begin",
            bounds=self._outbox,
            id=asked.job_id,
            seq=asked.seq,
            next=first.nominal if first else asked.until,
            until_ms=asked.until,
            limit=asked.limit,
            request=request,
            answer=_answer_of(asked.plan),
        )
        if reply[0] == b"old":
            raise FormatTooOld(OLD_FORMAT)
        if reply[0] in REFUSALS:
            return REFUSALS[reply[0]], Receipt("", 0), asked.plan
        number, lineage, answer = checked(reply)
        return BackfillVerdict.BEGUN, Receipt(lineage.decode(), number), _plan_in(answer)

    async def open_backfills(self, token: str) -> Sequence[OpenBackfill]:
        """`backfills.lua`."""
        _, *rows = owned(await self.scripts.run("backfills", token=token))
        return [
            OpenBackfill(job_id.decode(), record, *map(int, numbers))
            for job_id, record, *numbers in (rows[at : at + ROW] for at in range(0, len(rows), ROW))
        ]

    async def fill(
        self, token: str, at: OpenBackfill, following: int | None, nominals: Sequence[int], now: int
    ) -> bool:
        """`backfill.lua`."""
        named: dict[str, Value] = {
            "token": token,
            "now": now,
            "bounds": self._outbox,
            "id": at.job_id,
            "seq": job_record.seq(at.record),
            "expected": at.next,
            "following": "" if following is None else following,
        }
        reply = owned(await self.scripts.run("backfill", [*nominals], **named))
        return bool(reply[0] == b"ok")


def _answer_of(plan: Backfilled) -> str:
    """As it is kept for a repetition of the request."""
    return json.dumps([plan.runs, *(end and values_of(end) for end in (plan.first, plan.last))])


def _plan_in(answer: bytes) -> Backfilled:
    runs, *ends = json.loads(answer)
    return Backfilled(runs, *(end and run_in(end) for end in ends))
