"""Accounts of people who sign in at the admin pages (docs/decisions/0034)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from scheduling_srv.app.access.callers import Caller


@dataclass(frozen=True, slots=True)
class Account:
    """A caller of the file, and the hashes of its secrets. A secret that is gone signs it out."""

    caller: Caller
    tokens: frozenset[str] = frozenset()
    password: str = ""
    """Empty: it has none."""

    def has(self, secret: str) -> bool:
        """Whether this hash is one of its secrets."""
        return bool(secret) and (secret in self.tokens or secret == self.password)


class Proven(NamedTuple):
    """Who has shown a secret."""

    caller: Caller
    seconds: float
    """How long it is believed at most."""
    secret: str
    """Its hash, as in the file of callers; empty: it is a signed token."""


class Accounts(Protocol):
    """Finds out who signs in."""

    async def prove(self, token: str) -> Proven:
        """Raises `Unauthenticated`, and `Unavailable` if keys are not known."""

    async def prove_password(self, name: str, password: str) -> Proven:
        """Raises `Unauthenticated`. It does not tell whether the name exists."""

    def account(self, name: str) -> Account | None:
        """The caller of the file with this name, as it is now."""
