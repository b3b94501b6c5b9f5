"""Says which triggers of accepted jobs are ignored: one job has one trigger (contract.md)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import structlog

from scheduling_srv.domain.job import JobRequest
from scheduling_srv.runtime import metrics

LOG_EVERY_SECONDS = 3_600.0
LONGEST_NAME = 60
"""Characters of an id or a type that a line repeats."""
MOST_NAMED = 5
"""Items that a warning names."""

Transport = Literal["grpc", "kafka"]

log = structlog.get_logger(__name__)


class IgnoredTriggers:
    """Counts ignored triggers, logs each combination once an hour, and words the warning."""

    def __init__(
        self, transport: Transport, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.transport = transport
        self.monotonic = monotonic
        self._logged: dict[tuple[str, tuple[str, ...]], float] = {}
        """Four combinations at most."""

    def note(self, requests: Sequence[JobRequest], caller: Callable[[], str]) -> str:
        """Note the jobs of an accepted list; returns a warning for the caller, or nothing.

        `caller` names it for the log: a gRPC peer, or the place of a record.
        """
        found = [
            index
            for index, job in enumerate(requests)
            if (job.when and job.interval) or (job.now and (job.when or job.interval))
        ]
        return self._note(requests, found, caller) if found else ""

    def _note(
        self, requests: Sequence[JobRequest], found: Sequence[int], caller: Callable[[], str]
    ) -> str:
        warnings = list[str]()
        for index in found:
            used, *ignored = _given(requests[index])
            for field in ignored:
                metrics.IGNORED_TRIGGERS.labels(transport=self.transport, field=field).inc()
            self._log(requests[index], used, tuple(ignored), caller)
            if len(warnings) < MOST_NAMED:
                words = " and ".join(ignored)
                verb = "is" if len(ignored) == 1 else "are"
                warnings.append(f"items[{index}]: {words} {verb} ignored, as {used} is set.")
        if len(found) > len(warnings):
            warnings.append(f"The same holds for {len(found) - len(warnings)} more.")
        return " ".join(warnings)

    def _log(
        self, job: JobRequest, used: str, ignored: tuple[str, ...], caller: Callable[[], str]
    ) -> None:
        now, kind = self.monotonic(), (used, ignored)
        if now - self._logged.get(kind, float("-inf")) < LOG_EVERY_SECONDS:
            return
        self._logged[kind] = now
        log.warning(
            "a job has several triggers, and only the first one counts",
            used=used,
            ignored=list(ignored),
            transport=self.transport,
            caller=caller(),
            type=job.type[:LONGEST_NAME],
            **({"job": job.id[:LONGEST_NAME]} if job.id else {}),  # else the service makes an id
        )


def _given(job: JobRequest) -> Iterator[str]:
    """The triggers that are set, in the order in which they count."""
    triggers = {"interval": job.interval, "when": job.when, "now": job.now}
    return (name for name, value in triggers.items() if value)
