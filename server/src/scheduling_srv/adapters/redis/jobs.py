"""Living jobs in Redis: the typed side of write, delete, clear, put_back and page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.caller_limits import within_argument
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.replies import checked, owned
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.destructive import note_cleared, note_reset
from scheduling_srv.app.ports import (
    MAX_RESTORES,
    Answered,
    Page,
    Receipt,
    Refusal,
    Source,
    WriteGroup,
    Written,
)
from scheduling_srv.app.positions import Start
from scheduling_srv.app.replies import Ended, GivenUp, Span
from scheduling_srv.app.shard_rules import DEFAULTS
from scheduling_srv.domain.errors import Contended
from scheduling_srv.domain.job import Answer, NewJob, StoredJob
from scheduling_srv.domain.limits import Limits
from scheduling_srv.formats.positions import InputPosition, Place
from scheduling_srv.runtime import points
from scheduling_srv.runtime.failpoints import reached

PIECE = 1000
"""Jobs that one call may touch when the whole need not be atomic."""
SEPARATOR = "\0"
"""Between partitions in one argument."""
PIECE_BYTES = 4_000_000
"""Bytes after which one answer of Redis holds no further jobs."""
MOST_LOOKS = 2_000
"""Entries of the order of creation that one page looks at: of one creator there may be few."""
RETRIES_PIECE = 500
"""Waiting retries of jobs that are gone, removed in one call."""
RETRIES_AHEAD = 1_000
"""Entries of the outbox with which their removal waits: other announcements go first."""


def bounds(entries: int, size: int) -> str:
    """What the outbox may hold, as `is_full` in `lua/lib/outbox.lua` reads it."""
    return f"{entries}/{size}"


def _receipt(reply: Sequence[Any]) -> Receipt:
    return Receipt(reply[1].decode(), reply[0])


def origin(source: Source | None) -> dict[str, Value]:
    """The arguments that say which record a change comes from, and where it goes on after it.

    Of several partitions each holds all of them, with NUL between.
    """
    if source is None:
        return {**expected(None), "position": 0}
    position = SEPARATOR.join(_behind(each) for each in (source, *source.others))
    return {**expected(source), "position": position}


def expected(source: Source | None) -> dict[str, Value]:
    """Those of `origin` that say where the consumer believes the store to be."""
    if source is None:
        return {"partition": "", "expected": 0, "known": ""}
    every = (source, *source.others)
    return {
        "partition": SEPARATOR.join(each.partition for each in every),
        "expected": SEPARATOR.join(str(each.stored) for each in every),
        "known": source.lineage,
    }


def _behind(source: Source) -> str:
    return InputPosition(source.next, source.stamp, source.topic_id).pack()


def _ends(groups: Sequence[WriteGroup], source: Source | None) -> Sequence[tuple[Value, Value]]:
    """For each group its partition, and the position behind it."""
    if source is None:
        return [("", "")] * len(groups)
    ids = {each.partition: each.topic_id for each in (source, *source.others)}
    return [
        (
            name := group.partition or source.partition,
            InputPosition(group.offset + 1, group.stamp, ids[name]).pack(),
        )
        for group in groups
    ]


def _kind(answer: Answer) -> str:
    return "f" if answer.failed else "h" if answer.heartbeat else "d"


def _retry(answer: Answer) -> Value:
    return "final" if answer.final else answer.retry_after or ""


class RedisJobStore:
    """Implements `JobStore` and `InputStore` for one shard."""

    def __init__(
        self,
        client: RedisClient,
        namespace: str,
        shard: int,
        *,
        client_id: str,
        max_backoff: int,
        outbox_limit: int,
        outbox_bytes: int = DEFAULTS.outbox_bytes,
        waiting_retries: int = DEFAULTS.waiting_retries,
        completion_timeout: int = DEFAULTS.completion_timeout,
        shards: int = 1,
    ) -> None:
        self.client = client
        self.scripts = Scripts(client, namespace, shard, shards)
        self.shard = shard
        self.base = keys.prefix(namespace, shard)
        self.client_id = client_id
        self.max_backoff = max_backoff
        self.outbox_limit = outbox_limit
        self.outbox_bytes = outbox_bytes
        self.waiting_retries = waiting_retries
        self.completion_timeout = completion_timeout

    @property
    def _outbox(self) -> str:
        return bounds(self.outbox_limit, self.outbox_bytes)

    async def write(
        self, groups: Sequence[WriteGroup], now: int, source: Source | None = None
    ) -> Written:
        """`write.lua`."""
        rows: list[Value] = []
        for group, end in zip(groups, _ends(groups, source), strict=True):
            rows += (group.mode, *end, int(bool(group.named)) + 2 * group.has_keys)
            rows += (group.request, group.seq, len(group.jobs))
            for job in group.jobs:
                rows += (job.id, job.due, job.record)
        named = {"now": now, **expected(source), "bounds": self._outbox}
        reply = checked(await self.scripts.run("write", rows, **named))
        verdicts = reply[2:]
        refusals = [
            None if reason == b"ok" else Refusal(reason.decode(), place - 1)
            for reason, place in zip(verdicts[::2], verdicts[1::2], strict=True)
        ]
        return Written(_receipt(reply), refusals)

    async def delete(
        self,
        ids: Sequence[str],
        now: int,
        source: Source | None = None,
        within: Limits | None = None,
    ) -> tuple[Receipt, int]:
        """`delete.lua`."""
        named = {"now": now, **origin(source), "within": within_argument(within)}
        reply = checked(await self.scripts.run("delete", ids, **named))
        return _receipt(reply), reply[2]

    async def clear(
        self,
        now: int,
        source: Source | None = None,
        entries: Sequence[bytes] = (),
        *,
        announced: bool,
    ) -> Receipt:
        """`clear.lua`, then the sweep."""
        mark = "cleared" if announced else "reset"
        await reached(points.CLEAR_CALL)
        reply = checked(
            await self.scripts.run("clear", entries, now=now, mark=mark, **origin(source))
        )
        _, _, jobs, runs = reply
        if announced:
            note_cleared(self.shard, jobs)
        else:
            note_reset(self.shard, jobs, runs)
        await reached(points.CLEAR_DONE)
        # A caller that gives up must not leave the rest; after a crash the owner sweeps it.
        return await asyncio.shield(asyncio.ensure_future(self.sweep())) or _receipt(reply)

    async def sweep(self) -> Receipt | None:
        """`sweep.lua` and `sweep_now.lua`, piece by piece."""
        receipt, more = None, b"1"
        while more == b"1":
            reply = checked(await self.scripts.run("sweep", most=PIECE))
            receipt, more = _receipt(reply), reply[3]
            await reached(points.SWEEP_PIECE)
        cursor = b"0"
        while True:
            cursor = checked(await self.scripts.run("sweep_now", cursor=cursor))[0]
            if cursor == b"0":
                return receipt

    async def sweep_retries(self) -> bool:
        """`sweep_retries.lua`."""
        _, left = checked(
            await self.scripts.run("sweep_retries", most=RETRIES_PIECE, most_entries=RETRIES_AHEAD)
        )
        return bool(left)

    async def get(self, ids: Sequence[str]) -> Sequence[StoredJob | None]:
        """`get.lua`."""
        piece = ids[:PIECE]
        records = checked(await self.scripts.run("get", piece, bytes=PIECE_BYTES))
        return [
            StoredJob(job_id.encode(), record) if record else None
            for job_id, record in zip(piece, records, strict=False)
        ]

    async def page(self, creator: str, *, descending: bool, cursor: str, limit: int) -> Page:
        """`page.lua`."""
        order = "desc" if descending else "asc"
        reply = checked(
            await self.scripts.run(
                "page",
                creator=creator,
                order=order,
                cursor=cursor,
                limit=limit,
                bytes=PIECE_BYTES,
                looks=MOST_LOOKS,
            )
        )
        jobs = [StoredJob(*pair) for pair in zip(reply[2::2], reply[3::2], strict=True)]
        return Page(reply[0], reply[1].decode(), jobs)

    async def complete(self, answers: Sequence[Answer], now: int, source: Source) -> Answered:
        """`complete.lua`."""
        rows: list[Value] = []
        moves = (source, *source.others)
        places = {each.partition: place for place, each in enumerate(moves, start=1)}
        for answer in answers:
            place = places.get(answer.partition, 1)
            rows += (answer.instance, _kind(answer), place, answer.next or source.next)
            rows += (answer.error, _retry(answer), answer.occurrence)
        named = {
            "now": now,
            **origin(source),
            "timeout": self.completion_timeout,
            "cap": self.max_backoff,
            "most": self.waiting_retries,
        }
        looked_at, known, runs, job, *ended = checked(
            await self.scripts.run("complete", rows, **named)
        )
        return Answered(looked_at, known, GivenUp(runs, job), Ended(*ended))

    async def append(
        self, entries: Sequence[bytes], now: int, source: Source | None = None
    ) -> Receipt:
        """`append.lua`."""
        named = {"now": now, **origin(source), "bounds": self._outbox}
        return _receipt(checked(await self.scripts.run("append", entries, **named)))

    async def positions(self) -> tuple[str, Mapping[str, InputPosition]]:
        """`positions.lua`."""
        lineage, inputs, texts = checked(await self.scripts.run("positions"))
        origins = dict(zip(texts[::2], texts[1::2], strict=True))
        positions = {
            name.decode(): InputPosition.of(int(offset), origins.get(name, b"").decode())
            for name, offset in zip(inputs[::2], inputs[1::2], strict=True)
        }
        return lineage.decode(), positions

    async def set_positions(self, starts: Sequence[Start], lineage: str, now: int) -> None:
        """`set_positions.lua`."""
        rows: list[Value] = []
        for start in starts:
            before: Value = "" if start.before is None else start.before
            rows += (start.partition, before, start.to.pack())
        checked(await self.scripts.run("set_positions", rows, known=lineage, now=now))

    async def forget(self, positions: Mapping[Place, int], lineage: str, now: int) -> None:
        """`forget_inputs.lua`, and what was shown of them."""
        rows: list[Value] = []
        for place, offset in positions.items():
            rows += (place.name, offset)
        checked(await self.scripts.run("forget_inputs", rows, known=lineage, now=now))
        shown = [keys.offset(self.client_id, *place) for place in positions]
        await self.client.execute("DEL", *shown)

    async def last_seq(self) -> int:
        """From the meta hash."""
        return int(await self.client.on_primary("HGET", self.base + "meta", "seq") or 0)

    async def show_offsets(self, offsets: Mapping[Place, int]) -> None:
        """`SET {client_id}:{topic}` of each (docs/contract.md)."""
        pairs: list[Value] = []
        for place, offset in offsets.items():
            pairs += (keys.offset(self.client_id, *place), str(offset))
        for start in range(0, len(pairs), PIECE):
            await self.client.execute("MSET", *pairs[start : start + PIECE])


class RedisRestores:
    """Implements `Restores` for one shard."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, shards: int = 1) -> None:
        self.client = client
        self.scripts = Scripts(client, namespace, shard, shards)
        self.key = keys.prefix(namespace, shard) + "restores"

    async def begin(
        self, request: str, now: int, source: Source | None, limit: int = MAX_RESTORES
    ) -> Receipt:
        """`restore_begin.lua`."""
        named = {"now": now, **origin(source), "request": request, "most": limit}
        return _receipt(checked(await self.scripts.run("restore_begin", **named)))

    async def count(self) -> int:
        """The number of fields of the hash."""
        return int(await self.client.on_primary("HLEN", self.key))

    async def pending(self) -> Sequence[tuple[str, str]]:
        """The hash, in order of the numbers."""
        found = await self.client.on_primary("HGETALL", self.key)
        pairs = [
            (number.decode(), request.decode())
            for number, request in zip(found[::2], found[1::2], strict=True)
        ]
        return sorted(pairs, key=lambda pair: int(pair[0]))

    async def put_back(
        self, token: str, number: str, jobs: Sequence[NewJob], removed: Sequence[str], span: Span
    ) -> bool:
        """`put_back.lua`, again and again until it has come to the end."""
        while True:
            rows: list[Value] = [*removed]
            for job in jobs:
                rows += (job.id, job.due, job.record)
            answer = owned(
                await self.scripts.run(
                    "put_back",
                    rows,
                    token=token,
                    restore=number,
                    now=span.now,
                    last=span.last,
                    claims=span.claim,
                    removals=len(removed),
                )
            )
            if answer == b"unclaimed":
                msg = "Another call changes a job that is restored: the restore begins again."
                raise Contended(msg)
            if answer == b"void":
                return False
            _, ids_done, jobs_done = answer
            removed, jobs = removed[ids_done:], jobs[jobs_done:]
            if not removed and not jobs:
                return True

    async def end(self, token: str, number: str, entry: bytes) -> None:
        """`restore_end.lua`."""
        owned(await self.scripts.run("restore_end", token=token, restore=number, entry=entry))
