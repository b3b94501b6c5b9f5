"""Signed cookies and the tokens of forms. Pure, but for the clock and random ids."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

SESSION_SECONDS = 12 * 3600
"""Seconds after which a session ends."""
KEY_BYTES = 32
_LONGEST = 4_000
"""Characters of a cookie that are looked at."""


class Session(NamedTuple):
    """Who has signed in. The name and the mark are looked up again for each request."""

    name: str
    way: str
    """`caller`, `jwt` or `link`."""
    mark: str
    """Fingerprint of the credential; of a JWT its role and limits, as JSON."""
    until: int
    """Epoch seconds."""
    id: str


class Sessions:
    """Makes and reads cookies. All replicas have the same key."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def cookie(
        self, name: str, way: str, mark: str, seconds: float = SESSION_SECONDS
    ) -> tuple[str, int]:
        """The text of a new session's cookie, and for how many seconds it is valid."""
        lasts = int(min(seconds, SESSION_SECONDS))
        until = int(self._clock()) + lasts
        session = Session(name, way, mark, until, secrets.token_urlsafe(12))
        body = _encoded(json.dumps(session, separators=(",", ":")).encode())
        return f"{body}.{self._signature('session', body)}", lasts

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None for one that is forged, malformed or over."""
        if not cookie or len(cookie) > _LONGEST:
            return None
        body, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature("session", body).encode()):
            return None
        session = Session(*json.loads(_decoded(body)))  # signed, so it is what `cookie` made
        return session if self._clock() < session.until else None

    def form_token(self, of: str) -> str:
        """The token of the forms of a session, or of a visitor."""
        return self._signature("form", of)

    def is_form_token(self, token: str, of: str) -> bool:
        """Whether the form is one of this session."""
        return hmac.compare_digest(token.encode(), self.form_token(of).encode())

    def _signature(self, use: str, text: str) -> str:
        made = hmac.new(self._key, f"{use}\0{text}".encode(), hashlib.sha256)
        return _encoded(made.digest())


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
