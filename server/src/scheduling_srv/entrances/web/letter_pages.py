"""Dead letters: records that could not be applied. They are replayed or hidden after a question."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Any

from starlette.responses import Response

from scheduling_client.api import dead_letters
from scheduling_client.api.dead_letters import DeadLetter, LetterFilter
from scheduling_client.api.jobs import Payload
from scheduling_client.api.logic import Steps
from scheduling_srv.entrances.web import forms, orders
from scheduling_srv.entrances.web.filter_bar import FilterBar
from scheduling_srv.entrances.web.orders import Action, Kind, Order
from scheduling_srv.entrances.web.payloads import Shown
from scheduling_srv.entrances.web.rendering import link
from scheduling_srv.entrances.web.visit import Visit

PATH = "/dead-letters"
PAGE_LETTERS = 50


@dataclass(frozen=True, slots=True)
class Asked(FilterBar):
    """The filter bar, as texts."""

    FIELDS = ("event", "reason", "since", "hidden")

    event: str = ""
    reason: str = ""
    since: str = ""
    """RFC 3339; without an offset it is UTC."""
    hidden: str = ""
    """`yes`: also those that are hidden, or were replayed."""

    def where(self) -> LetterFilter:
        """Raises `InvalidRequest` for a time that is none."""
        return LetterFilter(
            event=self.event,
            reason=self.reason,
            since=forms.instant(self.since, "since", UTC) if self.since else None,
            include_hidden=bool(self.hidden),
        )

    def address(self, token: str = "", **other: str) -> str:
        """The page of these dead letters."""
        return link(PATH, **{**self.filters, **other}, after=token)

    @property
    def words(self) -> str:
        """The conditions, for a question."""
        return ", ".join(f"{name} {each}" for name, each in self.filters.items())


async def letters(visit: Visit) -> Response:
    """A page of the dead letters that match, the newest first."""
    asked, token = Asked.of(visit.request.query_params), visit.query("after")
    page = await visit.run(dead_letters.list_page(asked.where(), PAGE_LETTERS, token))
    return visit.page("letters.html", asked=asked, page=page, token=token)


async def letter(visit: Visit) -> Response:
    """One, with its record."""
    found = await visit.run(dead_letters.get(visit.query("id")))
    masked = visit.site.masks_payloads
    shown = [] if masked else await _shown(visit, found)
    return visit.page("letter.html", letter=found, shown=shown, masked=masked)


async def _shown(visit: Visit, found: DeadLetter) -> list[Shown]:
    """The decoded value and the value as it came, each within the bounds of a page."""
    values = (found.decoded.encode(), found.value or b"")
    return [(await visit.site.payloads.shown([Payload(each, "")]))[0] for each in values]


async def count(visit: Visit) -> str:
    """How many there are, such as `3` and `50+`."""
    page = await visit.run(dead_letters.list_page(LetterFilter(), PAGE_LETTERS, ""))
    return f"{len(page.letters)}+" if page.token else str(len(page.letters))


def _replay(order: Order, where: LetterFilter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001 - of a table
    return dead_letters.replay(order.ids, where, dry_run=dry_run)


def _hide(order: Order, where: LetterFilter | None, dry_run: bool) -> Steps[Any]:  # noqa: FBT001
    return dead_letters.hide(order.ids, where, dry_run=dry_run)


KIND = Kind(
    "dead letter",
    "letter",
    f"{PATH}/bulk",
    {
        "replay": Action(
            "replay",
            "replayed",
            _replay,
            "The original records are put on their topics again, each once. Mend the cause first:"
            " a record that fails again is a new dead letter.",
            "None of them is left to be replayed",
        ),
        "hide": Action(
            "hide",
            "hidden",
            _hide,
            "Lists leave them out. Kafka keeps them until its retention ends.",
            "All of them are hidden already",
        ),
    },
    Asked.of,
)
ORDERS = orders.pages(KIND)
