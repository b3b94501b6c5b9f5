"""Whether due runs make progress, as seen in the store (docs/contract.md, the process)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from scheduling_srv.app.ports import Clock, ShardProgress
from scheduling_srv.app.replies import Progress
from scheduling_srv.runtime import metrics

STALLED_MS = 5_000
"""How long due runs may wait, and the consumer may be silent, without progress."""


class Findings(NamedTuple):
    """Observations: sentences for operators. Both are empty when all is well."""

    problems: Sequence[str] = ()
    """Why the service is NOT_SERVING."""
    degraded: Sequence[str] = ()
    """Parts that are worse than usual while the service is SERVING."""


def judge(found: Progress, now: int, place: str = "") -> Findings:
    """Judge the progress of a shard at `now` in epoch ms; `place` names the shard."""
    if not found.working:
        return Findings([f"No replica is emitting due jobs{place}."])
    late = late_ms(found, now)
    waits = late > STALLED_MS or found.waiting > 0
    seconds = f"{late / 1000:.0f} s" if late > 0 else ""
    if waits and found.idle_ms > STALLED_MS:
        overdue = f" The oldest due run has waited for {seconds}." if seconds else ""
        silence = f"{found.idle_ms / 1000:.0f} s"
        return Findings([f"Nothing was published{place} for {silence}.{overdue}"])
    if late > STALLED_MS:
        return Findings((), [f"The oldest due run{place} has waited for {seconds}."])
    return Findings()


def late_ms(found: Progress, now: int) -> int:
    """How long the oldest due run has waited to be staged, in ms; 0 if none is due."""
    return max(0, now - found.oldest_due) if found.oldest_due is not None else 0


class Observer:
    """Asks every shard, and the consumer of this replica."""

    def __init__(
        self,
        shards: Sequence[ShardProgress],
        clock: Clock,
        *,
        polled_at: Callable[[], float],
        problems: Callable[[], Sequence[str]] = lambda: (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`polled_at` says when the consumer last polled, by `monotonic` in seconds.

        `problems` says why owners of this replica do not emit.
        """
        self.shards = shards
        self.clock = clock
        self.polled_at = polled_at
        self.problems = problems
        self.monotonic = monotonic

    async def observe(self) -> Findings:
        """Look now. Raises `Unavailable`."""
        problems, degraded, latest = list[str](), list[str](), 0
        for number, shard in enumerate(self.shards):
            place = f" of shard {number}" if len(self.shards) > 1 else ""
            found, now = await shard.progress(), self.clock.now()
            latest = max(latest, late_ms(found, now))
            findings = judge(found, now, place)
            problems += findings.problems
            degraded += findings.degraded
        metrics.OLDEST_DUE.set(latest / 1000)
        if problems:
            problems += self.problems()
        silent = self.monotonic() - self.polled_at()
        if silent * 1000 > STALLED_MS:
            since = f"for {silent:.0f} s" if silent < float("inf") else "yet"
            problems.append(f"The consumer has not polled {since}.")
        return Findings(problems, degraded)


Observe = Callable[[], Awaitable[Findings]]
