"""Server-sent events: bounded in number, and ended for viewers who may not read any more."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, contextmanager
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from scheduling_srv.domain.errors import Overloaded

MOST_STREAMS = 32
"""Of a replica: half of the connections that the port holds."""
MOST_OF_A_VIEWER = 4
"""Of one session: each open page is one."""
TAKEN_SECONDS = 30.0
"""Within which a browser takes a message."""
AGAIN_MS = 3_000
"""After which a browser asks again, if the stream has ended."""
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


class Lasting(Protocol):
    """The connection of a stream."""

    def last(self) -> None:
        """Its answer has no limit of time from now on."""

    def give_up(self, reason: str) -> None:
        """Close it at once."""


class Places:
    """How many streams there are, in all and of each viewer."""

    def __init__(self) -> None:
        self._of = Counter[str]()

    @contextmanager
    def place(self, viewer: str) -> Generator[None]:
        """Of a viewer who has signed in; others have no name. Raises `Overloaded`."""
        if self._of.total() >= MOST_STREAMS:
            raise Overloaded(f"{MOST_STREAMS} pages follow the events of this replica already.")
        if viewer and self._of[viewer] >= MOST_OF_A_VIEWER:
            raise Overloaded(
                f"You follow events on {MOST_OF_A_VIEWER} pages already: close one of them."
            )
        self._of[viewer] += 1
        try:
            yield
        finally:
            self._of[viewer] -= 1
            if not self._of[viewer]:
                del self._of[viewer]


def message(event: str, text: str, name: str = "") -> bytes:
    """One message. `name`: the browser sends it back when it goes on."""
    return "".join(_lines(event, text, name)).encode()


def _lines(event: str, text: str, name: str) -> Iterator[str]:
    """A line end within a text must not end its field."""
    if name:
        yield f"id: {name}\n"
    yield f"event: {event}\n"
    for line in _LINE_ENDS.split(text):
        yield f"data: {line}\n"
    yield "\n"


ALIVE = b": alive\n\n"
FIRST = f"retry: {AGAIN_MS}\n\n".encode()


class EventStream(Response):
    """Sends messages until they end, or the browser leaves."""

    def __init__(self, messages: AsyncGenerator[bytes]) -> None:
        super().__init__(
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self.raw_headers = [each for each in self.raw_headers if each[0] != b"content-length"]
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        connection: Lasting | None = scope.get("state", {}).get("connection")
        if connection:
            connection.last()
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)
        if connection and not writing.cancelled() and isinstance(writing.exception(), TimeoutError):
            connection.give_up(f"A message was not taken within {TAKEN_SECONDS:g} s.")

    async def _write(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        async with aclosing(self._messages) as messages:
            async for each in messages:
                async with asyncio.timeout(TAKEN_SECONDS):
                    await send({"type": "http.response.body", "body": each, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    """Until the browser has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
