"""Redis must hold nothing for jobs that are gone: each key is permanent, bounded, or expires."""

from collections.abc import Iterable, Mapping

import redis

from tests.harness.names import Names

PERMANENT = ""
"""The bound of a key that may stay for ever: there is one, and what is in it is bounded."""

# A key's name in its shard -> the key that bounds it: when that one is gone, this one must be too.
# A name that ends with ":" is a prefix. The roots bound themselves: they hold what is alive.
BOUNDS: Mapping[str, str] = {
    "meta": PERMANENT,
    "inputs": PERMANENT,
    "origins": PERMANENT,
    "jobs": "jobs",
    "due": "jobs",
    "retries": "jobs",
    "created": "jobs",
    "creator:": "jobs",
    "type:": "jobs",
    "labels:": "created",
    "label:": "created",
    "listed:": "created",
    "paused": "jobs",
    "paused_types": PERMANENT,
    "replayed": PERMANENT,
    "hidden": PERMANENT,
    "names": "created",
    "named:": "names",
    "plan": "jobs",
    "passing": "plan",
    "waiting": "jobs",
    "blocked:": "jobs",
    "limits:": "jobs",
    "runs": "runs",
    "running": "runs",
    "open": "runs",
    "states": "jobs",
    "backfills": "jobs",
    "unique:": "jobs",
    "started": "runs",
    "deadlines": "runs",
    "resting": "jobs",
    "resting_types:": "jobs",
    "resumed": "jobs",
    "waking": "jobs",
    "types": "runs",
    "freed": "freed",
    "outbox": "outbox",
    "sizes": "outbox",
    "late": "late",
    "aside": "jobs",
    "orphans": "orphans",
    "restores": "restores",
    "removed": "restores",
    "parcels": "parcels",
    "leaving": "outbox",
    "moving": "moving",
    "lists": "lists",
    "list:": "lists",
    **dict.fromkeys(
        (
            "history",
            "ended",
            "ended_once",
            "failed_once",
            "records",
            "records_order",
            "minutes",
            "failed_types",
            "errors:",
            "outages",
            "owners",
            "pauses",
            "farewells",
        ),
        PERMANENT,
    ),
    "tallies": "jobs",
}


def leaked_keys(
    client: redis.Redis,
    names: Names,
    *,
    idle: bool = False,
    bounds: Mapping[str, str] = BOUNDS,
) -> list[str]:
    """The test's keys that have no TTL and nothing that bounds them, sorted, with their types.

    `idle`: no job, run or command is left, so the roots have to be gone as well.
    """
    keys: Iterable[str] = client.scan_iter(match=f"{names.namespace}:*", count=1000)
    every = set(keys)
    lasting = sorted(key for key in every if client.ttl(key) == -1)
    return [
        f"{key} ({client.type(key)!s})"
        for key in lasting
        if not _is_bounded(key, names.namespace, every, bounds, idle=idle)
    ]


def _is_bounded(
    key: str, namespace: str, every: set[str], bounds: Mapping[str, str], *, idle: bool
) -> bool:
    if key in {f"{namespace}:{name}" for name in ("shards", "deployment", "pages-key")}:
        return True
    shard, closing, name = key.removeprefix(namespace).partition("}:")
    if not closing or not shard.startswith(":{"):
        return False
    pattern = next((each for each in bounds if _matches(name, each)), None)
    if pattern is None:
        return False
    bound = bounds[pattern]
    return bound == PERMANENT or (not idle and f"{namespace}{shard}}}:{bound}" in every)


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern) if pattern.endswith(":") else name == pattern
