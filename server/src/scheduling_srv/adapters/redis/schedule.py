"""The owner's side of a shard in Redis: staging, planning, time-outs, the outbox and the lease."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.jobs import bounds
from scheduling_srv.adapters.redis.namespace import note_shards
from scheduling_srv.adapters.redis.replies import checked, owned
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.format_ports import Raised, RaiseVerdict
from scheduling_srv.app.replies import (
    Aside,
    Counts,
    Cursor,
    Ended,
    Expired,
    GivenUp,
    Holder,
    Instants,
    ListPiece,
    Parcel,
    Planned,
    Progress,
    RebuiltJob,
    RebuiltRun,
    ShardState,
    Staged,
    StagedRun,
    Taken,
    Unplanned,
)
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.formats.kafka_records import JournalBackfill, JournalCount, JournalPause
from scheduling_srv.formats.layouts import MEMBER, MISSED, NEXT
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.versions import WRITES

LOOK_BYTES = 4_000_000
"""Of entries that one call looks through."""
KEPT = (
    *("meta", "lease", "restores", "removed"),
    *("outages", "owners", "pauses", "farewells"),
)
"""What a rebuild leaves: who does it, what was ordered, and logs of the past."""


def _instant(text: bytes) -> int | None:
    return int(text) if text else None


def _taken(reply: Sequence[Any]) -> Taken:
    after, waiting, size, *entries = reply
    return Taken(int(after), entries, waiting, size)


class RedisSchedule:
    """Implements `Schedule`, `Outbox`, `Lease` and `ShardStore` for one shard."""

    def __init__(
        self,
        client: RedisClient,
        namespace: str,
        shard: int,
        rules: ShardRules,
        *,
        shards: int = 1,
    ) -> None:
        self.client = client
        self.scripts = Scripts(client, namespace, shard, shards)
        self.namespace = namespace
        self.base = keys.prefix(namespace, shard)
        self.rules = rules
        self.shards = shards

    async def stage(
        self, token: str, now: int, limit: int, cursor: Cursor | None = None, lead: int = 0
    ) -> Staged:
        """`stage.lua`."""
        rules = self.rules
        outbox = bounds(rules.outbox_limit, rules.outbox_bytes)
        named: dict[str, Value] = {
            "token": token,
            "now": now,
            "lead": lead,
            "limit": limit,
            "window": rules.catch_up_window,
            "missed": rules.missed_runs,
            "bounds": outbox,
        }
        if cursor:
            named |= self._wanted(cursor)
        reply = owned(await self.scripts.run("stage", **named))
        if reply[0] == b"full":
            return Staged(full=True)
        _, entries, size, unplanned, next_due, oldest, deadline, *taken = reply
        return Staged(
            full=False,
            entries=entries,
            size=size,
            unplanned=unplanned,
            next_due=_instant(next_due),
            oldest_start=_instant(oldest),
            deadline=_instant(deadline),
            taken=_taken(taken) if cursor else None,
        )

    async def unplanned(self, token: str, limit: int) -> tuple[Instants, Sequence[Unplanned]]:
        """`unplanned.lua`."""
        reply = owned(await self.scripts.run("unplanned", token=token, most=limit))
        _, cutoff, resumed_at, now, *jobs = reply
        rows = zip(*(jobs[column::4] for column in range(4)), strict=True)
        kind = MEMBER.before("kind")
        found = [
            Unplanned(text, int(at), text[kind] == MISSED, record, _instant(since))
            for text, at, record, since in rows
        ]
        return Instants(int(cutoff), int(resumed_at), int(now)), found

    async def plan(self, token: str, planned: Sequence[Planned], now: int) -> int:
        """`plan.lua`."""
        rows: list[Value] = []
        for job in planned:
            due: Value = "" if job.due is None else job.due
            rows += (job.member, "aside" if job.aside else due, MISSED if job.settled else NEXT)
            rows.append(" ".join(map(str, job.lapse)) if job.lapse else "")
        aside: int = owned(await self.scripts.run("plan", rows, token=token, now=now))[1]
        return aside

    async def plan_again(self, token: str) -> int:
        """`plan_again.lua`."""
        aside: int = owned(await self.scripts.run("plan_again", token=token))[1]
        return aside

    async def expire(self, token: str, now: int, limit: int) -> Expired:
        """`expire.lua`."""
        rules = self.rules
        found = owned(
            await self.scripts.run(
                "expire",
                token=token,
                now=now,
                timeout=rules.completion_timeout,
                cap=rules.max_backoff,
                most=rules.waiting_retries,
                limit=limit,
            )
        )
        _, looked_at, expired, runs, job, *ended = found
        return Expired(looked_at, expired, GivenUp(runs, job), Ended(*ended))

    async def take(self, token: str, cursor: Cursor, now: int) -> Taken:
        """`take.lua`."""
        named = self._wanted(cursor)
        return _taken(owned(await self.scripts.run("take", token=token, now=now, **named))[1:])

    def _wanted(self, cursor: Cursor) -> dict[str, Value]:
        return {
            "published": cursor.published,
            "known": cursor.lineage,
            "ahead": cursor.ahead,
            "most": self.rules.batch_records,
            "most_bytes": self.rules.batch_bytes,
        }

    async def find_runs(
        self, token: str, after: int, jobs: Sequence[tuple[bytes, int]]
    ) -> Sequence[StagedRun]:
        """`find_runs.lua`, in pieces."""
        found: list[StagedRun] = []
        wanted = [value for job_id, seq in jobs for value in (job_id, seq)]
        while after >= 0:
            named: dict[str, Value] = {"token": token, "first": after + 1, "most_bytes": LOOK_BYTES}
            _, following, *rows = owned(await self.scripts.run("find_runs", wanted, **named))
            for at in range(0, len(rows), 7):
                number, job_id, letter, *more = rows[at : at + 7]
                seq, instance, nominal, attempt = map(int, more)
                run = StagedRun(int(number), job_id, seq, instance, nominal, attempt, letter[0])
                found.append(run)
            after = int(following) - 1 if following else -1
        return found

    async def set_aside(self, token: str, lineage: str, aside: Aside, now: int) -> None:
        """`set_aside.lua`."""
        rows: list[Value] = [len(aside.replaced)]
        for number, was, entry in aside.replaced:
            rows += (number, bytes((was,)), entry)
        rows.append(len(aside.undone))
        for job_id, seq in aside.undone:
            rows += (job_id, seq)
        rows.append(len(aside.kept))
        for job_id, parcel in aside.kept:
            rows += (job_id, parcel)
        rows += (len(aside.before), *aside.before, len(aside.ended))
        for run, farewell in aside.ended:
            rows += (*run[1:6], farewell)
        rows += (len(aside.appended), *aside.appended)
        named: dict[str, Value] = {"token": token, "known": lineage, "now": now, "news": aside.news}
        owned(await self.scripts.run("set_aside", rows, **named))

    async def acquire(self, owner: str, *, dead: str = "") -> str | None:
        """`acquire.lua`."""
        token = await self.scripts.run("acquire", owner=owner, lease=self.rules.lease, dead=dead)
        return token.decode() or None

    async def holder(self) -> Holder | None:
        """`holder.lua`."""
        token, left, gone = await self.scripts.run("holder")
        return Holder(token.decode(), left, gone == b"1") if token else None

    async def renew(self, token: str, *, emitting: bool) -> None:
        """`renew.lua`."""
        owned(
            await self.scripts.run(
                "renew", token=token, lease=self.rules.lease, working=int(emitting)
            )
        )

    async def release(self, token: str) -> None:
        """`renew.lua` with no time left."""
        owned(await self.scripts.run("renew", token=token, lease=0, working=0))

    async def progress(self) -> Progress:
        """`progress.lua`."""
        working, oldest_due, waiting, idle = checked(await self.scripts.run("progress"))
        return Progress(working == b"1", _instant(oldest_due), waiting, idle)

    async def counts(self, types: Sequence[str]) -> Counts:
        """`counts.lua`."""
        jobs, waiting, retries, held, unanswered, *of_types = checked(
            await self.scripts.run("counts", types)
        )
        by_type = dict(zip(types, of_types, strict=True))
        return Counts(jobs, waiting, retries, held, unanswered, by_type)

    async def state(self) -> ShardState:
        """`state.lua`."""
        reply = await self.scripts.run("state")
        ready, *names, trimmed, taken, version, compared = reply[:8]
        incarnation, origin, lineage = (name.decode() for name in names)
        return ShardState(
            ready == b"1",
            incarnation,
            origin,
            lineage,
            trimmed,
            taken,
            refused=[news.decode() for news in reply[8:]],
            format=version,
            compared=compared == 1,
        )

    async def note_compared(self, token: str, lineage: str) -> None:
        """`compared.lua`."""
        owned(await self.scripts.run("compared", token=token, known=lineage))

    async def note_format(self, writes: int) -> int:
        """`format.lua`; returns the format that was noted before. Raises `NewerData`."""
        before: int = await self.scripts.run("format", writes=writes)
        return before

    async def raise_format(self, token: str, writes: int, *, looks: bool = False) -> Raised:
        """`raise.lua`."""
        raises = "0" if looks else "1"
        reply = await self.scripts.run("raise", token=token, writes=writes, raises=raises)
        _, verdict, older = owned(reply)
        return Raised(RaiseVerdict(verdict.decode()), older.decode())

    async def note_backlog(self, token: str) -> None:
        """`behind.lua`."""
        owned(await self.scripts.run("behind", token=token))

    async def initialise(
        self, token: str, position: Position, now: int, *, origin: str = "", jump: int = 0
    ) -> str:
        """`initialise.lua`."""
        positions = position.positions()
        inputs = json.dumps({name: at.pack() for name, at in positions.items()})
        lineage: bytes = owned(
            await self.scripts.run(
                "initialise",
                token=token,
                incarnation=position.incarnation,
                origin=origin,
                published=position.number,
                seq=position.seq + jump,
                instance=position.instance,
                reset=position.reset,
                cleared=position.cleared,
                watermark=position.at,
                format=max(position.format, WRITES),
                inputs=inputs,
                now=now,
            )
        )
        return lineage.decode()

    async def mark_inputs(self, token: str, now: int) -> None:
        """`mark_inputs.lua`."""
        owned(await self.scripts.run("mark_inputs", token=token, now=now))

    async def begin_rebuild(self, token: str, stored: int = 0) -> None:
        """`unready.lua`, then `drop.lua` for every key but those in `KEPT`, in pieces."""
        owned(await self.scripts.run("unready", token=token, stored=stored))
        keep = {(self.base + name).encode() for name in KEPT}
        cursor: bytes | int = 0
        while True:
            cursor, found = await self.client.on_primary(
                "SCAN", cursor, "MATCH", _literal(self.base) + "*", "COUNT", 1000
            )
            if doomed := [key for key in found if key not in keep]:
                owned(await self.scripts.run("drop", doomed, token=token))
            if int(cursor) == 0:
                return

    async def load_jobs(self, token: str, jobs: Sequence[RebuiltJob]) -> int:
        """`load_jobs.lua`, which ends early if the jobs of before are large."""
        more = at = 0
        while True:
            rows: list[Value] = []
            for job in jobs[at:]:
                rows += (job.id, "" if job.due is None else job.due, job.record)
            done, added = owned(await self.scripts.run("load_jobs", rows, token=token))
            more, at = more + added, at + done
            if at >= len(jobs):
                return int(more)

    async def load_counts(self, token: str, counts: Sequence[JournalCount]) -> int:
        """`load_states.lua`."""
        rows: list[Value] = [value for count in counts for value in count]
        loaded: int = owned(await self.scripts.run("load_states", rows, token=token))
        return loaded

    async def load_pauses(self, token: str, pauses: Sequence[JournalPause]) -> int:
        """`load_pauses.lua`."""
        rows: list[Value] = [value for pause in pauses for value in pause]
        loaded: int = owned(await self.scripts.run("load_pauses", rows, token=token))
        return loaded

    async def load_replayed(self, token: str, letters: Sequence[str]) -> int:
        """`load_replayed.lua`."""
        loaded: int = owned(await self.scripts.run("load_replayed", letters, token=token))
        return loaded

    async def load_backfills(self, token: str, backfills: Sequence[JournalBackfill]) -> int:
        """`load_backfills.lua`."""
        rows: list[Value] = [value for backfill in backfills for value in backfill]
        loaded: int = owned(await self.scripts.run("load_backfills", rows, token=token))
        return loaded

    async def load_runs(self, token: str, runs: Sequence[RebuiltRun]) -> int:
        """`load_runs.lua`, which ends early if the jobs of retries are large."""
        loaded = at = 0
        while True:
            rows: list[Value] = []
            for run in runs[at:]:
                due: Value = "" if run.due is None else run.due
                rows += (run.job_id, run.seq, run.nominal, run.attempt)
                rows += (run.type, run.instance, run.start, due, int(run.timed), run.origin)
            done, added = owned(await self.scripts.run("load_runs", rows, token=token))
            loaded, at = loaded + added, at + done
            if at >= len(runs):
                return int(loaded)

    async def load_piece(self, token: str, piece: ListPiece) -> None:
        """`load_piece.lua`."""
        named: dict[str, Value] = {
            "lease": token,
            "token": piece.token,
            "piece": piece.number,
            "value": piece.value,
        }
        owned(await self.scripts.run("load_piece", **named))

    async def load_parcel(self, token: str, parcel: Parcel, ids: Sequence[str]) -> None:
        """`load_parcel.lua`."""
        named: dict[str, Value] = {"token": token, "name": parcel.name, "value": parcel.value}
        owned(await self.scripts.run("load_parcel", ids, **named))

    async def note_shards(self) -> None:
        """It is of no shard, so no script of one may touch it."""
        await note_shards(self.client, self.namespace, self.shards)


def _literal(text: str) -> str:
    return "".join("\\" + char if char in "*?[]\\" else char for char in text)
