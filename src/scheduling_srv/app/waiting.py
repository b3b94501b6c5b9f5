"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event, or for so long; None: however long it takes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
