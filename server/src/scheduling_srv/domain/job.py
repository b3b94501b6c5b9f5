"""Jobs: the request of a client, and the job as it is stored."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from scheduling_srv.domain.backoff import BackoffType
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.trigger import Trigger, TriggerKind


class Priority(IntEnum):
    """Order among the runs that are due: the lower number first (docs/contract.md)."""

    CRITICAL = -15
    HIGH = -10
    MEDIUM = -5
    NORMAL = 0
    LOW = 10


RANKS: dict[int, int] = {priority: rank for rank, priority in enumerate(sorted(Priority))}
"""Rank of each priority, 0 (CRITICAL) to 4 (LOW): the store sorts by it."""


@dataclass(slots=True)
class JobRequest:
    """One job as a client asked for it, before anything is checked.

    `data` is the serialized Data message with its time zone filled in, `None` when the
    request had none. `rest` is the serialized Job without id, type and data. Both are opaque
    here and go to Kafka and back to the client untouched.
    """

    id: str
    type: str
    timezone: str
    creator: str
    data: bytes | None
    rest: bytes
    priority: int = 0
    attempts: int = 0
    backoff_type: int = 0
    backoff_delay: float = 0.0
    parallel: int = 0
    interval: str = ""
    when: str = ""
    now: bool = False
    trace: bytes = b""
    """`traceparent` and `tracestate` of the call, separated by a line feed."""
    properties: Properties | None = None
    """Those that only scheduling.v1 has; None: the request is one of 2018."""
    spec: bytes = b""
    """With `properties`: a serialized `scheduling.v1.StoredSpec`, which is opaque here."""
    revision: int = 1
    """With `properties`: the revision that an Update replaces; 0: any."""


class NewJob(NamedTuple):
    """A job that passed every check, as the store accepts it."""

    id: str
    due: int
    """Epoch ms of the first run."""
    record: bytes
    """See `scheduling_srv.formats.job_record`."""


class StoredJob(NamedTuple):
    """A job as the store holds it."""

    id: bytes
    record: bytes


class ReadQuery(NamedTuple):
    """What to read. Empty `creator` and `ids` do not restrict; `limit` 0 means all."""

    creator: str = ""
    ids: Sequence[str] = ()
    descending: bool = False
    limit: int = 0


class Answer(NamedTuple):
    """The answer of a worker about an instance."""

    instance: int
    failed: bool
    next: int = 0
    """Offset behind its record; 0: that of the source."""
    partition: str = ""
    """`topic:partition` of its record; empty: that of the source."""
    error: str = ""
    """What the worker said of a failure, at most `LONGEST_ERROR` bytes."""
    heartbeat: bool = False
    """It is no answer yet: the worker needs more time."""
    retry_after: int = 0
    """Milliseconds until the next attempt; 0: the job's backoff decides."""
    final: bool = False
    """No attempt follows."""
    occurrence: bytes = b""
    """The `occurrence-id` that it names; empty: any."""


LONGEST_ERROR = 1024
"""Bytes of an error in the headers of jobsDeleted (docs/contract.md)."""


def _random_ids() -> Iterator[str]:
    while True:
        # One call of the kernel for many ids: it costs more than all the rest.
        text = base64.b64encode(os.urandom(12 * ID_BLOCK), altchars=b"xX").decode()
        yield from (text[at : at + ID_SIZE] for at in range(0, len(text), ID_SIZE))


ID_SIZE, ID_BLOCK = 16, 256
_ids = _random_ids()


def generate_id() -> str:
    """Sixteen letters and digits from 96 random bits: unique, and short in Redis."""
    return next(_ids)


__all__ = [
    "LONGEST_ERROR",
    "RANKS",
    "Answer",
    "BackoffType",
    "JobRequest",
    "NewJob",
    "Priority",
    "ReadQuery",
    "StoredJob",
    "Trigger",
    "TriggerKind",
    "generate_id",
]
