"""The pages as one ASGI application: routes, headers, and errors as pages."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduling_srv.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    Forbidden,
    InvalidRequest,
    NotFound,
    OverQuota,
    SchedulingError,
    StaleRevision,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from scheduling_srv.entrances.web import (
    backfill_pages,
    courtesy,
    edit_pages,
    event_pages,
    job_orders,
    job_pages,
    letter_pages,
    list_pages,
    overview_pages,
    run_orders,
    run_pages,
    sign_in_pages,
    system_pages,
    upcoming_pages,
    why_pages,
)
from scheduling_srv.entrances.web.guests import Guest
from scheduling_srv.entrances.web.rendering import assets
from scheduling_srv.entrances.web.visit import Site, Visit

Page = Callable[[Visit], Awaitable[Response]]
GET, POST = ("GET",), ("POST",)

READING: Mapping[str, Page] = {
    "/": overview_pages.overview,
    "/jobs": list_pages.jobs,
    "/job": job_pages.job,
    why_pages.PATH: why_pages.why,
    "/job/new": edit_pages.new,
    "/job/edit": edit_pages.edit,
    "/upcoming": upcoming_pages.upcoming,
    "/runs": run_pages.runs,
    "/events": event_pages.events,
    "/events/stream": event_pages.stream,
    "/system": system_pages.overview_of,
    letter_pages.PATH: letter_pages.letters,
    "/dead-letter": letter_pages.letter,
}
"""Need signing in, unless reading is open."""
STREAMS = frozenset({"/events/stream"})
"""Answers that last, and are for one guest."""
FOR_ADMINS = frozenset({letter_pages.PATH, "/dead-letter"})
"""Need signing in always, and the role admin, which the methods behind them check."""
PREVIEW = "/job/preview"
ACTING: Mapping[str, Page] = {
    "/job/pause": job_pages.pause,
    "/job/resume": job_pages.resume,
    "/job/run": job_pages.run,
    "/job/delete": job_pages.delete,
    "/job/backfill": backfill_pages.ask,
    "/job/backfill/do": backfill_pages.do,
    "/job/create": edit_pages.create,
    "/job/update": edit_pages.update,
    PREVIEW: edit_pages.preview,
    **job_orders.PAGES,
    **run_orders.PAGES,
    **letter_pages.ORDERS,
    "/type/pause": job_pages.pause_type,
    "/type/resume": job_pages.resume_type,
    "/sign-out": sign_in_pages.sign_out,
}
"""Forms: `Visit.form` refuses those who have not signed in."""

STATUSES: Sequence[tuple[type[SchedulingError], int, str]] = (
    (InvalidRequest, 400, "This cannot be done"),
    (Unauthenticated, 401, "Not signed in"),
    (Forbidden, 403, "Not allowed"),
    (NotFound, 404, "Not found"),
    (AlreadyExists, 409, "It exists already"),
    (StaleRevision, 409, "Changed meanwhile"),
    (FailedPrecondition, 409, "This cannot be done now"),
    (TooLarge, 413, "Too large"),
    (OverQuota, 429, "Too often"),
    (Unsupported, 501, "Not supported"),
    (Unavailable, 503, "Not available now"),
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No script and no style of another place, and none inline."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
FOR_EVER = "public, max-age=31536000, immutable"
OWN = "no-store"

log = structlog.get_logger(__name__)


def application(site: Site) -> ASGIApp:
    """The pages of a site."""
    routes: list[BaseRoute] = [
        Route(path, _shown(site, path, page), methods=list(GET)) for path, page in READING.items()
    ]
    routes += [
        Route(path, _acting(site, page), methods=list(POST)) for path, page in ACTING.items()
    ]
    routes += [
        Route("/sign-in", _visited(site, sign_in_pages.form), methods=list(GET)),
        Route("/sign-in", _visited(site, sign_in_pages.sign_in), methods=list(POST)),
        Route("/static/{name}", _asset, methods=list(GET)),
        Route("/{path:path}", _visited(site, _unknown)),
    ]
    return _with_headers(Starlette(routes=routes))


async def _asset(request: Request) -> Response:
    """Open to all: it is in the package."""
    found = assets().get(request.path_params["name"])
    if found is None:
        return PlainTextResponse("There is no such file.\n", status_code=404)
    return Response(found.content, media_type=found.kind, headers={"Cache-Control": FOR_EVER})


async def _unknown(visit: Visit) -> Response:
    raise NotFound(f"There is no page {visit.request.url.path}.")


def _shown(site: Site, path: str, page: Page) -> Callable[[Request], Awaitable[Response]]:
    """A page for guests that may read, or have signed in; others are asked to sign in."""

    async def call(visit: Visit) -> Response:
        if not (visit.guest.signed_in if path in FOR_ADMINS else visit.guest.may_read):
            return sign_in_pages.needed(visit)
        return await (page(visit) if path in STREAMS else courtesy.answer(visit, page))

    return _visited(site, call)


def _acting(site: Site, page: Page) -> Callable[[Request], Awaitable[Response]]:
    """A page that may change something: answers of before do not show it.

    An error may come after the change. A guest who has not signed in changes nothing, and a preview
    is asked for with each change of a form: then answers stay shared.
    """

    async def call(visit: Visit) -> Response:
        try:
            return await page(visit)
        finally:
            if visit.guest.signed_in and visit.request.url.path != PREVIEW:
                site.fresh.clear()
                site.pages.clear()

    return _visited(site, call)


def _visited(site: Site, page: Page) -> Callable[[Request], Awaitable[Response]]:
    """A page whose guest is known, with errors as pages."""

    async def call(request: Request) -> Response:
        guest: Guest | None = None
        try:
            guest = await site.guests.identify(request)
            return await page(Visit(site, request, guest))
        except SchedulingError as fault:
            status, title = next(
                ((code, title) for kind, code, title in STATUSES if isinstance(fault, kind)),
                (500, "A fault of the service"),
            )
            return _fault(site, request, guest, status, title, str(fault))
        except Exception:
            reference = secrets.token_hex(4)
            log.exception("a page broke", reference=reference, page=request.url.path)
            sentence = f"A fault of the service: its log tells more about {reference}."
            return _fault(site, request, guest, 500, "A fault of the service", sentence)

    return call


def _fault(  # noqa: PLR0917 - one call above
    site: Site, request: Request, guest: Guest | None, status: int, title: str, sentence: str
) -> Response:
    if guest is None:  # the key of the sessions is not known, or the name is a foreign one
        return PlainTextResponse(f"{title}: {sentence}\n", status_code=status)
    return Visit(site, request, guest).page(
        "fault.html", status=status, title=title, sentence=sentence
    )


def _with_headers(inner: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]  # a copy: an answer may be sent again
                names = {name.lower() for name, _ in headers}
                headers += [(name.encode(), text.encode()) for name, text in HEADERS.items()]
                if b"cache-control" not in names:
                    headers.append((b"Cache-Control", OWN.encode()))
                message = {**message, "headers": headers}
            await send(message)

        await inner(scope, receive, sent)

    return call
