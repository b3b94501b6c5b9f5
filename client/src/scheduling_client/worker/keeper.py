"""Asks the store, in a thread of its own if it takes time, and waits for one that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from scheduling_client.worker.stores import Ends, Store

log = logging.getLogger("scheduling_client.worker")
AGAIN_SECONDS = 1.0
Result = TypeVar("Result")


class Keeper:
    """A store beside the event loop. Its calls are made one after the other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(1, "scheduling-store") if store.blocking else None

    async def open(self) -> None:
        """Raises what the store raises."""
        await self._call(self.store.open)

    async def known(self, occurrences: Sequence[str]) -> Ends:
        """The ends of those that have ended."""
        return await self._tried(lambda: self.store.known(occurrences))

    async def note(self, ends: Ends) -> None:
        """Durable when it returns."""
        await self._tried(lambda: self.store.note(ends))

    async def close(self) -> None:
        """Close the store, and end the thread."""
        await self._call(self.store.close)
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    async def _tried(self, call: Callable[[], Result]) -> Result:
        """Until it succeeds: a run is not begun and not answered without the store.

        A store without I/O is asked once. Its errors pass on.
        """
        if self._thread is None:
            return call()
        told = False
        while True:
            try:
                result = await self._call(call)
            except Exception as fault:  # noqa: BLE001 - of any library; told, and tried again
                if not told:
                    told = True
                    log.warning("the store does not answer", extra={"reason": str(fault)})
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                if told:
                    log.info("the store answers again")
                return result

    async def _call(self, call: Callable[[], Result]) -> Result:
        if self._thread is None:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
