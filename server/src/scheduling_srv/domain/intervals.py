"""What the logs of a shard remember: outages, owners, pauses and ends of jobs.

Instants are epoch ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from scheduling_srv.domain.pause import Pause


class Farewell(IntEnum):
    """Why a job is gone. The numbers are stored."""

    END = 1
    """Its schedule has no further occurrence, or `end_time` was reached."""
    MAX_RUNS = 2
    DELETED = 3
    """A caller has deleted it."""


class Outage(NamedTuple):
    """A time in which no owner looked for runs that are due."""

    since: int
    until: int


class Owned(NamedTuple):
    """A replica became the owner."""

    since: int
    owner: str


class EndedPause(NamedTuple):
    """A pause that has ended."""

    pause: Pause
    until: int
    of_type: bool
    """Of the type of the job; else of the job itself."""


class Gone(NamedTuple):
    """A job is gone."""

    at: int
    seq: int
    """Its creation number."""
    why: Farewell


@dataclass(frozen=True, slots=True)
class IntervalLogs:
    """What may concern a job, the oldest first in each log."""

    outages: Sequence[Outage] = ()
    owners: Sequence[Owned] = ()
    pauses: Sequence[EndedPause] = ()
    gone: Sequence[Gone] = ()
