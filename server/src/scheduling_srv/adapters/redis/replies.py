"""The first word of a script's reply, and the error that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduling_srv.app.ports import TOO_MANY_RESTORES
from scheduling_srv.domain.errors import (
    Contended,
    Diverged,
    LeaseLost,
    Overloaded,
    StaleSource,
    StoreFull,
    StoreNotReady,
    TooMany,
)


def checked(reply: Sequence[Any]) -> Sequence[Any]:
    """The reply after `ok`.

    Raises `StoreNotReady`, `StaleSource`, `Overloaded`, `Contended`, `StoreFull` or `TooMany`.
    """
    state = reply[0]
    if state == b"ok":
        return reply[1:]
    if state == b"not ready":
        msg = "The schedule is being recovered from Kafka."
        raise StoreNotReady(msg)
    if state == b"full":
        msg = "Kafka is behind: too many announcements wait for it already."
        raise Overloaded(msg)
    if state == b"moving":
        msg = "Another call changes a job of this id: nothing was changed, send it again."
        raise Contended(msg)
    if state == b"many":
        raise TooMany(TOO_MANY_RESTORES)
    if state == b"crowded":
        msg = "Redis is nearly full: no job is taken in until there is room. Nothing was stored."
        raise StoreFull(msg)
    msg = "The store is not where the consumer believed it to be."
    raise StaleSource(msg)


def owned(reply: Any) -> Any:  # noqa: ANN401 - each script has its own answer
    """The reply of a call that carries the owner's token. Raises `LeaseLost`, `Diverged`."""
    state = reply[0] if isinstance(reply, list) else reply
    if state == b"lost":
        msg = "Another replica owns the shard by now."
        raise LeaseLost(msg)
    if state == b"gone":
        msg = "The lease is gone from Redis, and no replica has it: it expired, or it was deleted."
        raise LeaseLost(msg)
    if state == b"diverged":
        msg = "What is published does not lie within the outbox."
        raise Diverged(msg)
    return reply
