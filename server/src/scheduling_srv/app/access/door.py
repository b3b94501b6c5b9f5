"""Decides about each call, for gRPC and HTTP: who calls, and whether it may (decision 33)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from scheduling_srv.app.access.callers import ANONYMOUS, Caller
from scheduling_srv.app.access.rules import RULES, Rule
from scheduling_srv.domain.errors import Forbidden, Unauthenticated

MOST_REMEMBERED = 1_000
"""Verified tokens that are remembered."""
REMEMBER_SECONDS = 60.0
"""The longest time for which a verified token is not looked at again."""
LONGEST_TOKEN = 8_192
"""Characters."""
SCHEME = "bearer "
NO_CREDENTIALS = "The call has no credentials: send the header 'authorization: Bearer TOKEN'."


class Verified(NamedTuple):
    """The caller that a token belongs to."""

    caller: Caller
    seconds: float = REMEMBER_SECONDS
    """How long the token is valid at most."""


class Credentials(Protocol):
    """Finds the caller of a token or of a certificate."""

    async def verify(self, token: str) -> Verified:
        """Raises `Unauthenticated`, with a sentence that names the fault, and `Unavailable`."""

    def of_certificate(self, names: Sequence[str]) -> Caller:
        """The caller of a verified certificate with these names. Raises `Unauthenticated`."""


class Door:
    """Admits calls. Verified tokens are remembered, in bounded number and time."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        open_health: bool,
        rules: Mapping[str, Rule] = RULES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._open_health = open_health
        self._rules = rules
        self._monotonic = monotonic
        self._remembered: dict[str, tuple[Caller, float]] = {}
        """Header -> its caller, and until when; the oldest first."""
        self._generation = 0

    def forget(self) -> None:
        """Look at every token again: the credentials have changed."""
        self._generation += 1
        self._remembered.clear()

    async def admit(
        self, method: str, header: str | None, certificate: Callable[[], Sequence[str]]
    ) -> Caller:
        """The caller of this method, if it may call it; see `identify` and `check`."""
        caller = await self.identify(method, header, certificate)
        self.check(method, caller)
        return caller

    async def identify(
        self, method: str, header: str | None, certificate: Callable[[], Sequence[str]]
    ) -> Caller:
        """Who calls this method. `certificate` returns the names of a verified certificate.

        Raises `Unauthenticated` and `Unavailable`.
        """
        rule = self._rules.get(method)
        if rule and rule.health and self._open_health:
            return ANONYMOUS
        caller = self._known(header) if header else None
        return caller or await self._find(header, certificate)

    def check(self, method: str, caller: Caller) -> None:
        """Raises `Forbidden` if the caller may not call the method."""
        check(self._rules.get(method), caller, method)

    def _known(self, header: str) -> Caller | None:
        found = self._remembered.get(header)
        if found is None:
            return None
        caller, until = found
        if self._monotonic() < until:
            return caller
        self._remembered.pop(header, None)
        return None

    async def _find(self, header: str | None, certificate: Callable[[], Sequence[str]]) -> Caller:
        if header:
            return await self._verify(header)
        if names := certificate():
            return self._credentials.of_certificate(names)
        raise Unauthenticated(NO_CREDENTIALS)

    async def _verify(self, header: str) -> Caller:
        generation = self._generation
        caller, seconds = await self._credentials.verify(_token(header))
        if generation == self._generation:
            self._remember(header, caller, min(seconds, REMEMBER_SECONDS))
        return caller

    def _remember(self, header: str, caller: Caller, seconds: float) -> None:
        while len(self._remembered) >= MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[header] = caller, self._monotonic() + seconds


def check(rule: Rule | None, caller: Caller, method: str) -> None:
    """Raises `Forbidden` if the caller may not call the method. None: it has no rule."""
    if rule is None:
        raise Forbidden(f"{method} is closed: this version has no rule for it.")
    if caller.role < rule.role:
        raise Forbidden(
            f"{caller.name} may not call {method}: it needs the role {rule.role.name.lower()},"
            f" and this caller is {caller.role.name.lower()}."
        )
    if caller.limits and not rule.limited:
        raise Forbidden(
            f"{caller.name} may not call {method}: it concerns all jobs, and this caller is"
            f" limited to {caller.limits}."
        )


def _token(header: str) -> str:
    """The token of a header. Raises `Unauthenticated`."""
    if len(header) > LONGEST_TOKEN:
        raise Unauthenticated(f"The token is longer than {LONGEST_TOKEN} characters.")
    if header[: len(SCHEME)].lower() != SCHEME or not header[len(SCHEME) :].strip():
        raise Unauthenticated("The header 'authorization' is not 'Bearer TOKEN'.")
    return header[len(SCHEME) :].strip()
