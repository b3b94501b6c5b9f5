"""Calls that read much take turns: the calls of the owner wait for each of them in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scheduling_srv.app import deadline
from scheduling_srv.domain.errors import Overloaded

READ_TIMEOUT_SECONDS = 60.0
"""Seconds that a call waits for its turn; its own deadline may be shorter."""
BUSY = "Too many Reads are under way: send it again a little later, or select less."


@asynccontextmanager
async def turn(turns: asyncio.Semaphore) -> AsyncIterator[None]:
    """Wait for a place, in order. Raises `Overloaded` when the caller's deadline comes first."""
    try:
        async with asyncio.timeout(deadline.at_most(READ_TIMEOUT_SECONDS)):
            await turns.acquire()
    except TimeoutError as fault:
        raise Overloaded(BUSY) from fault
    try:
        yield
    finally:
        turns.release()
