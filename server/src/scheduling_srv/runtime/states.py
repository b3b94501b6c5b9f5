"""Logs each change from working to failing and back: once, and once a minute while it fails.

A loop that fails again has nothing new to log. It reports to a `State`, and the state decides which
lines to log. While a server is away, the line about the server explains all others. So the loops
that wait for it are silent.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from weakref import WeakSet

import structlog

SUMMARY_SECONDS = 60.0
"""Seconds between two lines about a lasting failure."""
OTHER_REASON_SECONDS = 10.0
"""Seconds before a failure is logged again because its reason has changed."""
GRACE_SECONDS = 5.0
"""Seconds that a loop has to recover without a line, after a failure or its server's return."""
TICK_SECONDS = 1.0
"""Seconds between looks for lines that are due."""

MOST_TEXTS = 100
_DURATION = re.compile(r"\d+(?:\.\d+)? m?s\b")

log = structlog.get_logger(__name__)


class States:
    """All states of a process. It belongs to one event loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.listeners: list[Callable[[], None]] = []
        """Called when something begins to fail."""
        self.causes: set[State] = set()
        """Servers that are away."""
        self.well_since = float("-inf")
        """When the last server that was away came back."""
        self.all: WeakSet[State] = WeakSet()

    def tick(self) -> None:
        """Log the lines that are due."""
        for state in sorted(self.all, key=lambda each: each.since):
            state.tick()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()


STATES = States()


class Kind(Enum):
    """When a failure is logged."""

    CAUSE = "cause"
    """At once. A server: its absence explains failures of loops."""
    CHANGE = "change"
    """At once. Its summaries are left to the cause, if there is one."""
    EFFECT = "effect"
    """At once, but not while a server is away: its line would add nothing."""
    LOOP = "loop"
    """After a grace, and only while no server is away."""


class State:
    """Something that works or fails: a server, a loop, the service."""

    def __init__(
        self,
        fails: str,
        works: str,
        *,
        kind: Kind = Kind.LOOP,
        states: States = STATES,
        **about: object,
    ) -> None:
        """`fails` and `works` are the events of the log lines, `about` their fields."""
        self.says = fails, works
        self.kind = kind
        self.about = about
        self.since = float("inf")
        """When it began to fail."""
        self.reason = ""
        self._failed_at = float("-inf")
        """When it failed last."""
        self._states = states
        self._told: list[str] = []
        """Reasons that were logged since it began to fail."""
        self._told_at = float("-inf")
        states.all.add(self)

    @property
    def failing(self) -> bool:
        """Whether it has failed and not worked since."""
        return self.since != float("inf")

    def fails(self, reason: str) -> None:
        """Report a failure, perhaps not the first one."""
        begins, self.reason = not self.failing, reason
        self._failed_at = self._states.monotonic()
        if begins:
            self.since = self._failed_at
            if self.kind is Kind.CAUSE:
                self._states.causes.add(self)
        self.tick()
        if begins:
            for tell in self._states.listeners:
                tell()

    def works(self) -> None:
        """Report that it works, perhaps after failures."""
        if not self.failing:
            return
        seconds = round(self._states.monotonic() - self.since)
        if self._told:
            log.info(self.says[1], **self.about, after_seconds=seconds)
        self.forget()

    def ends(self, why: str) -> None:
        """Report that no part watches it any more, and why."""
        if self._told:
            event = f"{self.says[0]}, no longer watched"
            log.info(event, **self.about, reason=why)
        self.forget()

    @contextmanager
    def watched(self) -> Iterator[State]:
        """For a loop that may be cancelled: a failure that it has logged does not stay open."""
        try:
            yield self
        finally:
            self.ends("This replica has ended the work that met it.")

    def forget(self) -> None:
        """It does not fail any more, and no line says so."""
        if self.kind is Kind.CAUSE and self.failing:
            self._states.causes.discard(self)
            self._states.well_since = self._states.monotonic()
        self.since, self._told = float("inf"), []

    def tick(self) -> None:
        """Log a line if one is due: it fails, for another reason, or still fails."""
        now = self._states.monotonic()
        if not self.failing or now < self._from():
            return
        if not self._told:
            self._tell(now, self.says[0])
        elif _gist(self.reason) not in self._told and now - self._told_at >= OTHER_REASON_SECONDS:
            self._tell(now, self.says[0], for_seconds=round(now - self.since))
        elif now - self._told_at >= SUMMARY_SECONDS:
            self._tell(now, f"{self.says[0]}, still", for_seconds=round(now - self.since))

    def _from(self) -> float:
        """The instant from which a line may be logged."""
        if self.kind is Kind.CAUSE or (self.kind is Kind.CHANGE and not self._told):
            return self.since
        if self._states.causes or self._failed_at < self._states.well_since:
            return float("inf")  # a reason of before may not hold any more
        if self.kind is Kind.LOOP:
            return max(self.since, self._states.well_since) + GRACE_SECONDS
        return max(self.since, self._states.well_since + GRACE_SECONDS)

    def _tell(self, now: float, event: str, **more: object) -> None:
        self._told_at = now
        if _gist(self.reason) not in self._told:
            self._told = [*self._told[-9:], _gist(self.reason)]
        log.warning(event, **self.about, reason=self.reason, **more)


def _gist(reason: str) -> str:
    """The reason without durations: a longer duration is not another reason."""
    return _DURATION.sub("", reason)


class Seldom:
    """Whether a text may be logged again: once a minute. Bounded, as there may be many texts."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: dict[str, float] = {}

    def is_due(self, text: str) -> bool:
        """Whether to log it now."""
        now = self._monotonic()
        if now - self._said.get(text, float("-inf")) < SUMMARY_SECONDS:
            return False
        if len(self._said) >= MOST_TEXTS:
            self._said.clear()
        self._said[text] = now
        return True
