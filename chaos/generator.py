"""Random jobs, and how they look on the wire."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from chaos.clock import now_ms
from chaos.history import CRON, INTERVAL, METRONOME, NOW, WHEN, Ask, Settings
from tests.client.contract import Backoff, Data, Job, ScheduledJob, payload

PRIORITIES = (0, 0, 0, 10, -5, -10, -15)
CRONS = (
    ("* * * * * *", ""),
    ("*/2 * * * * *", "Europe/Berlin"),
    ("0-59/3 * * * * *", "America/New_York"),
    ("5,10,20,40 * * * * *", "Asia/Kolkata"),
    ("* * * * *", "UTC"),
)
LIMITED = {"one": (1,), "three": (3,), "mixed": (0, 1, 2, 4)}
"""Types with limits, and the limits of their jobs."""
FREE = ("red", "green", "blue", "grey")
LONGEST_WAIT_MS = 12_000
"""Milliseconds that a `when` job waits at most, far ones apart."""
FAR_MS = 86_400_000
SENTINEL = "sentinel-"
"""Prefix of the tags of sentinel jobs."""
LARGE_BYTES, LARGE_SHARE = 300_000, 0.05
"""Size of a large job, and the share of one-time jobs that are large."""
INVALID = "invalid"
"""A trigger that must be refused."""

_tags = count(1)


def random_ask(rng: random.Random, trigger: str, job_id: str = "") -> Ask:
    """A job with this trigger and everything else by chance."""
    type_, parallel = _type(rng)
    attempts = rng.choice((0, 0, 1, 2, 3))
    fields: dict[str, Any] = {
        "priority": rng.choice(PRIORITIES),
        "attempts": attempts,
        "backoff": rng.choice((0, 50, 300, 1000)) if attempts > 1 else 0,
        "exponential": attempts > 1 and rng.random() < 0.5,
        "creator": rng.choice(("ann", "bob", "eve")),
    }
    if trigger in (NOW, WHEN) and rng.random() < LARGE_SHARE:
        fields["large"] = LARGE_BYTES
    if trigger == WHEN:
        far = rng.random() < 0.1
        fields["due"] = now_ms() + (FAR_MS if far else rng.randrange(200, LONGEST_WAIT_MS))
    elif trigger == INTERVAL:
        shortest = 2000 if type_ in LIMITED else 300
        fields["period"] = rng.choice((shortest, rng.randrange(shortest, 3000)))
    elif trigger == CRON:
        fields["cron"], fields["timezone"] = rng.choice(CRONS[1:] if parallel else CRONS)
    return Ask(f"{trigger}-{next(_tags)}", trigger, type_, id=job_id, parallel=parallel, **fields)


def with_schedule_of(rng: random.Random, old: Ask, job_id: str) -> Ask:
    """Another job for this id, which recurs as the old one does; now and then of another type."""
    moves = old.type in FREE and rng.random() < 0.3
    return replace(
        random_ask(rng, old.trigger, job_id),
        type=rng.choice(FREE) if moves else old.type,
        parallel=old.parallel,
        period=old.period,
        cron=old.cron,
        timezone=old.timezone,
    )


def metronomes(settings: Settings) -> Sequence[Ask]:
    """One in each shard, every 100 ms, before all others: its silence is an outage of the shard."""
    types, found = (f"{METRONOME}{number or ''}" for number in count()), dict[int, str]()
    while len(found) < settings.shards:
        type_ = next(types)
        found.setdefault(settings.shard(type_), type_)
    return [
        Ask(f"metronome-{next(_tags)}", INTERVAL, type_, period=100, priority=-15)
        for type_ in found.values()
    ]


def sentinel(type_: str = "sentinel") -> Ask:
    """The least urgent of all: when it runs, whatever was due before it has run.

    Its limit is the smallest of its type, for the same reason.
    """
    limits = [limit for limit in LIMITED.get(type_, ()) if limit]
    parallel = min(limits, default=0)
    return Ask(f"{SENTINEL}{next(_tags)}", NOW, type_, priority=10, parallel=parallel)


def _type(rng: random.Random) -> tuple[str, int]:
    if rng.random() < 0.15:
        type_ = rng.choice(tuple(LIMITED))
        return type_, rng.choice(LIMITED[type_])
    return rng.choice(FREE), 0


def to_job(ask: Ask) -> Any:
    """The message."""
    payloads = [payload(ask.tag), *([payload("x" * ask.large)] if ask.large else [])]
    return Job(
        id=ask.id,
        type=ask.type,
        data=Data(timezone=ask.timezone, creator=ask.creator, payload=payloads),
        priority=ask.priority,
        attempts=ask.attempts,
        parallel=ask.parallel,
        backoff=Backoff(delay=ask.backoff, type=int(ask.exponential)) if ask.backoff else None,
        **_trigger(ask),
    )


def without_padding(key: str, record: bytes) -> bytes:
    """The record without the padding of a large job, so that the history stays small."""
    if len(record) < LARGE_BYTES or key not in ("queuedJob", "jobsCreated"):
        return record[:LARGE_BYTES]
    message = (ScheduledJob if key == "queuedJob" else Job).FromString(record)
    del message.data.payload[1:]
    return bytes(message.SerializeToString())


def _trigger(ask: Ask) -> dict[str, Any]:
    match ask.trigger:
        case "now":
            return {"now": True}
        case "when":
            return {"when": _when(ask.due)}
        case "interval":
            return {"interval": _interval(ask.period)}
        case "cron":
            return {"interval": ask.cron}
        case _:
            return {"interval": "now and then"}


def _when(due: int) -> str:
    moment = datetime.fromtimestamp(due // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{due % 1000:03d}Z"


def _interval(period: int) -> str:
    return f"{period // 1000} seconds" if period % 1000 == 0 else f"{period} milliseconds"
