"""Lists of jobs in Redis: the typed side of list, list_named, due_list, show and index_older."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.replies import checked, owned
from scheduling_srv.adapters.redis.scripts import Scripts
from scheduling_srv.app.ports import ListedJob, ListedPage, Walk
from scheduling_srv.domain.job import StoredJob
from scheduling_srv.domain.job_filter import JobFilter, JobState

SCRIPTS = {
    Walk.CREATED: "list",
    Walk.NEWEST: "list",
    Walk.NEXT_DUE: "due_list",
    Walk.ID: "list_named",
}
LETTERS = {
    JobState.PAUSED: "P",
    JobState.RUNNING: "R",
    JobState.HELD: "H",
    JobState.RETRYING: "T",
    JobState.WAITING: "W",
}
"""As `lua/lib/standing.lua` has them."""
STATES = {letter.encode(): state for state, letter in LETTERS.items()}
PAGE_BYTES, MOST_READS = 1_000_000, 1_000
"""Records that one call looks at, shown or not: some 5 ms of Redis."""
MOST_LOOKS = 10_000
"""Entries of an index that one call passes: more than a block of the order of creation has."""
MOST_COUNTED = 1_000
"""Ids with a prefix that are counted."""
INDEXED_AT_ONCE = 100
"""Jobs of an older version that one call indexes."""
ID_MARK = "="
"""Before an id in a cursor: no cursor of a list is empty, or that of a list that has ended."""
ROW = 6
"""Values of a job in a reply."""


class RedisJobIndex:
    """Implements `JobIndex` for one shard."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, shards: int = 1) -> None:
        self.scripts = Scripts(client, namespace, shard, shards)

    async def page(
        self, walk: Walk, wanted: JobFilter, cursor: str, limit: int
    ) -> ListedPage | None:
        """`list.lua`, `due_list.lua` or `list_named.lua`."""
        by_id = walk is Walk.ID
        named: dict[str, Value] = {
            "cursor": cursor.removeprefix(ID_MARK) if by_id else cursor,
            "limit": limit,
            "bytes": PAGE_BYTES,
            "reads": MOST_READS,
            "looks": MOST_LOOKS,
            **filter_arguments(wanted),
        }
        if by_id:
            named["most"] = MOST_COUNTED
        elif walk is not Walk.NEXT_DUE:
            named["order"] = "desc" if walk is Walk.NEWEST else "asc"
        labels = [f"{key}={value}" for key, value in wanted.labels.items()]
        reply = await self.scripts.run(SCRIPTS[walk], labels, **named)
        if reply[0] == b"older":
            return None
        total, last, *rows = checked(reply)
        mark = ID_MARK if by_id else ""
        jobs = [_listed(rows[at : at + ROW], mark) for at in range(0, len(rows), ROW)]
        return ListedPage(int(total) if total else None, last and mark + last.decode(), jobs)

    async def show(self, ids: Sequence[str]) -> tuple[int, Sequence[ListedJob]]:
        """`show.lua`."""
        done, *rows = checked(await self.scripts.run("show", ids, bytes=PAGE_BYTES))
        size = ROW - 1
        return done, [_listed([b"", *rows[at : at + size]], "") for at in range(0, len(rows), size)]

    async def index_older(self, token: str) -> bool:
        """`index_older.lua`."""
        _, more = owned(await self.scripts.run("index_older", token=token, most=INDEXED_AT_ONCE))
        return bool(more == b"1")


def filter_arguments(wanted: JobFilter) -> dict[str, Value]:
    """The arguments of a script that say which jobs are wanted, but for their labels."""
    return {
        "type": wanted.type,
        "creator": wanted.creator,
        "prefix": wanted.id_prefix,
        "states": "".join(LETTERS[state] for state in wanted.states),
        "from": "" if wanted.due_from is None else wanted.due_from,
        "to": "" if wanted.due_until is None else wanted.due_until,
    }


def _listed(row: Sequence[Any], mark: str) -> ListedJob:
    place, job_id, record, state, due, nominal = row
    job = StoredJob(job_id, record)
    return ListedJob(job, STATES[state], _ms(due), _ms(nominal), mark + place.decode())


def _ms(text: bytes) -> int | None:
    return int(text) if text else None
