"""Whether the service works, and the reasons if it does not (docs/operations.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import structlog

from scheduling_srv.app.health.progress import Findings, Observe
from scheduling_srv.app.health.watch import Conditions
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import SchedulingError
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.states import STATES, Kind, Seldom, State, States

Probe = Callable[[], Awaitable[bool]]
"""True: all is well. A `SchedulingError` counts as false, its sentence as the reason."""

PROBE_SECONDS = 1.0
"""A server that takes longer to answer does not answer."""
FRESH_SECONDS = 0.5
"""How long a report is handed out again: health may be asked for often, servers must not be."""

WATCH_SECONDS = 5
"""How often a replica looks at its own health, so that its log tells of changes."""
PING_SECONDS = 1.0
"""How often it asks in between whether the servers answer, and looks while it is not serving."""
CALM_SECONDS = 0.2
"""Seconds between two looks that were requested by `notice`."""

log = structlog.get_logger()


class Status(StrEnum):
    """The words of `grpc.health.v1` and of the health_check command."""

    SERVING = "SERVING"
    """Redis and Kafka answer, due runs make progress, and the consumer polls."""
    NOT_SERVING = "NOT_SERVING"
    """Something of that does not hold."""
    UNKNOWN = "UNKNOWN"
    """It could not be found out: a probe itself is broken."""


class Report(NamedTuple):
    """How the service is."""

    status: Status
    reason: str
    """Sentences for humans; empty when SERVING."""
    degraded: Sequence[str] = ()
    """Sentences about parts that are worse than usual while SERVING."""


NO_REASON = "There is no answer in time."
SERVING = Report(Status.SERVING, "")
CLOSING = Report(Status.NOT_SERVING, "This replica is shutting down.")


class Details(NamedTuple):
    """All that `/readyz?verbose` says."""

    ready: bool
    status: str
    reasons: Sequence[str]
    """Why it is not ready."""
    degraded: Sequence[str]
    """Parts that do not work although runs are emitted."""
    at_risk: Mapping[str, str]
    """Guarantees that do not hold: reason -> sentence (docs/operations.md)."""
    notes: Mapping[str, str]
    unknown: Sequence[str]
    """Settings that the service may not read."""


class Health:
    """Asks Redis, Kafka and the shards, at most every half second, for at most one second.

    `conditions` adds findings of others: it is called each time, and must not wait.
    """

    def __init__(
        self,
        *,
        redis: Probe,
        kafka: Probe,
        observe: Observe,
        conditions: Callable[[], Conditions] = Conditions,
        probe_seconds: float = PROBE_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
        now: Callable[[], float] = time.monotonic,
        states: States = STATES,
    ) -> None:
        self._servers = [("Redis does not answer.", redis), ("Kafka does not answer.", kafka)]
        self._log = _Log(states)
        self._seldom = Seldom()
        self._observe = observe
        self._conditions = conditions
        self._probe_seconds = probe_seconds
        self._fresh_seconds = fresh_seconds
        self._now = now
        self._lock = asyncio.Lock()
        self._report = SERVING
        self._fresh_until = float("-inf")
        self._closing = False
        self._called = asyncio.Event()
        self._noticed = False
        """Whether `notice` was called since the last look began."""

    def notice(self) -> None:
        """Something fails: `watch` looks at once. Only within the event loop."""
        self._fresh_until, self._noticed = float("-inf"), True
        self._called.set()

    def close(self) -> None:
        """Report NOT_SERVING from now on: the process is shutting down."""
        self._closing = True

    async def status(self) -> str:
        """`SERVING`, `NOT_SERVING` or `UNKNOWN`."""
        return (await self.report()).status

    async def report(self) -> Report:
        """The status and its reason. Never raises, never takes longer than two probes."""
        async with self._lock:
            if not self._closing and self._now() >= self._fresh_until:
                self._noticed = False
                self._report = await self._ask()
                if not self._noticed:
                    self._fresh_until = self._now() + self._fresh_seconds
                _count(self._report)
                self._log.note(self._report)
        return CLOSING if self._closing else self._report

    async def details(self) -> Details:
        """The report and all that is known besides."""
        status, reason, degraded = await self.report()
        known = self._conditions()
        reasons: Sequence[str] = ()
        if status is not Status.SERVING:
            is_known = reason == " ".join(known.reasons)
            reasons = known.reasons if is_known else (reason, *known.reasons)
        degraded = (*degraded, *known.degraded)
        return Details(status is Status.SERVING, status, reasons, degraded, *known[2:])

    async def watch(self) -> None:
        """Check regularly until cancelled, so that changes are logged without a request."""
        while True:
            self._called.clear()
            report = await self.report()
            await asyncio.sleep(CALM_SECONDS)
            await wait(self._called, PING_SECONDS)
            if report.status is Status.SERVING:
                await self._while_servers_answer()

    async def _while_servers_answer(self) -> None:
        """Return after a while, or when there is something to look at."""
        for _ in range(WATCH_SECONDS - 1):
            if self._called.is_set():
                return
            if any(answer.reason for answer in await self._ask_servers()):
                self.notice()
                return
            await wait(self._called, PING_SECONDS)

    async def _ask_servers(self) -> Sequence[Report]:
        return await asyncio.gather(*[self._probe(*each) for each in self._servers])

    async def _ask(self) -> Report:
        answers = await self._ask_servers()
        self._log.servers(answers)
        found = _worst(answers)
        # While a server is away nothing is emitted: saying so as well would hide the cause.
        if found.reason:
            return found
        if reasons := self._conditions().reasons:
            return Report(Status.NOT_SERVING, " ".join(reasons))
        return await self._progress()

    async def _progress(self) -> Report:
        findings = Findings()

        async def look() -> bool:
            nonlocal findings
            findings = await self._observe()
            return not findings.problems

        report = await self._probe("Due jobs cannot be looked at.", look)
        if findings.problems:
            return Report(Status.NOT_SERVING, " ".join(findings.problems))
        return report if report.reason else Report(Status.SERVING, "", tuple(findings.degraded))

    async def _probe(self, sentence: str, probe: Probe) -> Report:
        try:
            async with asyncio.timeout(self._probe_seconds):
                return SERVING if await probe() else Report(Status.NOT_SERVING, sentence)
        except TimeoutError:
            return Report(Status.NOT_SERVING, sentence)
        except SchedulingError as error:
            said = str(error)
            doubled = said.startswith(sentence.rstrip("."))
            return Report(Status.NOT_SERVING, said if doubled else f"{sentence} {said}")
        except Exception:
            if self._seldom.is_due(sentence):
                log.exception("a health check broke", probe=sentence)
            return Report(Status.UNKNOWN, f"Cannot find out: {sentence}")


def _count(report: Report) -> None:
    metrics.SERVING.set(report.status is Status.SERVING)
    metrics.DEGRADED.set(bool(report.degraded))


class _Log:
    """Logs one line for each change.

    Before the first SERVING the start itself logs servers that are away. All other parts have a few
    seconds to begin.
    """

    def __init__(self, states: States) -> None:
        self._served = False
        self._servers = [
            State(
                f"{name} does not answer", f"{name} answers again", states=states, kind=Kind.CAUSE
            )
            for name in ("Redis", "Kafka")
        ]
        self._starting = State("not serving yet", "serving", states=states)
        self._serving = State("not serving", "serving again", states=states, kind=Kind.CHANGE)
        self._degraded = State("degraded", "no longer degraded", states=states)

    def servers(self, found: Sequence[Report]) -> None:
        """Log changes in the answers of Redis and Kafka."""
        if not self._served:
            return
        for state, report in zip(self._servers, found, strict=True):
            if report.reason:
                # The event says so already.
                reason = report.reason.removeprefix(state.says[0]).lstrip(".: ")
                state.fails(reason or NO_REASON)
            else:
                state.works()

    def note(self, report: Report) -> None:
        """Log changes of the whole report."""
        if report.status is not Status.SERVING:
            self._degraded.ends("The service is not serving.")
            (self._serving if self._served else self._starting).fails(report.reason)
            return
        if not self._served:
            self._served = True
            self._starting.forget()
            log.info("serving")
        self._serving.works()
        if report.degraded:
            self._degraded.fails(" ".join(report.degraded))
        else:
            self._degraded.works()


def _worst(reports: Sequence[Report]) -> Report:
    bad = [each for each in reports if each.reason]
    if not bad:
        return SERVING
    certain = any(each.status is Status.NOT_SERVING for each in bad)
    reason = " ".join(each.reason for each in bad)
    return Report(Status.NOT_SERVING if certain else Status.UNKNOWN, reason)
