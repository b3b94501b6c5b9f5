"""Viewers of the admin pages: a stream of events each, and pages. A helper (`bench.actors`)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from itertools import cycle
from urllib.parse import urlsplit

from bench.actors import Reply, quantile, serve

PAGES = ("/", "/jobs", "/", "/runs", "/", "/upcoming")
"""The first page is looked at most."""
RENEWAL = "HX-Request: true\r\n"
"""As the script of a page asks for it again: each page is asked for, and renewed once."""
EVERY_SECONDS = 5.0
"""As pages renew themselves."""
AGAIN_SECONDS = 3.0
FIRST_MESSAGE_SECONDS = 20.0
"""A stream tells of a run later than the run is out: viewers stay for it so long at most."""
CHUNK = 65_536
FIRST_LINE = b"HTTP/1.1 200"
ROWS = b"event: rows\n"


class Viewer:
    """One browser that looks at one replica."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.messages = 0
        self.seconds: list[float] = []
        """Of each page, to its last byte."""
        self.faults: list[str] = []

    async def watch(self) -> None:
        """The stream of events, again if it ends."""
        while True:
            try:
                await self._stream()
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as fault:
                self.faults.append(f"stream: {fault}")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _stream(self) -> None:
        reader, writer = await self._ask("/events/stream")
        try:
            rest = await reader.readuntil(b"\r\n\r\n")
            if not rest.startswith(FIRST_LINE):
                self.faults.append(f"stream: {rest[:60]!r}")
            while piece := await reader.read(CHUNK):
                self.messages += piece.count(ROWS)
                if b"event: fault" in piece:
                    self.faults.append(f"stream: {piece[:200]!r}")
        finally:
            writer.close()

    async def look(self, wait: float) -> None:
        """A page every five seconds, from so many seconds on."""
        await asyncio.sleep(wait)
        for path, headers in cycle((path, each) for path in PAGES for each in ("", RENEWAL)):
            began = time.perf_counter()
            try:
                answer = await self._page(path, headers)
            except OSError as fault:
                self.faults.append(f"{path}: {fault}")
                answer = FIRST_LINE
            if not answer.startswith(FIRST_LINE):
                self.faults.append(f"{path}: {answer[:60]!r}")
            self.seconds.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, began + EVERY_SECONDS - time.perf_counter()))

    async def _page(self, path: str, headers: str) -> bytes:
        """The whole answer. Raises `OSError`."""
        reader, writer = await self._ask(path, headers)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def _ask(
        self, path: str, headers: str = ""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises `OSError`."""
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=1 << 20)
        host = f"Host: {self.host}:{self.port}\r\n"
        writer.write(f"GET {path} HTTP/1.1\r\n{host}{headers}\r\n".encode())
        return reader, writer


class Viewers:
    """Many of them, in a thread of their own."""

    def __init__(self) -> None:
        self._viewers: Sequence[Viewer] = ()
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def start(self, base: str, count: int) -> Reply:
        """Begin to look at the pages of a replica."""
        self._viewers = [Viewer(base) for _ in range(count)]
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return {}

    def stop(self) -> Reply:
        """End them. Returns messages of the slowest stream, pages, seconds and faults."""
        stopping = asyncio.run_coroutine_threadsafe(self._stop(), self._loop)
        stopping.result(FIRST_MESSAGE_SECONDS + 10)
        seconds = sorted(each for viewer in self._viewers for each in viewer.seconds)
        return {
            "messages": min(viewer.messages for viewer in self._viewers),
            "pages": len(seconds),
            "p50": quantile(seconds, 0.5) if seconds else 0.0,
            "p99": quantile(seconds, 0.99) if seconds else 0.0,
            "faults": [fault for viewer in self._viewers for fault in viewer.faults][:5],
        }

    async def _start(self) -> None:
        """Spread over the five seconds."""
        for place, viewer in enumerate(self._viewers):
            wait = EVERY_SECONDS * place / len(self._viewers)
            self._tasks += [
                asyncio.create_task(viewer.watch()),
                asyncio.create_task(viewer.look(wait)),
            ]

    async def _stop(self) -> None:
        until = time.monotonic() + FIRST_MESSAGE_SECONDS
        while time.monotonic() < until and not all(  # noqa: ASYNC110 - nothing tells of it
            each.messages for each in self._viewers
        ):
            await asyncio.sleep(0.05)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []


if __name__ == "__main__":
    serve(Viewers())
