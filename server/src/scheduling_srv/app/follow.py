"""Follows the store's signals, and looks by itself in case some were lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.ports import ShardStore, Signals
from scheduling_srv.app.replies import Signal
from scheduling_srv.domain.errors import Unavailable
from scheduling_srv.domain.stored_format import ShardFormat, StoredFormat
from scheduling_srv.formats.versions import READS

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""Seconds between looks while calls wait."""


class Follower:
    """Passes the store's signals to the owner, the waiting calls and the restorer."""

    def __init__(
        self,
        signals: Signals,
        shard: ShardStore,
        announcements: Announcements,
        listeners: Sequence[Callable[[Signal], None]],
        format: ShardFormat | None = None,  # noqa: A002 - its name in the docs
    ) -> None:
        self.signals = signals
        self.shard = shard
        self.announcements = announcements
        self.listeners = listeners
        self.format = format or ShardFormat(StoredFormat(READS))

    async def run(self) -> None:
        """Follow until cancelled."""
        async for signal in self.signals.listen():
            if signal.kind == "published":
                self.announcements.published(signal.lineage, signal.number)
            elif signal.kind == "refused":
                self.announcements.refused(signal.news)
            elif signal.kind == "connected" and self.announcements.waiting:
                await self.look_once()  # earlier refusals have to be known first
            for listener in self.listeners:
                listener(signal)

    async def look(self) -> None:
        """While calls wait, ask how far the outbox is; until cancelled.

        An early format may be raised by another replica: that is asked for as well.
        """
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self.announcements.waiting or self.format.number < READS:
                await self.look_once()

    async def look_once(self) -> None:
        """Ask now."""
        try:
            state = await self.shard.state()
        except Unavailable as fault:
            log.debug("the state of the shard cannot be read", reason=str(fault))
            return
        for news in state.refused:
            self.announcements.refused(news)
        if state.ready:
            self.format.note(state.format)
        if state.ready and state.compared:  # else calls would be answered that Redis has lost
            self.announcements.published(state.lineage, state.trimmed)
