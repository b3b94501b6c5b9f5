"""HTTP for operators: liveness, readiness and metrics (docs/operations.md)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from scheduling_srv.app.access.door import Door
from scheduling_srv.app.health.health import Health
from scheduling_srv.entrances.addresses import listen
from scheduling_srv.entrances.tls import Certificates

if TYPE_CHECKING:  # a start need not wait for it
    from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger(__name__)

SETTING = "SCHEDULING_ADMIN_ADDRESS"
OFF = "off"
MAX_CONNECTIONS = 64
"""At a further connection, the oldest one without a whole request is closed."""
PAGES = "scheduling_srv.entrances.admin_pages"


async def _nothing() -> None:
    """For a service without figures."""


class Lazy:
    """An application that is made at its first request: until then nothing of it is imported."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._made: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        await self._made(scope, receive, send)


class AdminServer:
    """The pages on `address` (`host:port`; port 0: any), in the running event loop; or `off`."""

    def __init__(
        self,
        address: str,
        health: Health,
        measure: Callable[[], Awaitable[None]] = _nothing,
        *,
        door: Door | None = None,
        certificates: Certificates | None = None,
        pages: ASGIApp | None = None,
        setting: str = SETTING,
    ) -> None:
        """`measure` updates the figures for a request of `/metrics`. Must not raise.

        Without `door` all pages are open, without `certificates` they are HTTP. `pages` answers all
        paths but those of the probes. `setting` names the address in errors.
        """
        self._address = address
        self._pages = pages
        self._setting = setting
        self._door = door
        self._certificates = certificates
        self._renewed = asyncio.Event()
        """Serve with new certificates, or end."""
        if certificates:
            certificates.on_change.append(self._renewed.set)
        self._measure = measure
        self._health = health
        self._asked = asyncio.Event()
        self._ended = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int | None:
        """Listen; returns the port, None if it is off. Raises `StartError`."""
        if self._address == OFF:
            return None
        place = listen(self._address, self._setting)
        self._serving = asyncio.create_task(self._serve(place))
        port: int = place.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close; may be called before `start`, and twice."""
        self._ended.set()
        self._renewed.set()
        self._asked.set()
        if self._serving is not None:
            await self._serving

    async def _serve(self, place: socket.socket) -> None:
        """Import the pages at the first request for one: a start need not wait for that."""
        loop = asyncio.get_running_loop()
        loop.add_reader(place, self._asked.set)
        await self._asked.wait()
        loop.remove_reader(place)
        try:
            if not self._ended.is_set():
                pages = await asyncio.to_thread(import_module, PAGES)
            while not self._ended.is_set():
                self._renewed.clear()
                application = pages.application(
                    self._health, self._measure, self._door, self._pages
                )
                context = self._certificates.context() if self._certificates else None
                await pages.serve(place.dup(), application, context, self._renewed)
        except Exception:
            # Jobs continue without the pages; requests are refused instead of kept waiting.
            log.exception("the admin port has failed")
        finally:
            place.close()
