"""Finds out for whom a request is made: by session, proxy, token, certificate, or not at all."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request

from scheduling_srv.app.access.accounts import Accounts, Proven
from scheduling_srv.app.access.callers import ANONYMOUS, Caller, Role
from scheduling_srv.app.access.door import Door
from scheduling_srv.app.access.quotas import Share
from scheduling_srv.domain.errors import Forbidden, Unauthenticated, Unavailable
from scheduling_srv.domain.limits import Limits
from scheduling_srv.entrances.tls import certificate_names
from scheduling_srv.entrances.web.link import Link
from scheduling_srv.entrances.web.service import Visitor
from scheduling_srv.entrances.web.sessions import Session, Sessions
from scheduling_srv.entrances.web.signed_out import SignedOut, SignedOutStore

KEY_SECONDS = 30.0
"""Seconds for which the key of the sessions is not read again."""
AGAIN_SECONDS = 5.0
"""The same after a read that failed."""
LINKED = Caller("link", Role.ADMIN)
"""Who has used the link of the file."""
REBOUND = (
    "Without credentials the pages answer to names of this host only, such as 127.0.0.1 or"
    " localhost. Set SCHEDULING_CALLERS to reach them by other names."
)
Network: TypeAlias = IPv4Network | IPv6Network


class SharedKey(Protocol):
    """The key that all replicas share."""

    async def read(self) -> bytes:
        """Raises `Unavailable`."""


class Guest(NamedTuple):
    """For whom a request is made."""

    visitor: Visitor
    sessions: Sessions
    bound_to: str
    """What the tokens of forms are bound to."""
    may_read: bool
    """Else it has to sign in first."""
    signed_in: bool
    """Only then it may act."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways of signing in, and whether reading needs one of them."""

    key: SharedKey
    signed_out: SignedOutStore | None = None
    door: Door | None = None
    accounts: Accounts | None = None
    link: Link | None = None
    header: str = ""
    """Of a proxy, with the name of a caller."""
    proxies: Sequence[Network] = ()
    open_to_read: bool = False
    cookie: str = "scheduling-session"

    @property
    def any_form(self) -> bool:
        """Whether something typed into a form signs in."""
        return self.accounts is not None

    @property
    def any(self) -> bool:
        """Whether it is possible to sign in at all."""
        return bool(self.door or self.accounts or self.link)


