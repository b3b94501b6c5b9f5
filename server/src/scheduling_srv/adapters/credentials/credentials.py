"""All credentials of the service as one: implements `Credentials` of the door, and `Accounts`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from scheduling_srv.adapters.credentials import caller_file, passwords
from scheduling_srv.adapters.credentials.watched_file import WatchedFiles
from scheduling_srv.app.access.accounts import Account, Proven
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.access.door import Verified
from scheduling_srv.domain.errors import StartError, Unauthenticated
from scheduling_srv.runtime.states import Kind, State

if TYPE_CHECKING:
    from scheduling_srv.adapters.credentials.jwts import JwtVerifier

LOOK_SECONDS = 2.0
"""Seconds between looks at files."""
JWT_DOTS = 2

log = structlog.get_logger(__name__)


class AllCredentials:
    """The file of callers, signed tokens and certificates; each of them may be missing."""

    def __init__(self, callers: Path | None, jwts: JwtVerifier | None) -> None:
        """Raises `StartError` for a file that cannot be used."""
        self._path = callers
        self._jwts = jwts
        self._watched = WatchedFiles([callers] if callers else [])
        self._hashing = asyncio.Lock()
        self._of_nobody = ""
        """The hash that the password of an unknown name is compared with: it takes as long."""
        self._callers = caller_file.read(callers) if callers else caller_file.Callers()
        self.on_change: list[Callable[[], None]] = []
        """Called after the credentials have changed."""
        self._state = State(
            "the file of callers cannot be used", "the file of callers is used", kind=Kind.CHANGE
        )

    async def verify(self, token: str) -> Verified:
        """Raises `Unauthenticated`, and `Unavailable` if keys are not known."""
        if caller := self._callers.tokens.get(caller_file.hash_of(token)):
            return Verified(caller)
        if self._jwts and token.count(".") == JWT_DOTS:
            return await self._jwts.verify(token)
        raise Unauthenticated("The token is not known.")

    def account(self, name: str) -> Account | None:
        """The caller of the file with this name."""
        return self._callers.accounts.get(name)

    async def prove(self, token: str) -> Proven:
        """See `Accounts`."""
        known = caller_file.hash_of(token)
        if caller := self._callers.tokens.get(known):
            return Proven(caller, float("inf"), known)  # the session ends when the file drops it
        return Proven(*await self.verify(token), "")

    async def prove_password(self, name: str, password: str) -> Proven:
        """See `Accounts`. One at a time: each attempt takes 32 MB."""
        account = self.account(name)
        async with self._hashing:
            right = await asyncio.to_thread(self._is_right, account, password)
        if account is None or not right:
            raise Unauthenticated("The name or the password is wrong.")
        return Proven(account.caller, float("inf"), account.password)

    def _is_right(self, account: Account | None, password: str) -> bool:
        if account and account.password:
            return passwords.is_right(password[: passwords.LONGEST], account.password)
        self._of_nobody = self._of_nobody or passwords.made("")
        passwords.is_right(password[: passwords.LONGEST], self._of_nobody)
        return False

    def of_certificate(self, names: Sequence[str]) -> Caller:
        """Without other credentials, each certificate of the authority may do everything."""
        if self._path is None and self._jwts is None:
            return Caller(names[0], Role.ADMIN)
        known = self._callers.certificates
        for name in names:
            if caller := known.get(name):
                return caller
        raise Unauthenticated(
            f"The certificate of {names[0]} belongs to no caller of SCHEDULING_CALLERS."
        )

    async def run(self) -> None:
        """Look at the files until cancelled. An address that is slow delays no look at a file."""
        async with asyncio.TaskGroup() as looking:
            looking.create_task(_repeated(self._look_at_callers))
            looking.create_task(_repeated(self._look_at_keys))

    async def look(self) -> None:
        """Read the files that have changed. One that cannot be used changes nothing."""
        await self._look_at_callers()
        await self._look_at_keys()

    async def _look_at_callers(self) -> None:
        changed = await asyncio.to_thread(self._watched.have_changed)
        if self._path and changed:
            await self._read(self._path)
        else:
            self._state.works()

    async def _look_at_keys(self) -> None:
        if self._jwts is None:
            return
        source = self._jwts.keys
        before = source.keys
        await source.refresh()
        if source.keys is not before:
            self._tell()

    async def _read(self, path: Path) -> None:
        try:
            self._callers = await asyncio.to_thread(caller_file.read, path)
        except StartError as fault:
            self._state.fails(str(fault))
        else:
            self._watched.were_read()
            self._state.works()
            log.info("the file of callers was read", tokens=len(self._callers.tokens))
            self._tell()

    def _tell(self) -> None:
        for tell in self.on_change:
            tell()


async def _repeated(look: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await look()
