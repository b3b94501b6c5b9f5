"""How long a failed run waits before it is emitted again (docs/contract.md)."""

import math
from enum import IntEnum

LONGEST_MS = 100 * 365 * 86_400_000
"""No delay is longer (100 years), so that due times stay numbers that every store can hold."""

# 2**2100 takes the smallest positive float beyond the largest: more makes no difference.
_LARGEST_EXPONENT = 2100


class BackoffType(IntEnum):
    """How the delay grows; the numbers are those of `job.Backoff.Type` (docs/contract.md)."""

    FIXED = 0
    EXPONENTIAL = 1


def retry_delay_ms(kind: BackoffType, delay_ms: float, failures: int, cap_ms: int) -> int:
    """Return how many ms, rounded up, to wait after the `failures`-th failure (1, 2, ...).

    FIXED is `delay_ms`. EXPONENTIAL is `delay_ms * 2 ** (failures - 1)`, at most `cap_ms`.
    A delay that is no number, or not above zero, is 0; an infinite one is the cap.
    """
    if not delay_ms > 0:
        return 0
    if kind is BackoffType.FIXED:
        return min(_whole(delay_ms, cap_ms), LONGEST_MS)
    try:
        grown = math.ldexp(delay_ms, min(max(failures - 1, 0), _LARGEST_EXPONENT))
    except OverflowError:
        grown = math.inf
    return max(0, min(_whole(grown, cap_ms), cap_ms, LONGEST_MS))


def _whole(milliseconds: float, if_infinite: int) -> int:
    return if_infinite if math.isinf(milliseconds) else math.ceil(milliseconds)
