"""Raises the format of the stored data after an upgrade (docs/decisions/0024).

The owner does it once no replica of the version before has been connected for a while: until then
that version may be started again. If another shard has the new format, it cannot be: then the owner
does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from scheduling_srv.app.format_ports import FormatRaising, Raised, RaiseVerdict
from scheduling_srv.domain.errors import LeaseLost, Unavailable
from scheduling_srv.domain.stored_format import StoredFormat
from scheduling_srv.formats.versions import READS

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two looks; also until the next one after Redis did not answer."""
RAISED = "The stored data has a new format: the shard is taken over anew."
BLIND = "the stored data keeps its format, because Redis does not tell which replicas are connected"


class Upgrade:
    """Of one shard, for its owner."""

    def __init__(
        self,
        store: FormatRaising,
        after_ms: int,
        monotonic: Callable[[], float] = time.monotonic,
        stored: StoredFormat | None = None,
    ) -> None:
        """`after_ms`: how long no replica of the version before must have been connected.

        `stored`: of all shards, as far as it is known.
        """
        self.store = store
        self.stored = stored or StoredFormat()
        self.after_seconds = after_ms / 1000
        self.monotonic = monotonic
        self._alone_since: float | None = None
        self._told = ""

    async def run(self, token: str) -> None:
        """Look until the format may be raised, and raise it. Then wait to be cancelled.

        Raises `LeaseLost`, also after it has raised the format.
        """
        self._alone_since = None
        while not await self.run_once(token):  # noqa: ASYNC110 - other replicas come and go
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.get_running_loop().create_future()

    async def run_once(self, token: str) -> bool:
        """Returns whether the stored data had the newest format. Raises `LeaseLost`."""
        try:
            found = await self.store.raise_format(token, READS, looks=True)
            if self._is_time(found) and await self._raise(token):
                raise LeaseLost(RAISED)
        except Unavailable as fault:
            log.debug("the format cannot be raised now", reason=str(fault))
            return False
        return found.verdict is RaiseVerdict.RAISED

    def _is_time(self, found: Raised) -> bool:
        self._tell(found)
        if found.verdict is not RaiseVerdict.ALONE:
            self._alone_since = None
            return False
        if self.stored.newest >= READS:
            return True
        now = self.monotonic()
        self._alone_since = now if self._alone_since is None else self._alone_since
        return now - self._alone_since >= self.after_seconds

    async def _raise(self, token: str) -> bool:
        found = await self.store.raise_format(token, READS)
        if found.verdict is RaiseVerdict.RAISED:
            log.info("the stored data has a new format", format=READS)
        return found.verdict is RaiseVerdict.RAISED

    def _tell(self, found: Raised) -> None:
        text = found.older or found.verdict
        if text == self._told:
            return
        self._told = text
        if found.verdict is RaiseVerdict.BLIND:
            log.warning(BLIND, remedy="let the user of Redis use PUBSUB")
        elif found.verdict is RaiseVerdict.OLDER:
            log.info("the stored data keeps its format for an earlier version", replica=found.older)
