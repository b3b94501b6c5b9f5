"""Events as they happen: a page with the latest ones, and the stream that goes on from there."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from starlette.responses import Response

from scheduling_client.api.events import EventFilter, EventKind
from scheduling_srv.domain.errors import InvalidRequest, Overloaded, SchedulingError, Unavailable
from scheduling_srv.entrances.web.filter_bar import FilterBar
from scheduling_srv.entrances.web.filters import labels_in
from scheduling_srv.entrances.web.rendering import link
from scheduling_srv.entrances.web.streams import ALIVE, FIRST, EventStream, message
from scheduling_srv.entrances.web.tails import LOST, Tail
from scheduling_srv.entrances.web.visit import Visit

KINDS: Mapping[str, EventKind] = {
    kind.name.lower(): kind for kind in EventKind if kind is not EventKind.UNKNOWN
}
ALIVE_SECONDS = 15.0
"""How often a stream without events sends a sign of life."""
AGAIN_SECONDS = 30.0
"""How often it is asked whether the viewer may still read."""


@dataclass(frozen=True, slots=True)
class Asked(FilterBar):
    """The filter bar, as texts."""

    FIELDS = ("type", "job", "label", "kind")

    type: str = ""
    job: str = ""
    label: str = ""
    kind: str = ""

    def where(self) -> EventFilter:
        """Raises `InvalidRequest` for labels and kinds that are none."""
        if self.kind and self.kind not in KINDS:
            raise InvalidRequest(f"There is no kind {self.kind!r}: {', '.join(KINDS)}.")
        return EventFilter(
            job_id=self.job,
            type=self.type,
            labels=labels_in(self.label),
            kinds=[KINDS[self.kind]] if self.kind else [],
        )

    @property
    def stream(self) -> str:
        """The address of the stream."""
        return link("/events/stream", **self.filters)


async def events(visit: Visit) -> Response:
    """The latest events, as far as a page has shown them before."""
    asked = Asked.of(visit.request.query_params)
    async with visit.site.tails.joined(visit.guest.visitor, asked.where()) as tail:
        fault = await tail.begun()
        pieces = [*tail.pieces]
        last = tail.name_of(pieces[-1]) if pieces else f"{tail.mark}.0"
    return visit.page(
        "events.html",
        asked=asked,
        kinds=list(KINDS),
        pieces=pieces[::-1],
        last=last,
        lost=LOST,
        problem=str(fault) if fault else "",
        may_come=fault is None or _may_come(fault),
    )


async def stream(visit: Visit) -> Response:
    """The same as server-sent events, from the piece on that the browser has seen last."""
    where = Asked.of(visit.request.query_params).where()
    return EventStream(_messages(visit, where))


async def _messages(visit: Visit, where: EventFilter) -> AsyncGenerator[bytes]:
    """A fault is a message, too: the browser shows its sentence, and may ask again."""
    yield FIRST
    viewer = visit.guest.bound_to
    try:
        with visit.site.places.place(viewer):
            async with visit.site.tails.joined(visit.guest.visitor, where) as tail:
                async for each in _pieces(visit, tail):
                    yield each
    except SchedulingError as fault:
        yield message("unavailable" if _may_come(fault) else "refused", str(fault))


def _may_come(fault: SchedulingError) -> bool:
    """Whether a browser should ask again by itself."""
    return isinstance(fault, Unavailable) and not isinstance(fault, Overloaded)


async def _pieces(visit: Visit, tail: Tail) -> AsyncGenerator[bytes]:
    # A browser that goes on by itself sends the header, and the address of its begin.
    seen = visit.request.headers.get("last-event-id") or visit.query("after")
    number, checked = tail.place_of(seen), time.monotonic()
    while True:
        pieces = await tail.after(number, ALIVE_SECONDS)
        is_out = visit.site.guests.signed_out.knows(visit.guest.bound_to)
        if not is_out and time.monotonic() >= checked + AGAIN_SECONDS:
            checked = time.monotonic()
            is_out = not await _may_still(visit)
        if is_out:
            yield message("refused", "You are signed out.")
            return
        for piece in pieces:
            number = piece.number
            yield message("rows", piece.rows, tail.name_of(piece))
        if not pieces:
            yield ALIVE


async def _may_still(visit: Visit) -> bool:
    """The same guest, with the same limits."""
    guest = await visit.site.guests.identify(visit.request)
    return guest.may_read and guest.visitor.caller == visit.guest.visitor.caller
