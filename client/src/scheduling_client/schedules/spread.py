"""Delays that a hash decides, so that they are the same however often they are computed.

Lua computes them as well, in doubles and in this order (docs/decisions/0030). Both are tested with
the vectors in tests/vectors.
"""

from __future__ import annotations

import math
from hashlib import sha1

_RANGE = 1 << 32
_DIGITS = 8


def fraction(text: str) -> float:
    """A number from 0 up to, but not including, 1 that depends on the text alone."""
    digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:_DIGITS], 16) / _RANGE


def jitter_ms(job_id: str, nominal: int, jitter: int) -> int:
    """By how many ms, 0 to `jitter`, the run of this nominal time (epoch ms) is delayed."""
    return math.floor(fraction(f"{job_id}/{nominal}") * (jitter + 1))


def shortened_ms(delay: float, share: float, job_id: str, nominal: int, attempt: int) -> float:
    """`delay` in ms, less a part of up to `share` of it, for the attempt that waits (2, 3, ...)."""
    return delay * (1 - share * fraction(f"{job_id}/{nominal}/{attempt}"))
