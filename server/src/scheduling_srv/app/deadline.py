"""How long the caller of a use case waits for its answer.

The gRPC entrance knows the deadline of the call. The use case that waits for an announcement has to
answer before it: otherwise the caller does not learn the fate of its change (docs/contract.md). A
context variable carries the deadline, so that no signature in between needs it. Tasks that serve
several callers must not read it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_MARGIN_SHARE, _LONGEST_MARGIN = 0.1, 0.25

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Note for the code inside that its caller waits for `seconds`; None: without limit.

    A tenth of it, but at most a quarter of a second, is reserved for sending the answer.
    """
    margin = 0.0 if seconds is None else min(seconds * _MARGIN_SHARE, _LONGEST_MARGIN)
    token = _deadline.set(None if seconds is None else time.monotonic() + seconds - margin)
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float | None:
    """Seconds until the answer has to be on its way, not negative; None: there is no deadline."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def at_most(seconds: float) -> float:
    """`seconds`, or less if the caller does not wait for so long."""
    left = remaining()
    return seconds if left is None else min(seconds, left)
