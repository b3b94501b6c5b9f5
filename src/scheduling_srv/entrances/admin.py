"""HTTP for operators: is it alive, is it ready, what do the numbers say (docs/operations.md)."""

from __future__ import annotations

import asyncio
import socket
from importlib import import_module

from scheduling_srv.app.health import Health
from scheduling_srv.entrances.addresses import listen

SETTING = "SCHEDULING_ADMIN_ADDRESS"
OFF = "off"
PAGES = "scheduling_srv.entrances.admin_pages"


class AdminServer:
    """The pages on `address` (`host:port`; port 0: any), in the running event loop; or `off`."""

    def __init__(self, address: str, health: Health) -> None:
        self._address = address
        self._health = health
        self._ended = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int | None:
        """Listen; returns the port, None if it is off. Raises `StartError`."""
        if self._address == OFF:
            return None
        place = listen(self._address, SETTING)
        self._serving = asyncio.create_task(self._serve(place))
        port: int = place.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close; may be called before `start`, and twice."""
        self._ended.set()
        if self._serving is not None:
            await self._serving

    async def _serve(self, place: socket.socket) -> None:
        # Importing takes as long as connecting to Kafka, which goes on meanwhile; who asks waits.
        pages = await asyncio.to_thread(import_module, PAGES)
        await pages.serve(place, self._health, self._ended)
