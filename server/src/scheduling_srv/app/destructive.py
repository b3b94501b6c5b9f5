"""Logs the calls that delete jobs, with their caller and counts (contract.md, section 5).

Other hosts may reach the ports without credentials. After an accident the log says which host has
deleted the jobs, how many there were, and when.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

from scheduling_srv.runtime.throttle import Throttle

OTHERS = "others"
"""In place of a caller when too many have lines of their own."""

log = structlog.get_logger(__name__)

_caller: ContextVar[str] = ContextVar("caller", default="unknown")


@contextmanager
def called_by(caller: str) -> Iterator[None]:
    """Name the caller of the use cases that run inside: a gRPC peer, or the place of a record."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def note_cleared(shard: int, jobs: int) -> None:
    """A Delete of the whole collection has deleted this number of jobs of a shard."""
    log.warning("all jobs were deleted", caller=_caller.get(), jobs=jobs, shard=shard)


def note_reset(shard: int, jobs: int, runs: int) -> None:
    """A reset has deleted this number of jobs and unanswered runs of a shard."""
    log.warning("a reset deleted all jobs", caller=_caller.get(), jobs=jobs, runs=runs, shard=shard)


def note_restore(topic: str, offset: int) -> None:
    """A restore was accepted: it may put jobs back, and delete others."""
    log.warning("a restore was accepted", caller=_caller.get(), topic=topic, offset=offset)


class DeletionLog:
    """Logs deletions by id: at most one line a minute for each caller, with everything in it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.throttle = Throttle(
            "jobs were deleted by id",
            counted="calls",
            added=("ids",),
            level=logging.INFO,
            monotonic=monotonic,
        )

    def note(self, ids: int) -> None:
        """A call has named this number of ids. Some may be of jobs that did not exist."""
        caller = _source(_caller.get())
        if not self.throttle.has_room(caller):
            caller = OTHERS
        self.throttle.note(caller, caller=caller, ids=ids)


def _source(caller: str) -> str:
    """The name without the peer, the host without its port, or the partition without the offset.

    It stays the same from call to call.
    """
    if caller.startswith(("ipv4:", "ipv6:")):
        return caller.rpartition(":")[0]
    return caller.rpartition("@")[0] or caller


DELETIONS = DeletionLog()
note_deleted = DELETIONS.note
