"""Signing in and out."""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from starlette.responses import Response

from scheduling_srv.app.access.call import Call
from scheduling_srv.app.access.callers import ANONYMOUS
from scheduling_srv.domain.errors import Unauthenticated, Unavailable
from scheduling_srv.entrances.web import forms
from scheduling_srv.entrances.web.guests import LINKED, session_of
from scheduling_srv.entrances.web.rendering import link
from scheduling_srv.entrances.web.visit import Visit, go_to
from scheduling_srv.runtime import metrics

USED = "The link is not valid: each works once. The file of the link has a new one."
TOKEN_OR_PASSWORD = "Type a token, or a name and a password."  # noqa: S105 - a sentence
SIGNED_OUT = "You are signed out."
SIGNED_OUT_HERE = (
    "You are signed out of this replica and this browser. Others may still accept a copy of the"
    " cookie."
)
NOT_SET_UP = "Signing in is not set up: set SCHEDULING_CALLERS."

log = structlog.get_logger(__name__)


def needed(visit: Visit) -> Response:
    """The form, instead of a page that needs it."""
    metrics.CALLS_REFUSED.labels(reason="unauthenticated").inc()
    url = visit.request.url
    return _form(visit, status=401, following=f"{url.path}?{url.query}" if url.query else url.path)


async def form(visit: Visit) -> Response:
    """The form; or signs in by the link."""
    code = visit.query("link")
    if not code:
        return _form(visit, following=visit.query("next"))
    visit.site.guests.attempts.check(_host(visit))
    way = visit.site.guests.ways.link
    if way is None or not way.take(code):
        visit.site.guests.attempts.take(_host(visit), 1)
        return _refused(visit, USED)
    text, seconds = visit.guest.sessions.cookie(LINKED.name, "link", "")
    return _signed_in(visit, LINKED.name, text, seconds, "/")


async def sign_in(visit: Visit) -> Response:
    """By what was typed."""
    forms.check_origin(visit.request)
    guests, host = visit.site.guests, _host(visit)
    guests.attempts.check(host)
    guests.attempts.take(host, 1)
    sent = await forms.read_any(visit.request)
    following = forms.text(sent, "next")
    token, name = forms.text(sent, "token"), forms.text(sent, "name")
    password = sent.get("password", ("",))[-1]
    accounts = guests.ways.accounts
    if accounts is None:
        return _refused(visit, NOT_SET_UP, following)
    if not token and not (name and password):
        return _form(visit, status=400, problem=TOKEN_OR_PASSWORD, following=following)
    try:
        given = accounts.prove(token) if token else accounts.prove_password(name, password)
        proven = await given
    except Unauthenticated as fault:
        return _refused(visit, str(fault), following)
    text, seconds = session_of(proven, visit.guest.sessions)
    return _signed_in(visit, proven.caller.name, text, seconds, _own(following))


async def sign_out(visit: Visit) -> Response:
    """End the session, also for copies of its cookie."""
    await visit.form()
    guests, said = visit.site.guests, SIGNED_OUT
    session = guests.session_of(visit.request, visit.guest.sessions)
    try:
        if session:
            await guests.signed_out.end(session)
    except Unavailable as fault:
        said = f"{SIGNED_OUT_HERE} {fault}"
    answer = go_to(link("/sign-in", said=said))
    answer.delete_cookie(visit.site.guests.ways.cookie, path="/", samesite="strict", httponly=True)
    return answer


def _signed_in(visit: Visit, name: str, text: str, seconds: int, following: str) -> Response:
    log.info("signed in at the pages", caller=name, peer=visit.guest.visitor.peer)
    answer = go_to(following)
    answer.set_cookie(
        visit.site.guests.ways.cookie,
        text,
        max_age=seconds,
        path="/",
        secure=visit.site.guests.is_secure(visit.request),
        httponly=True,
        samesite="strict",
    )
    return answer


def _refused(visit: Visit, problem: str, following: str = "") -> Response:
    metrics.CALLS_REFUSED.labels(reason="unauthenticated").inc()
    about = Call(ANONYMOUS, visit.guest.visitor.peer, "POST /sign-in")
    visit.site.v1.note_refusal(about)
    return _form(visit, status=401, problem=problem, following=following)


def _form(visit: Visit, *, status: int = 200, problem: str = "", following: str = "") -> Response:
    return visit.page(
        "sign_in.html",
        status=status,
        problem=problem,
        following=_own(following),
        typed=visit.site.guests.ways.any_form,
        by_link=visit.site.guests.ways.link is not None,
    )


def _own(address: str) -> str:
    """An address of ours, or the first page: a link must not lead to another site."""
    try:
        parts = urlsplit(address)
    except ValueError:  # such as //[
        return "/"
    if parts.scheme or parts.netloc or not address.startswith("/") or address[1:2] in ("/", "\\"):
        return "/"
    return "/" if parts.path == "/sign-in" else address


def _host(visit: Visit) -> str:
    return visit.guest.visitor.peer.rpartition(":")[0]
