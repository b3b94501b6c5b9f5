"""Bounds for the connections of the admin port (docs/operations.md).

Each connection holds a file descriptor, and Redis, Kafka and gRPC need descriptors of the same
process. Uvicorn closes a connection that is idle after an answer, but waits for the first request
for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64
"""At a further one, the oldest one without a whole request is closed."""
REQUEST_SECONDS = 5.0
"""From the connection to the end of its request."""
ANSWER_SECONDS = 30.0
"""From the end of the request until the client has the whole answer."""
ONE_REQUEST = [("Connection", "close")]
"""The headers of all answers: a connection is for one request."""

WHOLE = (h11.DONE, h11.MUST_CLOSE)
"""States of a client that has sent its whole request."""


class BoundedProtocol(H11Protocol):
    """One request on one connection, within a time limit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.has_asked = False
        self.made_at = self.loop.time()
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for this connection, and wait for its request."""
        super().connection_made(transport)
        self._limit = self.loop.call_later(REQUEST_SECONDS, transport.abort)
        if len(self.connections) > MAX_CONNECTIONS:
            others = (each for each in self.connections if isinstance(each, BoundedProtocol))
            oldest = min(others, key=lambda each: (each.has_asked, each.made_at))
            self.connections.discard(oldest)  # the loop tells of the end only after other accepts
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Note the end of the request."""
        super().data_received(data)
        if not self.has_asked and self.conn.their_state in WHOLE:
            self.has_asked = True
            self._end_limit()
            self._limit = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection."""
        self._end_limit()
        super().connection_lost(exc)

    def _end_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
