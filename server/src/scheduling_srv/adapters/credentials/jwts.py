"""Signed tokens (JWT): verified by the keys of their issuer (RFC 7519, RFC 8725)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from scheduling_srv.adapters.credentials.jwks import Key, KeySource
from scheduling_srv.app.access.callers import ROLES, Caller, Role
from scheduling_srv.app.access.door import Verified
from scheduling_srv.domain.errors import Unauthenticated
from scheduling_srv.domain.limits import Limits

LEEWAY_SECONDS = 5
"""By how much the clocks of the issuer and of this host may differ."""
TYPES, CREATORS = "scheduling_types", "scheduling_creators"
"""Claims with the limits of a caller."""
_FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired."),
    (jwt.ImmatureSignatureError, "The token is not valid yet."),
    (jwt.InvalidAudienceError, "The token is for another audience (aud)."),
    (jwt.InvalidIssuerError, "The token is of another issuer (iss)."),
    (jwt.MissingRequiredClaimError, "The token lacks a claim: exp, iss, aud and sub are needed."),
    (jwt.InvalidAlgorithmError, "The token is signed by an algorithm that is not accepted."),
    (jwt.InvalidSignatureError, "The signature of the token is wrong."),
)
UNREADABLE = "The token cannot be read."


class JwtVerifier:
    """Verifies tokens of one issuer for one audience."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str,
        role_claim: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`role_claim` is the path of the claim with roles, such as `realm_access.roles`."""
        self.keys = keys
        self._issuer = issuer
        self._audience = audience
        self._role_path = role_claim.split(".")
        self._clock = clock

    async def verify(self, token: str) -> Verified:
        """Raises `Unauthenticated`, and `Unavailable` if the keys are not known."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError:
            raise Unauthenticated(UNREADABLE) from None
        key = await self.keys.find(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Unauthenticated("The token is signed by a key that is not known (kid).")
        claims = self._claims(token, key)
        caller = self._caller(claims)
        return Verified(caller, float(claims["exp"]) - self._clock())

    def _claims(self, token: str, key: Key) -> Mapping[str, Any]:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=list(key.algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as fault:
            sentences = (sentence for kind, sentence in _FAULTS if isinstance(fault, kind))
            raise Unauthenticated(next(sentences, UNREADABLE)) from None
        return claims

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        name, role = _encodable(str(claims["sub"]), "sub"), _role(claims, self._role_path)
        if role is None:
            path = ".".join(self._role_path)
            raise Unauthenticated(
                f"The token of {name} names no role in {path}: {', '.join(ROLES)}."
            )
        given = [_listed(claims, claim) for claim in (TYPES, CREATORS)]
        if all(each is None for each in given):
            return Caller(name, role)
        return Caller(name, role, Limits(*(each or frozenset() for each in given)))


def _role(claims: Mapping[str, Any], path: list[str]) -> Role | None:
    """The highest role that the claim names."""
    found: Any = claims
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    names = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    roles = [ROLES[name] for name in names if isinstance(name, str) and name in ROLES]
    return max(roles, default=None)


def _listed(claims: Mapping[str, Any], claim: str) -> frozenset[str] | None:
    """The texts of a claim; None without it. One that is not understood is refused."""
    values = claims.get(claim)
    if values is None:
        return None
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise Unauthenticated(f"The claim {claim} of the token is not a list of texts.")
    return frozenset(_encodable(each, claim) for each in values)


def _encodable(text: str, claim: str) -> str:
    """The text. JSON may escape half of a character, which no log, line or answer can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unauthenticated(f"The claim {claim} of the token is not a text in UTF-8.") from None
    return text
