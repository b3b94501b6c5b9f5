"""The ports of explanations (docs/decisions/0031). Instants are epoch milliseconds."""

from __future__ import annotations

from typing import Protocol

from scheduling_srv.domain.explanation.facts import TopicRead
from scheduling_srv.domain.intervals import IntervalLogs


class IntervalReading(Protocol):
    """The logs of a shard. They are bounded, and may be lost with Redis."""

    async def intervals(self, job_id: str, job_type: str) -> IntervalLogs:
        """What may concern a job. `job_type`: empty if it is not known.

        Raises `StoreUnavailable` and `StoreNotReady`.
        """


class EmissionReading(Protocol):
    """The runs on the jobs topic."""

    async def emitted(self, job_id: str, nominal: int, since: int) -> TopicRead:
        """Attempts of a job among the records from `since` on.

        It reads a bounded number of records, bytes and seconds, and ends with the first attempt at
        `nominal`, or at an instant within the second that begins there. A fault is in the answer.
        """
