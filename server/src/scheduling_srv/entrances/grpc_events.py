"""EventService of scheduling.v1: a stream of bytes for each watcher (docs/reference)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from scheduling_srv.app.access.call import current, host_of, limits
from scheduling_srv.app.narrowing import events_within
from scheduling_srv.app.watching.watcher import Watcher
from scheduling_srv.domain.errors import SchedulingError
from scheduling_srv.domain.event import EventFilter
from scheduling_srv.entrances.grpc_errors import Context, Stream, refuse
from scheduling_srv.entrances.receive_slots import ReceiveSlots, present
from scheduling_srv.formats.positions import Place
from scheduling_srv.formats.v1 import events as formats

LARGEST_REQUEST = 65_536
"""Bytes."""
ALIVE_SECONDS = 15.0
"""How often a stream without events sends a sign of life."""
END_SECONDS = 5.0
"""How long the status of a stream that nobody reads may take; gRPC keeps it after that."""


class EventsPort(Protocol):
    """The use cases of `app.watching.hub.Hub`."""

    def watcher(
        self, wanted: EventFilter, cursor: str, source: str, *, glances: bool = False
    ) -> AbstractAsyncContextManager[Watcher]:
        """A watcher from a cursor on. `source`: its caller or host.

        `glances`: while there are many events the newest suffice.
        """

    def cursor(self, offsets: Mapping[Place, int]) -> str:
        """As clients send it back."""


def watch_events(events: EventsPort, *, alive_seconds: float = ALIVE_SECONDS) -> Stream:
    """The code of WatchEvents. The first message has no events: it says where the stream begins."""
    slots = ReceiveSlots()

    async def call(context: Context) -> AsyncIterator[bytes]:
        raw = present(await slots.read(context, LARGEST_REQUEST))
        wanted, cursor = formats.decode_watch(raw)
        wanted = events_within(wanted, limits())
        async with events.watcher(wanted, cursor, _source(context)) as watcher:
            watcher.unheard = _end_of(context)
            yield formats.encode_events([], events.cursor(watcher.offsets))
            while True:
                batch = await watcher.take(alive_seconds)
                yield formats.encode_events(batch.events, events.cursor(batch.offsets))

    return call


def _source(context: Context) -> str:
    """Who watches: the caller, or the host if there are no credentials."""
    call = current()
    return call.caller.name if call else host_of(context.peer())


_ending = set[asyncio.Task[None]]()
"""Streams that are being ended: the loop itself keeps no task alive."""


def _end_of(context: Context) -> Callable[[SchedulingError], None]:
    """Ends a stream that waits for its client to read: the stream itself cannot."""
    stream = asyncio.current_task()

    async def end(fault: SchedulingError) -> None:
        refusal = asyncio.ensure_future(refuse(context, fault))
        await asyncio.sleep(0)  # gRPC has the status now. A cancelled stream sends none.
        if stream:
            stream.cancel()
        await asyncio.wait({refusal}, timeout=END_SECONDS)
        refusal.cancel()
        await asyncio.gather(refusal, return_exceptions=True)

    def begin(fault: SchedulingError) -> None:
        task = asyncio.ensure_future(end(fault))
        _ending.add(task)
        task.add_done_callback(_ending.discard)

    return begin
