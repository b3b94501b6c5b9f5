"""How long a failed run waits before it is emitted again (docs/contract.md)."""

import math
from enum import IntEnum
from typing import NamedTuple

from scheduling_client.schedules.spread import shortened_ms

LONGEST_MS = 100 * 365 * 86_400_000
"""No delay is longer (100 years), so that due times stay numbers that every store can hold."""

# 2**2100 takes the smallest positive float beyond the largest: more makes no difference.
_LARGEST_EXPONENT = 2100


class BackoffType(IntEnum):
    """How the delay grows; the numbers are those of `job.Backoff.Type` (docs/contract.md)."""

    FIXED = 0
    EXPONENTIAL = 1


class RetryRule(NamedTuple):
    """When a failed run is emitted again. Durations are ms."""

    kind: BackoffType
    delay: float
    cap: int
    """Of exponential delays: a setting."""
    max_delay: int = 0
    """Of all delays of the job; 0: none."""
    random_share: float = 0.0
    """By which share, 0 to 1, a delay may be shorter."""


def retry_delay_ms(kind: BackoffType, delay_ms: float, failures: int, cap_ms: int) -> int:
    """Return how many ms, rounded up, to wait after the `failures`-th failure (1, 2, ...).

    FIXED is `delay_ms`. EXPONENTIAL is `delay_ms * 2 ** (failures - 1)`, at most `cap_ms`.
    A delay that is no number, or not above zero, is 0; an infinite one is the cap.
    """
    return _whole(_grown(kind, delay_ms, failures, cap_ms))


def retry_after_ms(rule: RetryRule, failures: int, job_id: str, nominal: int) -> int:
    """Return the same by the rule of a job of scheduling.v1, for the run of this nominal time."""
    delay = _grown(rule.kind, rule.delay, failures, rule.cap)
    if rule.max_delay:
        delay = min(delay, rule.max_delay)
    if rule.random_share:
        delay = shortened_ms(delay, rule.random_share, job_id, nominal, failures + 1)
    return _whole(delay)


def _grown(kind: BackoffType, delay_ms: float, failures: int, cap_ms: int) -> float:
    if not delay_ms > 0:
        return 0
    if kind is BackoffType.FIXED:
        return cap_ms if math.isinf(delay_ms) else delay_ms
    try:
        grown = math.ldexp(delay_ms, min(max(failures - 1, 0), _LARGEST_EXPONENT))
    except OverflowError:
        grown = math.inf
    return min(grown, cap_ms)


def _whole(milliseconds: float) -> int:
    return max(0, min(math.ceil(milliseconds), LONGEST_MS))
