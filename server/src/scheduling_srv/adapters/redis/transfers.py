"""What shards hand to one another: the typed side of claim, commit and parcels."""

from __future__ import annotations

import json
from collections.abc import Sequence

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.jobs import bounds, origin
from scheduling_srv.adapters.redis.replies import checked
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import Receipt, Source
from scheduling_srv.app.replies import Claimed, Held, Parcel
from scheduling_srv.app.shard_rules import DEFAULTS
from scheduling_srv.domain.errors import KEY_TAKEN, RepeatedRequest, UniqueKeyTaken, Violation
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.changes import Change, moves, pack

PIECE = 100
"""Jobs of one look."""


class RedisTransfers:
    """Implements `Transfers` for one shard."""

    def __init__(
        self,
        client: RedisClient,
        namespace: str,
        shard: int,
        shards: int,
        *,
        outbox_limit: int,
        outbox_bytes: int = DEFAULTS.outbox_bytes,
    ) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)
        self.outbox_limit = outbox_limit
        self.outbox_bytes = outbox_bytes

    async def claim(self, token: str, ids: Sequence[str], lasts: int) -> Claimed:
        """`claim.lua`."""
        reply = await self.scripts.run("claim", ids, token=token, lasts=lasts)
        if reply[0] in (b"claimed", b"moving"):
            return Claimed(reply[0].decode())
        lineage, *kinds = checked(reply)
        return Claimed("ok", kinds, lineage.decode())

    async def unclaim(self, token: str, ids: Sequence[str]) -> None:
        """`unclaim.lua`."""
        await self.scripts.run("unclaim", ids, token=token)

    async def may_have_elapsed(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        """`elapsed.lua`."""
        found: list[bool] = []
        for start in range(0, len(jobs), PIECE):
            rows: list[Value] = []
            for job in jobs[start : start + PIECE]:
                rows += (job.id, job.due, job.record)
            reply = checked(await self.scripts.run("elapsed", rows))
            found += [bool(may) for may in reply]
        return found

    async def commit(
        self,
        change: Change,
        now: int,
        held: Held | None = None,
        source: Source | None = None,
        *,
        request: str = "",
    ) -> Receipt | None:
        """`commit.lua`."""
        decided = source is not None and source.partition.startswith("@")
        bounded = not decided and _takes_in(change)  # deletes go on, as in one shard
        limit = bounds(self.outbox_limit, self.outbox_bytes) if bounded else ""
        ours = [*change.removed, *(job.id for job in change.put)]
        token, claimed = held or ("", ours if decided else ())
        rows: list[Value] = [len(claimed), *claimed, len(change.removed), *change.removed]
        rows.append(len(change.put))
        for job in change.put:
            rows += (job.id, job.due, job.record)
        rows += (len(change.places), *change.places)
        rows += (len(change.put), *(_kept(change, job.id) for job in change.put))
        leaving = {*change.removed}
        for each in change.then:
            ids, packed = list(each.ids()), pack(each)
            rows += (packed, len(ids), *ids)
            moved = list(moves(each, packed, leaving))
            rows.append(len(moved))
            for move in moved:
                rows += move
        named = {
            "now": now,
            **origin(source),
            "bounds": limit,
            "claims": token,
            "request": request,
            "base": change.base or "",
            "total": change.size(),
        }
        reply = await self.scripts.run("commit", rows, **named)
        if reply[0] == b"unclaimed":
            return None
        if reply[0] == b"known":
            raise RepeatedRequest(request)
        if reply[0] == b"unique":
            raise UniqueKeyTaken(KEY_TAKEN, [Violation("unique_key", KEY_TAKEN)])
        number, lineage = checked(reply)
        return Receipt(lineage.decode(), number)

    async def parcels(self) -> Sequence[Parcel]:
        """`parcels.lua`."""
        found = checked(await self.scripts.run("parcels"))
        rows = zip(found[::3], found[1::3], found[2::3], strict=True)
        parcels = [Parcel(name.decode(), value, known == b"1") for name, known, value in rows]
        return sorted(parcels, key=lambda parcel: int(parcel.name))

    async def delivered(self, name: str, ids: Sequence[str]) -> None:
        """`delivered.lua`."""
        checked(await self.scripts.run("delivered", ids, name=name))


def _kept(change: Change, job_id: str) -> str:
    kept = change.kept.get(job_id)
    return json.dumps(kept) if kept else ""


def _takes_in(change: Change) -> bool:
    """Whether it brings jobs, and not only removes them."""
    return bool(change.put) or any(_takes_in(each) for each in change.then)
