"""Every key of a shard, on one page (docs/decisions/0001).

All keys of a shard share the hash tag `{<shard>}`, so one Lua call may touch them in a cluster.
Scripts get the fixed keys in the order of `FIXED`. Keys that carry a name (a creator, a type) are
made in Lua from `{prefix}` and listed in `NAMED`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

FIXED = {
    "meta": "hash: counters, positions, epoch, incarnation, format, logs seen; one field each",
    "lease": "string: owner and epoch; TTL of the lease",
    "emitting": "string: set while the owner's loops do their work; TTL of the lease",
    "jobs": "hash: job id -> record; living jobs, `now` jobs included",
    "due": "zset: seq, kind, id; score = rank * 2^48 + due ms; what waits for its time",
    "retries": "zset: the retries in `due` or held, by the seq of their job",
    "created": "zset: which lists hold the jobs that Read shows, and how many; see lib/order.lua",
    "plan": "zset: cron jobs whose next time has to be computed; score = the time before it",
    "waiting": "zset: all held runs by nominal time",
    "freed": "set: types in which a place may have become free",
    "runs": "hash: instance id -> run; unanswered instances",
    "running": "zset: instance id by start ms",
    "open": "zset: unanswered instances by the creation number of their job; see lib/opening.lua",
    "types": "hash: type -> number of unanswered instances",
    "outbox": "list: entries that are not yet published",
    "inputs": "hash: topic:partition -> next offset to apply",
    "restores": "hash: restore commands that have not ended",
    "origins": "hash: topic:partition -> next offset, time stamp and topic id; one for each input",
    "removed": "set: ids of jobs that were removed while restores are under way",
    "aside": "zset: cron jobs whose next time cannot be computed; score as in `plan`",
    "orphans": "hash: seq of a job that is gone -> its limit and type; its retries are to be swept",
    "sizes": "zset: bytes of the outbox up to an entry, by its number; one for each MB",
    "late": "zset: when runs were published late, by the entry before them; at most one a second",
}
"""Name -> its content and its bound."""

NAMED = {
    "creator:": "zset: which of the lists hold jobs of one creator, and how many",
    "type:": "zset: which blocks of lists hold jobs of one type, and how many",
    "listed:": "list: ids of 128 creation numbers each, with what to sort and filter by",
    "labels:": "zset: which lists hold jobs with a label, and how many, `labels:<key>=<value>`",
    "label:": "hash: list -> which of its numbers are jobs with the label, as 128 bits",
    "names": "zset: the first id of each bucket of ids that callers gave; see lib/names.lua",
    "named:": "list: at most 128 ids of one bucket, `named:<first id>`",
    "blocked:": "zset: runs held by the limit n of a type, `blocked:<n>:<type>`, scored as in due",
    "limits:": "set: the limits n of a type by which runs are held",
    "paused": "hash: job id -> since when, why and by whom it is paused, as JSON",
    "paused_types": "hash: type -> the same",
    "waking": "hash: type -> when its pause was, as JSON, until what rested has gone back",
    "resting": "zset: runs that wait for the end of a pause of their job, by its seq",
    "resting_types:": "zset: runs that wait for the end of a pause of their type, scored as in due",
    "resumed": "set: jobs and types whose resting runs go back, piece by piece",
    "manual:": "string: nominal time of the last run by hand of a job, by its seq; TTL 60 s",
    "requests": "zset: names of requests whose answers are kept, by time; TTL 15 min",
    "request:": "string: the answer of one of them, as JSON; TTL 15 min",
    "backfills": "hash: job id -> how far its backfill is, as JSON; at most 1,000",
    "states": "hash: id -> STATE; jobs with jitter or max_runs",
    "unique:": "hash: unique key -> id of the job that has it, `unique:<type>`",
    "started": "zset: instance id by start ms; of runs with a deadline, not in `running`",
    "deadlines": "zset: the same instances by deadline ms",
    "replayed": "zset: dead letters that were replayed, by offset; those that Kafka has",
    "hidden": "zset: dead letters that lists leave out, by time; 10,000",
    "refused": "list: the last jobs that Kafka has refused; TTL of a minute",
    "history": "hash: serial -> RAN; runs that have ended, bounded by settings",
    "ended": "zset: their serials, each its own score; so in the order of their ends",
    "ended_once": "zset: those of one-time jobs that failed, by end ms; they go after some days",
    "failed_once": "hash: id of such a job -> its serials, at most 10",
    "records": "hash: serial -> record of such a job, for a retry; at most 64 kB each",
    "records_order": "list: serials of these records, the oldest first; bounded in bytes",
    "tallies": "hash: id -> TALLIED and serials, at most 10; recurring jobs that have run",
    "minutes": "hash: minute modulo 128 -> MINUTE",
    "outages": "list: OUTAGE of each time in which no owner looked; 1,000",
    "owners": "list: OWNED of each owner; 1,000",
    "pauses": "list: PAUSED_UNTIL of each pause that has ended; 1,000",
    "farewells": "list: FAREWELL of jobs that were deleted or have finished; 1,000",
    "passing": "hash: place in `plan` -> since when its occurrences passed in a pause; few ms",
    "told:": "string: TOLD, when an event told what passed, `told:<kind>:<job id>`; TTL 10 s",
    "errors:": "hash: digest of an error -> FAILED_WITH; at most 100 of a type",
    "failed_types": "zset: types that have failures, by the last one's ms; at most 1,000",
}
"""Prefix, or name, -> its content. Each disappears with its last member."""

LISTS = {
    "lists": "set: tokens of the long lists that are applied in pieces",
    "list:": "hash: state and pieces of one of them; gone with its last piece",
    "moving": "hash: job id -> token of the list, or number of the parcel, that it is in",
}
"""Keys that exist only while there are such lists or parcels (docs/decisions/0010)."""

SHARED = {
    "parcels": "hash: number -> target shard and change; on their way to other shards",
    "claim:": "string: token of the call that decides about a job id; TTL",
    "leaving": "zset: ids of removed jobs, by the number of an entry that Kafka does not have yet",
}
"""Keys that exist only if a namespace has several shards (docs/decisions/0004)."""


def prefix(namespace: str, shard: int) -> str:
    """Prefix of every key of the shard."""
    return f"{namespace}:{{{shard}}}:"


def fixed(namespace: str, shard: int) -> list[str]:
    """The KEYS of every script, in order."""
    start = prefix(namespace, shard)
    return [start + name for name in FIXED]


def channel(namespace: str, shard: int) -> str:
    """The pub/sub channel on which a shard says that there is work or how far it has published."""
    return prefix(namespace, shard) + "wake"


def presence(namespace: str, shard: int, owner: str) -> str:
    """The channel that a replica listens to as long as it is connected; nothing is sent there."""
    return prefix(namespace, shard) + "here:" + owner


def reads(namespace: str, shard: int, newest: int, owner: str) -> str:
    """The same, with the newest format of stored data that the replica reads (decision 24)."""
    return f"{prefix(namespace, shard)}reads:{newest}:{owner}"


def alive(namespace: str, database: int, name: str) -> str:
    """The channel that shows which database a replica uses: channels belong to the whole server."""
    return f"{namespace}:{database}:alive:{name}"


def shards(namespace: str) -> str:
    """The number of shards, fixed at the first start."""
    return f"{namespace}:shards"


def deployment(namespace: str) -> str:
    """The deployment id, and the fingerprint of this Redis content (docs/decisions/0019)."""
    return f"{namespace}:deployment"


def pages_key(namespace: str) -> str:
    """The key by which all replicas sign the cookies of the pages (docs/decisions/0034)."""
    return f"{namespace}:pages-key"


def pages_signed_out(namespace: str) -> str:
    """Sessions of the pages that have ended before their time, by when they would have ended."""
    return f"{namespace}:pages-signed-out"


def offset(client_id: str, topic: str, partition: int) -> str:
    """Key of the shown offset: the next one to read, as decimal text (docs/contract.md)."""
    name = f"{client_id}:{topic}"
    return name if partition == 0 else f"{name}:{partition}"


def lua_table(used: AbstractSet[str], words: AbstractSet[str], shards: int = 1) -> str:
    """The beginning of a script: the table `K` of its keys, and which of how many shards it is.

    `used` names the keys, `words` all names in the script: nothing else is computed. The number of
    shards is fixed, so it is a constant of the script.
    """
    names = {name: f"KEYS[{index}]" for index, name in enumerate(FIXED, start=1)}
    channels = dict.fromkeys(("wake", "here:", "reads:"), "")
    prefixed = {**NAMED, **LISTS, **(SHARED if shards > 1 else {}), **channels}
    named = {name.rstrip(":"): f'prefix .. "{name}"' for name in prefixed}
    entries = [f"{name} = {value}" for name, value in (names | named).items() if name in used]
    lines = ["local K = {" + ", ".join(entries) + "}"] if used else []
    if "SHARDS" in words:
        shard = "tonumber(string.match(prefix, '{(%d+)}:$'))" if shards > 1 else "0"
        lines.insert(0, f"local SHARDS, SHARD = {shards}, {shard}")
    if any("prefix" in line for line in lines):
        lines.insert(0, "local prefix = string.sub(KEYS[1], 1, -5)")
    return "".join(f"{line}\n" for line in lines)
