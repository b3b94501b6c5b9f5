"""Bounds for the connections of the admin port (docs/operations.md).

Each connection holds a file descriptor, and Redis, Kafka and gRPC need descriptors of the same
process. Uvicorn closes a connection that is idle after an answer, but waits for the first request
for ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from scheduling_srv.entrances.admin import MAX_CONNECTIONS
from scheduling_srv.runtime.throttle import Throttle

REQUEST_SECONDS = 5.0
"""Seconds from the connection to the end of its request."""
ANSWER_SECONDS = 30.0
"""Seconds from the end of the request until the client has the whole answer."""
ONE_REQUEST = [("Connection", "close")]
"""The headers of all answers: a connection is for one request."""

WHOLE = (h11.DONE, h11.MUST_CLOSE)
"""States of a client that has sent its whole request."""

REFUSALS = Throttle("connections to the admin port were refused", counted="count")


def _note(client: tuple[str, int] | None, reason: str) -> None:
    """A connection of this client was refused."""
    last_client = "unknown" if client is None else f"{client[0]}:{client[1]}"
    REFUSALS.note(last_client=last_client, last_reason=reason)


class _Logger(logging.Logger):
    """Uvicorn's logger, for one connection. A client causes as many warnings as it likes."""

    def __init__(self, connection: BoundedProtocol) -> None:
        super().__init__("uvicorn.error")
        self.parent = logging.getLogger(self.name)
        self._connection = connection

    def warning(self, msg: object, *args: object, **_kwargs: object) -> None:
        """Count it."""
        _note(self._connection.client, str(msg) % args)


class BoundedProtocol(H11Protocol):
    """One request on one connection, within a time limit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.logger = _Logger(self)
        self.has_asked = False
        self.lasts = False
        """It has an answer that lasts: its number is bounded elsewhere."""
        self.made_at = self.loop.time()
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for this connection, and wait for its request."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "connection": self}
        if tls := transport.get_extra_info("ssl_object"):
            self.app_state = {**self.app_state, "certificate": tls.getpeercert()}
        self._limit = self.loop.call_later(
            REQUEST_SECONDS, self._refuse, f"No whole request within {REQUEST_SECONDS:g} s."
        )
        if len(self.connections) > MAX_CONNECTIONS:
            others = (each for each in self.connections if isinstance(each, BoundedProtocol))
            oldest = min(others, key=lambda each: (each.lasts, each.has_asked, each.made_at))
            self.connections.discard(oldest)  # the loop reports the end only after other accepts
            oldest._refuse(f"More than {MAX_CONNECTIONS} connections.")  # noqa: SLF001

    def data_received(self, data: bytes) -> None:
        """Note the end of the request."""
        super().data_received(data)
        if not self.has_asked and self.conn.their_state in WHOLE:
            self.has_asked = True
            self._end_limit()
            self._limit = self.loop.call_later(
                ANSWER_SECONDS, self._refuse, f"Answer not taken within {ANSWER_SECONDS:g} s."
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection."""
        self._end_limit()
        super().connection_lost(exc)

    def last(self) -> None:
        """The answer has no limit of time: it is a stream. Its application bounds them."""
        self.lasts = True
        self._end_limit()

    def give_up(self, reason: str) -> None:
        """Close the connection of a client that does not take its answer."""
        self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        _note(self.client, reason)
        self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing is wrong: the request is answered without the upgrade, as HTTP allows."""

    def _end_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
