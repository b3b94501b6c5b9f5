"""Definitions of jobs of scheduling.v1, as a campaign asks for them and judges them.

Written from the contract, not from the product: the delays by hash are computed here once more.
Instants are epoch ms, durations ms; 0 is "none".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha1
from typing import Any

from chaos.history import CRON, INTERVAL, NOW, WHEN
from chaos.times import next_cron

ALLOW, SKIP, ONE, LATEST = "", "skip", "one", "latest"
HASH_RANGE = 1 << 32


@dataclass(frozen=True, slots=True)
class Spec:
    """One definition of a job. The `tag` is unique, and in its payload."""

    tag: str
    id: str
    type: str
    trigger: str
    due: int = 0
    period: int = 0
    cron: str = ""
    timezone: str = ""
    start: int = 0
    end: int = 0
    max_runs: int = 0
    start_deadline: int = 0
    jitter: int = 0
    attempts: int = 1
    delay: int = 0
    exponential: bool = False
    max_delay: int = 0
    share: float = 0.0
    overlap: str = ALLOW
    older: str = ""
    """Of runs missed before `window`: LATEST or SKIP; empty: the settings of the service."""
    window: int = 0
    timeout: int = 0
    label: str = ""
    """The value of the label `chaos`."""
    key: str = ""

    @property
    def recurs(self) -> bool:
        """Whether it has more than one occurrence."""
        return self.trigger in (INTERVAL, CRON)

    def delayed(self, nominal: int) -> int:
        """The instant before which the run of a nominal time may not start."""
        return nominal + math.floor(fraction(f"{self.id}/{nominal}") * (self.jitter + 1))

    def backoff(self, nominal: int, attempt: int, cap: int) -> int:
        """How long the attempt (2, 3, ...) waits after the failure of the one before it."""
        delay: float = self.delay
        if self.exponential:
            delay = min(self.delay * 2 ** (attempt - 2), cap)
        if self.max_delay:
            delay = min(delay, self.max_delay)
        return math.ceil(delay * (1 - self.share * fraction(f"{self.id}/{nominal}/{attempt}")))

    def occurrences(self, first: int, until: int) -> Iterator[int]:
        """Nominal times from `first`, which is one, up to but not including an instant."""
        while first < until:
            yield first
            first = self.following(first)

    def following(self, nominal: int) -> int:
        """The nominal time after this one. Only of recurring jobs."""
        if self.trigger == INTERVAL:
            return nominal + self.period
        return next_cron(self.cron, self.timezone, nominal)

    def is_in_phase(self, nominal: int, known: int) -> bool:
        """Whether the schedule has this nominal time, if it has the `known` one."""
        if self.trigger == INTERVAL:
            return (nominal - (self.start or known)) % self.period == 0
        return next_cron(self.cron, self.timezone, nominal - 1) == nominal

    def __str__(self) -> str:
        return f"{self.tag} ({self.trigger}, id {self.id})"


def fraction(text: str) -> float:
    """The first 32 bits of the SHA-1 of a text, from 0 up to but not including 1."""
    digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) / HASH_RANGE


def without_defaults(spec: Spec) -> dict[str, Any]:
    """The fields for the history."""
    empty = asdict(Spec("", "", "", ""))
    return {name: value for name, value in asdict(spec).items() if value != empty[name]}


def is_one_time(spec: Spec) -> bool:
    """Whether the last answer ends the job."""
    return spec.trigger in (NOW, WHEN)
