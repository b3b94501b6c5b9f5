"""Says for whom a task works: a client of the gRPC API, or the service itself.

Each has connections to Redis of its own, so clients queue among themselves and never delay the
owner or the listener. A context variable carries it to all tasks that a task makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_for_client: ContextVar[bool] = ContextVar("for_client", default=False)


@contextmanager
def client_call() -> Iterator[None]:
    """Let what runs inside, and tasks that it makes, count as a client's."""
    token = _for_client.set(True)
    try:
        yield
    finally:
        _for_client.reset(token)


def is_client_call() -> bool:
    """Whether the current task works for a client."""
    return _for_client.get()
