"""Logs the calls that delete jobs, with their caller and counts (contract.md, section 5).

Other hosts may reach the ports without credentials. After an accident the log says which host has
deleted the jobs, how many there were, and when.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

LOG_EVERY_SECONDS = 60.0
"""Seconds between two lines about deletions by id. Some applications delete jobs all the time."""
MAX_CALLERS = 100
"""Callers with lines of their own; deletions by all others share one line."""
OTHERS = "others"
TICK_SECONDS = 5.0
"""Seconds between looks for deletions that no line has counted."""

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
        self.monotonic = monotonic
        self._callers: dict[str, _Deletions] = {}

    def note(self, ids: int) -> None:
        """A call has named this number of ids. Some may be of jobs that did not exist."""
        caller = _source(_caller.get())
        if caller not in self._callers and len(self._callers) >= MAX_CALLERS:
            caller = OTHERS
        deletions = self._callers.setdefault(caller, _Deletions())
        deletions.calls += 1
        deletions.ids += ids
        self._tell(caller, deletions)

    def tick(self) -> None:
        """Log deletions that no line has counted, and forget callers without any."""
        for caller, deletions in [*self._callers.items()]:
            if deletions.calls:
                self._tell(caller, deletions)
            elif self.monotonic() >= deletions.next_line:
                del self._callers[caller]

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()

    def _tell(self, caller: str, deletions: _Deletions) -> None:
        now = self.monotonic()
        if now >= deletions.next_line:
            log.info(
                "jobs were deleted by id", caller=caller, calls=deletions.calls, ids=deletions.ids
            )
            self._callers[caller] = _Deletions(now + LOG_EVERY_SECONDS)


class _Deletions:
    """Deletions since the last line."""

    def __init__(self, next_line: float = float("-inf")) -> None:
        self.next_line = next_line
        self.calls = self.ids = 0


def _source(caller: str) -> str:
    """The host without its port, or the partition without the offset: it stays the same."""
    if caller.startswith(("ipv4:", "ipv6:")):
        return caller.rpartition(":")[0]
    return caller.partition("@")[0]


DELETIONS = DeletionLog()
note_deleted = DELETIONS.note