class Guests:
    """Identifies the guest of each request."""

    def __init__(self, ways: Ways, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.ways = ways
        self.attempts = Share("attempts to sign in", 1, monotonic)
        """Of each host."""
        self.signed_out = SignedOut(ways.signed_out, monotonic)
        self._monotonic = monotonic
        self._sessions: Sessions | None = None
        self._until = float("-inf")

    async def sessions(self) -> Sessions:
        """Those of the present key. Raises `Unavailable` if it was never read."""
        if self._sessions is None:
            return await self._read()
        if self._monotonic() >= self._until:
            # Other requests need not wait for a Redis that does not answer.
            self._until = self._monotonic() + AGAIN_SECONDS
            with suppress(Unavailable):  # the health on the page says so
                return await self._read()
        return self._sessions

    async def _read(self) -> Sessions:
        self._sessions = Sessions(await self.ways.key.read())
        self._until = self._monotonic() + KEY_SECONDS
        return self._sessions

    async def identify(self, request: Request) -> Guest:
        """Raises `Unavailable`, and `Forbidden` for a name that another site has rebound."""
        sessions, peer = await self.sessions(), self._peer_of(request)
        session = self.session_of(request, sessions)
        if session and await self.signed_out.has(session):
            session = None
        if session and (caller := self._of_session(session)):
            return Guest(Visitor(caller, peer), sessions, session.id, True, True)  # noqa: FBT003
        if caller := await self._of_request(request):
            bound_to = f"caller\0{caller.name}"
            return Guest(Visitor(caller, peer), sessions, bound_to, True, True)  # noqa: FBT003
        if self.ways.open_to_read and not _is_own_name(request.headers.get("host", "")):
            raise Forbidden(REBOUND)
        return Guest(
            Visitor(ANONYMOUS, peer), sessions, "", self.ways.open_to_read, signed_in=False
        )

    def session_of(self, request: Request, sessions: Sessions) -> Session | None:
        """That of the cookie, also if it was signed out."""
        return sessions.read(request.cookies.get(self.ways.cookie))

    def _of_session(self, session: Session) -> Caller | None:
        """None: the secret by which it began is not in the file any more."""
        if session.way == "link":
            return LINKED if self.ways.link else None
        if session.way == "jwt":
            return _caller_in(session) if self.ways.accounts else None
        account = self.ways.accounts.account(session.name) if self.ways.accounts else None
        if account is None:
            return None
        marks = {mark_of(each) for each in (*account.tokens, account.password) if each}
        return account.caller if session.mark in marks else None

    async def _of_request(self, request: Request) -> Caller | None:
        """By the header of a proxy, by a token in the headers, or by a certificate."""
        ways = self.ways
        if ways.header and self.is_proxy(request) and (name := request.headers.get(ways.header)):
            account = ways.accounts.account(name) if ways.accounts else None
            if account is None:
                raise Forbidden(f"The proxy names {name!r}, who is not in SCHEDULING_CALLERS.")
            return account.caller
        if ways.door is None:
            return None
        header = request.headers.get("authorization")
        shown: Any = request.scope.get("state", {}).get("certificate")
        try:
            return await ways.door.identify("GET /", header, lambda: certificate_names(shown))
        except Unauthenticated:
            return None

    def is_proxy(self, request: Request) -> bool:
        """Whether the request comes from one of the proxies."""
        host = request.client.host if request.client else ""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.ways.proxies)

    def _peer_of(self, request: Request) -> str:
        """Host and port of the client; with port 0, if a proxy names the host."""
        if self.is_proxy(request) and (host := _forwarded_for(request)):
            return f"{host}:0"
        return f"{request.client.host}:{request.client.port}" if request.client else "unknown:0"

    def is_secure(self, request: Request) -> bool:
        """Whether the browser speaks TLS, with this service or with a proxy."""
        forwarded = request.headers.get("x-forwarded-proto") == "https"
        return request.url.scheme == "https" or (forwarded and self.is_proxy(request))


def session_of(proven: Proven, sessions: Sessions) -> tuple[str, int]:
    """The cookie for who has shown a secret, and its seconds."""
    if proven.secret:
        return sessions.cookie(proven.caller.name, "caller", mark_of(proven.secret), proven.seconds)
    return sessions.cookie(proven.caller.name, "jwt", _mark_of_jwt(proven.caller), proven.seconds)


def mark_of(secret: str) -> str:
    """The fingerprint of a hash: the cookie must not show the hash itself."""
    return hashlib.sha256(f"mark\0{secret}".encode()).hexdigest()[:32]


def _mark_of_jwt(caller: Caller) -> str:
    limits = caller.limits
    parts = [sorted(limits.types), sorted(limits.creators)] if limits else None
    return json.dumps([int(caller.role), parts])


def _caller_in(session: Session) -> Caller:
    role, limits = json.loads(session.mark)
    within = Limits(frozenset(limits[0]), frozenset(limits[1])) if limits else None
    return Caller(session.name, Role(role), within)


def _forwarded_for(request: Request) -> str | None:
    """The host that the nearest proxy names. Entries before the last may be forged."""
    entries = ",".join(request.headers.getlist("x-forwarded-for"))
    try:
        return str(ip_address(entries.rpartition(",")[2].strip()))
    except ValueError:
        return None


def _is_own_name(header: str) -> bool:
    """Whether the header `Host` names this host."""
    try:
        host = urlsplit(f"//{header}").hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False
