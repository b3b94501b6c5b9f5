"""A TCP proxy on loopback that cuts, delays, holds and refuses; for Kafka it knows the requests.

All proxies of a process run on one event loop in a thread of its own; any thread may call them.
"""

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE_SECONDS

CHUNK = 65_536
END_TXN = 26
"""Kafka's number of the request that ends a transaction."""
PRODUCE = 0

Action = Callable[[], bool]
"""Called in the proxy's thread before the request goes on; False: it does not, and all is cut."""
Wanted = Callable[[bytes, list[int]], bool]
"""Given a piece and the kinds of Kafka requests that begin in it: whether it is the one."""


class ProxyLoop:
    """The thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self._proxies: list[Proxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for proxy in self._proxies:
            self.run(proxy.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)

    def proxy(self, upstream: int, port: int | None = None) -> "Proxy":
        """Listens; `upstream` is a loopback port, and may change."""
        made = Proxy(self, upstream, port or free_port())
        self._proxies.append(made)
        self.run(made.listen())
        return made


class Proxy:
    """One listening port."""

    def __init__(self, proxies: ProxyLoop, upstream: int, port: int) -> None:
        self.upstream = upstream
        self.port = port
        self.delay = 0.0
        """Seconds that each piece waits, in both directions."""
        self.refusing = False
        """New connections are closed at once."""
        self._proxies = proxies
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._armed: tuple[Wanted, Action] | None = None

    # --- From any thread ----------------------------------------------------------------------

    def cut(self) -> None:
        """Close every connection."""
        self._proxies.run(self._cut())

    def hold(self) -> None:
        """Nothing passes, and nothing is closed: a network that swallows."""
        self._flowing.clear()  # at once, also for a piece whose action calls this

    def release(self) -> None:
        self._proxies.loop.call_soon_threadsafe(self._flowing.set)

    def arm(self, request: int, action: Action) -> None:
        """Calls `action` once, when the next Kafka request of this kind comes by."""
        self._armed = (lambda _data, requests: request in requests, action)

    def arm_data(self, wanted: Callable[[bytes], bool], action: Action) -> None:
        """Calls `action` once, when such a piece of what is sent to the server comes by."""
        self._armed = (lambda data, _requests: wanted(data), action)

    def disarm(self) -> None:
        self._armed = None

    # --- In the loop --------------------------------------------------------------------------

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, upstream[1]}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, upstream[1], Frames()), self._pump(upstream[0], writer, None)
            )
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: "Frames | None"
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if frames is not None and not self._pass(data, frames.feed(data)):
                    break
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def _pass(self, data: bytes, requests: list[int]) -> bool:
        armed = self._armed
        if armed is None or not armed[0](data, requests):
            return True
        self._armed = None
        return armed[1]()


class Frames:
    """Finds the kinds of Kafka requests in a stream; of other protocols it finds nonsense."""

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0

    def feed(self, data: bytes) -> list[int]:
        """Kinds of the requests whose heads are complete now."""
        found: list[int] = []
        while data:
            if self._skip:
                step = min(self._skip, len(data))
                self._skip -= step
                data = data[step:]
                continue
            need = 6 - len(self._head)
            self._head += data[:need]
            data = data[need:]
            if len(self._head) == 6:
                size, kind = struct.unpack(">iH", self._head)
                found.append(kind)
                self._head = b""
                self._skip = max(0, size - 2)
        return found
