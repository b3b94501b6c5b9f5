"""Quotas of callers: calls and bytes a second, in each replica (docs/security.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from scheduling_srv.domain.errors import OverQuota

MOST_CALLERS = 10_000
"""Callers whose use is remembered. One that is forgotten begins with a full share."""
BURST_SECONDS = 2.0
"""A caller that was silent may use the share of this time at once."""


@dataclass(slots=True)
class _Bucket:
    """What a caller has left, in seconds of its share; negative: it has used more."""

    left: float
    at: float


class Share:
    """Limits a rate for each caller. A caller may be above it once, and then waits."""

    def __init__(
        self, what: str, a_second: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`what` is the plural for the sentence, such as `calls`."""
        self._what = what
        self._a_second = a_second
        self._monotonic = monotonic
        self._buckets: dict[str, _Bucket] = {}
        """The caller that was seen least recently first."""

    def check(self, caller: str) -> None:
        """Raises `OverQuota` while the caller has nothing left."""
        bucket = self._filled(caller)
        if bucket.left <= 0:
            wait = -bucket.left + 1 / self._a_second
            raise OverQuota(
                f"{caller} has used up its quota of {self._a_second} {self._what} a second: send"
                f" the call again in {wait:.3f} s.",
                wait,
                subject=f"caller:{caller}",
            )

    def take(self, caller: str, amount: int) -> None:
        """Count an amount. It may be more than is left."""
        self._filled(caller).left -= amount / self._a_second

    def _filled(self, caller: str) -> _Bucket:
        now = self._monotonic()
        bucket = self._buckets.pop(caller, None)
        if bucket is None:
            while len(self._buckets) >= MOST_CALLERS:
                del self._buckets[next(iter(self._buckets))]
            bucket = _Bucket(BURST_SECONDS, now)
        bucket.left = min(BURST_SECONDS, bucket.left + now - bucket.at)
        bucket.at = now
        self._buckets[caller] = bucket
        return bucket


class Quotas:
    """The shares of all callers; 0 does not limit."""

    def __init__(
        self, *, calls: int, bytes_: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls = Share("calls", calls, monotonic) if calls else None
        self._bytes = Share("bytes", bytes_, monotonic) if bytes_ else None

    def begin(self, caller: str) -> None:
        """Count a call, before its message is read. Raises `OverQuota`."""
        if self._bytes:
            self._bytes.check(caller)
        if self._calls:
            self._calls.check(caller)
            self._calls.take(caller, 1)

    def received(self, caller: str, size: int) -> None:
        """Count the bytes of a message. More than is left delays the next call."""
        if self._bytes:
            self._bytes.take(caller, size)
