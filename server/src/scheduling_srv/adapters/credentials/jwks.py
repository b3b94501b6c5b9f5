"""The public keys of signed tokens: a JWKS file, or an address that is asked (RFC 7517)."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.error import URLError

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm

from scheduling_srv.adapters.credentials.fetch import fetch
from scheduling_srv.adapters.credentials.watched_file import WatchedFiles
from scheduling_srv.domain.errors import StartError, Unavailable
from scheduling_srv.runtime.states import Kind, State

ALGORITHMS: Mapping[str, str] = {
    "RSA": "RS256 RS384 RS512 PS256 PS384 PS512",
    "OKP": "EdDSA",
}
"""By the type of a key. Keys that are secret themselves (`oct`) are not used."""
CURVES: Mapping[str, str] = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
"""The algorithm of an elliptic curve (type EC)."""
_FAULTS_OF_KEYS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    jwt.PyJWTError,
    UnsupportedAlgorithm,
)
"""What PyJWT raises for a key that it cannot use."""
REFRESH_SECONDS = 300.0
"""Seconds after which keys are asked for again."""
UNKNOWN_KEY_SECONDS = 10.0
"""Seconds between two questions because of a key that is not known: any caller may name one."""
ANSWER_SECONDS = 5.0
"""Seconds that an answer may take."""
HOST_SECONDS = 5.0
"""Seconds beyond them that the search for the IP address of the host may take."""
LONGEST_ANSWER = 1_000_000


log = structlog.get_logger(__name__)


class Key(NamedTuple):
    """A public key, and the algorithms that it may verify."""

    public: Any
    algorithms: Sequence[str]


Keys = Mapping[str, Key]
"""By their ids."""


class KeySource(Protocol):
    """Where keys come from."""

    keys: Keys

    async def refresh(self) -> None:
        """Read the keys again if it is time to."""

    async def find(self, key_id: str) -> Key | None:
        """The key with this id; looks again for one that is not known. Raises `Unavailable`."""


def parsed(text: str) -> Keys:
    """The keys of a JWKS that verify signatures. Raises ValueError if there is none.

    It logs the keys that are of no use: an issuer may have them for others (RFC 7517, section 5).
    """
    try:
        entries: Any = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise ValueError(f"it is not a JWKS: {fault}") from fault
    if not isinstance(entries, list):
        raise ValueError("it is not a JWKS: its keys are not a list")  # noqa: TRY004 - as documented
    keys = dict[str, Key]()
    for entry in entries:
        try:
            keys[_id_of(entry)] = _key(entry)
        except _FAULTS_OF_KEYS as fault:
            reason = f"{type(fault).__name__}: {fault}"
            log.info("a key of tokens is not used", key_id=_shown_id(entry), reason=reason)
    if not keys:
        raise ValueError("it has no public key with a key id (kid) that verifies signatures")
    return keys


def _id_of(entry: Mapping[str, Any]) -> str:
    """Raises ValueError and AttributeError for a key that is of no use."""
    if entry.get("use", "sig") != "sig":
        raise ValueError("it is not for signatures (use)")
    if not isinstance(entry.get("kid"), str) or not entry["kid"]:
        raise ValueError("it has no key id (kid)")
    key_id: str = entry["kid"]
    return key_id


def _key(entry: Mapping[str, Any]) -> Key:
    """Raises one of `_FAULTS_OF_KEYS` for a key that is not accepted."""
    algorithms = _algorithms(entry)
    return Key(jwt.PyJWK(dict(entry), algorithm=algorithms[0]).key, algorithms)


def _algorithms(entry: Mapping[str, Any]) -> Sequence[str]:
    """Raises ValueError if none is accepted."""
    kind, curve = entry.get("kty"), entry.get("crv")
    known = CURVES.get(str(curve), "") if kind == "EC" else ALGORITHMS.get(str(kind), "")
    algorithms = [each for each in known.split() if (entry.get("alg") or each) == each]
    if not algorithms:
        about = f"kty {kind}, crv {curve}, alg {entry.get('alg')}"
        raise ValueError(f"no accepted algorithm uses it ({about})")
    return algorithms


def _shown_id(entry: object) -> str:
    return str(entry.get("kid")) if isinstance(entry, dict) else ""


class JwksFile:
    """Keys of a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Raises `StartError`."""
        self._path = path
        self._watched = WatchedFiles([path])
        self._turn = asyncio.Lock()
        self._state = _state(str(path))
        try:
            self.keys = self._read()
        except (OSError, ValueError) as fault:
            msg = f"Cannot use {path} (SCHEDULING_JWT_KEYS): {_reason(fault)}."
            raise StartError(msg) from fault

    async def refresh(self) -> None:
        """Read it if it has changed. A file that cannot be used leaves the keys as they are."""
        async with self._turn:  # else an older read may end after a later one
            if await asyncio.to_thread(self._watched.have_changed):
                await self._read_again()
            else:
                self._state.works()

    async def _read_again(self) -> None:
        try:
            self.keys = await asyncio.to_thread(self._read)
        except (OSError, ValueError) as fault:
            self._state.fails(f"{_reason(fault)}.")
        else:
            self._watched.were_read()
            self._state.works()

    async def find(self, key_id: str) -> Key | None:
        """The key with this id. While the file cannot be read, only `refresh` tries it again."""
        if key_id not in self.keys and not self._state.failing:
            await self.refresh()
        return self.keys.get(key_id)

    def _read(self) -> Keys:
        return parsed(self._path.read_text("utf-8"))


class JwksAddress:
    """Keys of an address. It is asked every five minutes, and for keys that are not known."""

    def __init__(
        self,
        url: str,
        *,
        trust: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`trust` verifies its certificate; None: the authorities of the system."""
        self.keys: Keys = {}
        self._text = ""
        """They were read from it."""
        self._url = url
        self._trust = trust
        self._monotonic = monotonic
        self._asked = float("-inf")
        self._turn = asyncio.Lock()
        self._state = _state(url)

    async def refresh(self) -> None:
        """Ask if the keys are old."""
        await self._ask(REFRESH_SECONDS if self.keys else UNKNOWN_KEY_SECONDS)

    async def find(self, key_id: str) -> Key | None:
        """The key with this id. Raises `Unavailable` while no keys are known."""
        if key_id not in self.keys:
            await self._ask(UNKNOWN_KEY_SECONDS)
        if not self.keys:
            raise Unavailable("Tokens cannot be verified: their keys are not known yet.")
        return self.keys.get(key_id)

    async def _ask(self, pause_seconds: float) -> None:
        """Ask, unless that was done within this time."""
        async with self._turn:
            if self._monotonic() - self._asked < pause_seconds:
                return
            self._asked = self._monotonic()
            try:
                async with asyncio.timeout(ANSWER_SECONDS + HOST_SECONDS):
                    await self._read()
            except (OSError, ValueError, HTTPException) as fault:
                self._state.fails(f"{_reason(fault)}.")
            else:
                self._state.works()

    async def _read(self) -> None:
        """The same text leaves the keys as they are: else all tokens were verified again."""
        text = await asyncio.to_thread(
            fetch,
            self._url,
            trust=self._trust,
            seconds=ANSWER_SECONDS,
            longest=LONGEST_ANSWER,
        )
        if text != self._text:
            self.keys = await asyncio.to_thread(parsed, text)
            self._text = text


def _state(place: str) -> State:
    return State(
        "the keys of tokens cannot be read",
        "the keys of tokens are read again",
        kind=Kind.CHANGE,
        keys=place,
    )


def _reason(fault: Exception) -> str:
    reason = fault.reason if isinstance(fault, URLError) else fault
    text = getattr(reason, "strerror", None) or str(reason) or type(fault).__name__
    return str(text).rstrip(".")
