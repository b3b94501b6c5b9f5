"""Changes of single runs in Redis: the typed side of extend, cancel, run_now and recall."""

from __future__ import annotations

import json
from collections.abc import Sequence

from scheduling_srv.adapters.redis.caller_limits import within_argument
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.jobs import bounds
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.run_rows import values_of
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import Receipt
from scheduling_srv.app.run_control_ports import Cancelled, Ran, Step, Target
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.domain.errors import FormatTooOld, TooMany
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.run import RunId, RunOrigin
from scheduling_srv.domain.run_control import Extension, NewRun

OLD_FORMAT = "The stored data has an earlier format, which does not know the runs of a job."

TOO_MANY_WAIT = "{} runs of the job {} wait already: let some of them start or cancel them."


class RedisRunControl:
    """Implements `RunControlStore` for one shard."""

    def __init__(
        self, client: RedisClient, namespace: str, shard: int, rules: ShardRules, shards: int = 1
    ) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)
        self.rules = rules

    async def extend(self, asked: Extension, now: int) -> int | None:
        """`extend.lua`."""
        extension: Value = "" if asked.length is None else asked.length
        reply = await self.scripts.run(
            "extend",
            now=now,
            instance=asked.instance,
            occurrence=asked.occurrence,
            extension=extension,
            timeout=self.rules.completion_timeout,
            within=within_argument(asked.within),
        )
        if reply[0] == b"old":
            raise FormatTooOld(OLD_FORMAT)
        (deadline,) = checked(reply)
        return int(deadline) if deadline else None

    async def cancel(
        self, runs: Sequence[Target], now: int, *, dry_run: bool, within: Limits | None = None
    ) -> Cancelled:
        """`cancel.lua`."""
        rows: list[Value] = []
        for run, instance, attempt in runs:
            rows += (*values_of(run), instance, attempt)
        named: dict[str, Value] = {"now": now, "dry": int(dry_run)}
        named["within"] = within_argument(within)
        reply = await self.scripts.run("cancel", rows, **named)
        if reply[0] == b"old":
            raise FormatTooOld(OLD_FORMAT)
        number, lineage, looked_at, found = checked(reply)
        return Cancelled(Receipt(lineage.decode(), number), looked_at, found)

    async def run(self, step: Step, now: int, request: str, within: Limits | None = None) -> Ran:
        """`run_now.lua`."""
        rules = self.rules
        reply = await self.scripts.run(
            "run_now",
            step.ids,
            now=now,
            bounds=bounds(rules.outbox_limit, rules.outbox_bytes),
            most=rules.waiting_retries,
            request=request,
            extra=json.dumps(step),
            within=within_argument(within),
        )
        if reply[0] == b"old":
            raise FormatTooOld(OLD_FORMAT)
        if reply[0] == b"busy":
            raise TooMany(TOO_MANY_WAIT.format(rules.waiting_retries, reply[1].decode()))
        number, lineage, answer = checked(reply)
        runs = [
            NewRun(RunId(job_id, int(seq), int(nominal), RunOrigin.MANUAL), job_type)
            for job_id, seq, nominal, job_type in json.loads(answer)["runs"]
        ]
        return Ran(Receipt(lineage.decode(), number), runs)

    async def recall(self, request: str) -> Step | None:
        """`recall.lua`."""
        (answer,) = checked(await self.scripts.run("recall", request=request))
        return Step(*json.loads(answer)["extra"]) if answer else None
