"""Requests and records that are almost right: valid ones, broken by a seeded hand.

Input `n` of a seed is always the same, so whatever it does can be done again alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from chaos.mutation import broken
from tests.client.contract import (
    Backoff,
    CommandRequest,
    Data,
    DeleteRequest,
    FieldFilter,
    Job,
    JobDone,
    JobFailed,
    JobFilter,
    JobList,
    JobReadRequest,
    payload,
)
from tests.client.grpc_client import COMMAND, HEALTH, JOBS

JOBS_TOPIC, COMMANDS_TOPIC = "jobs", "commands"
FAR = "2999-01-01T00:00:00.000Z"
EVENTS = ("createJobs", "modifyJobs", "deleteJobs", "jobDone", "jobFailed")
COMMANDS = ("healthCheckCommand", "versionCommand", "restoreCommand", "resetCommand")
OTHER_KEYS = (None, b"", b"queuedJob", b"jobsCreated", b"CREATEJOBS", b"createJobs ", b"\xff\xfe")
NASTY_JSON = (
    b"",
    b"null",
    b"[]",
    b"7",
    b'{"service": 7}',
    b'{"service": "\\ud800"}',
    b'{"service": "nope"}',
    b'{"jobs": {"offset": -1}}',
    b'{"jobs": {"offset": NaN}}',
    b'{"jobs": {"offset": 1e999, "ignore_offset": {}}}',
    b'{"topics": [{"topic": 1}, null]}',
    b'{"jobs": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"jobs": {"offset": ' + b"9" * 5000 + b"}}",
    b'{"a": 1',
    b"e30=",
    b"\xef\xbb\xbf{}",
)
HEADERS = (
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"traceparent", b"\xff\0"),
    (b"tracestate", b"a=" + b"x" * 600),
    (b"occurrence-id", b"a/1/99999999999999999999999/1"),
    (b"occurrence-id", b"\xff/x"),
    (b"occurrence-id", None),
    (b"event-id-of-mine", b""),
    (b"", b""),
)


class Input(NamedTuple):
    """What is sent: a call if `path` is set, else a record."""

    number: int
    path: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...]
    mutations: tuple[str, ...]
    """What was done to it; none: it is as it should be."""


def make(seed: int, number: int) -> Input:
    """The input with this number."""
    rng = random.Random(seed << 40 | number)  # noqa: S311 - chance that can be repeated
    while True:
        made = _make(rng, number)
        if not _sweeps(made):
            return made


def _make(rng: random.Random, number: int) -> Input:
    if rng.random() < 0.4:
        path = rng.choices(list(REQUESTS), [8, 4, 4, 4, 3, 4, 1])[0]
        value, done = broken(REQUESTS[path](rng, number), rng, _other)
        return Input(number, path, "", None, value, (), done)
    topic = COMMANDS_TOPIC if rng.random() < 0.12 else JOBS_TOPIC
    event = rng.choice(COMMANDS if topic == COMMANDS_TOPIC else EVENTS)
    key: bytes | None = event.encode()
    sent: bytes | None
    sent, done = broken(RECORDS[event](rng, number), rng, _other)
    if rng.random() < 0.05:
        key, done = rng.choice(OTHER_KEYS), (*done, "key")
    elif rng.random() < 0.02:
        sent, done = None, (*done, "null")
    chosen = rng.choices(HEADERS, k=rng.choice((0, 0, 0, 0, 1, 2, 5)))
    return Input(number, "", topic, key, sent, tuple(chosen), done)


# --- What is right ----------------------------------------------------------------------------


def _job(rng: random.Random, job_id: str) -> Job:
    """One that does not run while the campaign lasts, most of the time."""
    trigger: dict[str, Any]
    trigger = rng.choice(({"when": FAR}, {"interval": "1 day"}, {"interval": "0 0 1 1 *"}))
    if rng.random() < 0.1:
        trigger = rng.choice(({"now": True}, {"interval": "2 seconds"}, {"when": "in 1 second"}))
    return Job(
        id=job_id if "now" not in trigger else "",
        type=rng.choice(("red", "green", "blue")),
        data=Data(
            timezone=rng.choice(("", "UTC", "Europe/Berlin")),
            creator=rng.choice(("ann", "bob")),
            payload=[payload(rng.randbytes(rng.choice((0, 3, 40))), "u")],
        ),
        priority=rng.choice((0, 10, -5, -10, -15)),
        attempts=rng.choice((0, 1, 2)),
        backoff=Backoff(delay=rng.choice((0.0, 50.0)), type=rng.choice((0, 1))),
        parallel=rng.choice((0, 0, 0, 3)),
        **trigger,
    )


def _new(rng: random.Random, number: int) -> bytes:
    """Jobs with ids that no other input has, or none."""
    ids = [f"f{number}-{n}" for n in range(rng.choice((1, 1, 1, 2, 4)))]
    return _bytes(JobList(items=[_job(rng, rng.choice((each, ""))) for each in ids]))


def _known(rng: random.Random, number: int) -> bytes:
    """Jobs with ids that may exist."""
    return _bytes(JobList(items=[_job(rng, _some_id(rng, number))]))


def _some_id(rng: random.Random, number: int) -> str:
    return f"f{max(0, number - rng.randrange(1, 400))}-0"


def _delete(rng: random.Random, number: int) -> bytes:
    return _bytes(DeleteRequest(ids=[_some_id(rng, number) for _ in range(rng.choice((1, 3)))]))


def _read(rng: random.Random, number: int) -> bytes:
    ids = [_some_id(rng, number) for _ in range(3)]
    return _bytes(
        JobReadRequest(
            limit=rng.choice((1, 5)),
            sort=rng.choice((0, 1, 2)),
            field=[FieldFilter(name=rng.choice(("id", "data.payload")), include=True)],
            filter=JobFilter(creator=rng.choice(("ann", "")), jobs_ids=ids),
        )
    )


def _command(rng: random.Random, _number: int) -> bytes:
    name = rng.choice(("health_check", "version", "restore", ""))
    raw = rng.choice(NASTY_JSON) if rng.random() < 0.7 else b"{}"
    return _bytes(CommandRequest(name=name, payload=payload(raw)))


def _done(rng: random.Random, number: int) -> bytes:
    return _bytes(JobDone(id=rng.randrange(1, number + 2), schedule_type="ONCE"))


def _failed(rng: random.Random, number: int) -> bytes:
    return _bytes(JobFailed(id=rng.randrange(1, number + 2), error="boom", schedule_type="ONCE"))


def _other(rng: random.Random) -> bytes:
    """A message of another kind."""
    return rng.choice((_new, _delete, _read, _command, _failed))(rng, rng.randrange(10**6))


def _bytes(message: object) -> bytes:
    return bytes(message.SerializeToString())  # type: ignore[attr-defined]


Maker = Callable[[random.Random, int], bytes]
REQUESTS: dict[str, Maker] = {
    JOBS + "Create": _new,
    JOBS + "Update": _known,
    JOBS + "Upsert": _known,
    JOBS + "Delete": _delete,
    JOBS + "Read": _read,
    COMMAND: _command,
    HEALTH: lambda rng, _number: rng.choice((b"", b"\x0a\x01x")),
}
RECORDS: dict[str, Maker] = {
    "createJobs": _new,
    "modifyJobs": _known,
    "deleteJobs": _delete,
    "jobDone": _done,
    "jobFailed": _failed,
    **dict.fromkeys(COMMANDS, _command),
}


# --- What is not sent -------------------------------------------------------------------------


def _sweeps(made: Input) -> bool:
    """Whether it would delete everything, or restore it: that is done between the rounds."""
    value = made.value or b""
    try:
        if made.path == COMMAND or made.topic == COMMANDS_TOPIC:
            request = CommandRequest.FromString(value)
            return request.name == "reset" or (
                request.name == "restore" and _is_json(request.payload.value)
            )
        if made.path == JOBS + "Delete" or made.key == b"deleteJobs":
            return bool(DeleteRequest.FromString(value).collection)
    except DecodeError:
        pass
    return False


def _is_json(raw: bytes) -> bool:
    """Whether a restore might begin: reading all of jobs.resource is not what is tried here."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("jobs"), dict)
