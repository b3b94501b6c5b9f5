"""Pages while more runs are due than go out at once: the runs go first (docs/decisions/0034).

A page is then answered later, and for some seconds the guest gets the same page again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from scheduling_srv.entrances.web.visit import Visit

ASKED_SECONDS = 0.5
"""How long a page waits at most that a person has asked for."""
RENEWED_SECONDS = 2.0
"""The same of a page that renews itself."""
KEPT_SECONDS = 5.0
"""How old an answer may be: pages renew themselves that often."""
RENEWED_BY = "hx-request"
"""The header of htmx: some pages answer a part then."""

NEVER_KEPT = frozenset({"/job", "/job/new", "/job/edit"})
"""Their forms name a request. An older page would make a second order a repetition of the first:
an order clears only the pages of the replica that takes it."""


async def answer(visit: Visit, page: Callable[[Visit], Awaitable[Response]]) -> Response:
    """The page of a visit."""
    site = visit.site
    is_renewal = RENEWED_BY in visit.request.headers
    await site.giving_way.wait(RENEWED_SECONDS if is_renewal else ASKED_SECONDS)
    if not site.giving_way.is_due:
        site.pages.clear()
        return await page(visit)
    if visit.request.url.path in NEVER_KEPT:
        return await page(visit)
    return await site.pages.get(_key(visit), KEPT_SECONDS, lambda: page(visit))


def _key(visit: Visit) -> Hashable:
    """Equal for the same page, or the same part, of the same guest with the same rights."""
    guest, url = visit.guest, visit.request.url
    rights = guest.visitor.caller, guest.bound_to, guest.may_read, guest.signed_in
    return url.path, url.query, visit.request.headers.get(RENEWED_BY), rights
