"""The file of callers: names, roles, limits, hashes of tokens and passwords (docs/security.md)."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduling_srv.adapters.credentials import passwords
from scheduling_srv.app.access.accounts import Account
from scheduling_srv.app.access.callers import ROLES, Caller
from scheduling_srv.domain.errors import StartError
from scheduling_srv.domain.limits import Limits

TOKEN_BYTES = 32
PREFIX = "sch_"
"""Of tokens: scanners find one that was published by mistake."""
KEYS = ("name", "role", "tokens", "password", "certificates", "types", "creators")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Callers:
    """The callers of a file, by the hash of a token and by the name of a certificate."""

    tokens: Mapping[str, Caller] = field(default_factory=dict)
    certificates: Mapping[str, Caller] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    """By the name of the caller."""


def make_token() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_of(token: str) -> str:
    """The text that stands in the file instead of the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def entry(name: str, role: str, token: str) -> str:
    """The lines of a caller for the file. Raises `StartError` for an unknown role."""
    return _entry(name, role, f'tokens = ["{hash_of(token)}"]')


def password_entry(name: str, role: str, password: str) -> str:
    """The same for a caller that signs in at the pages with a password."""
    return _entry(name, role, f'password = "{passwords.made(password)}"')


def _entry(name: str, role: str, secret: str) -> str:
    if role not in ROLES:
        raise StartError(f"{role!r} is not a role: {', '.join(ROLES)}.")
    lines = (
        "[[callers]]",
        f"name = {json.dumps(name, ensure_ascii=False)}",
        f'role = "{role}"',
        secret,
    )
    return "\n".join(lines)


def read(path: Path) -> Callers:
    """The callers of a TOML file. Raises `StartError` that names the fault."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise StartError(f"Cannot read {path} (SCHEDULING_CALLERS): {fault.strerror}.") from fault
    except (ValueError, RecursionError) as fault:
        raise StartError(f"{path} (SCHEDULING_CALLERS) is not TOML: {fault}.") from fault
    try:
        return _callers(content)
    except ValueError as fault:
        raise StartError(f"{path} (SCHEDULING_CALLERS): {fault}.") from fault


def _callers(content: Mapping[str, Any]) -> Callers:
    entries = content.get("callers", [])
    if content.keys() - {"callers"} or not isinstance(entries, list):
        raise ValueError("it may hold tables [[callers]] only")
    tokens, certificates = dict[str, Caller](), dict[str, Caller]()
    accounts = dict[str, Account]()
    for entry in entries:
        caller = _caller(entry)
        if caller.name in accounts:
            raise ValueError(f"the caller {caller.name!r} stands twice: give it several tokens")
        hashes = [_checked_hash(caller, each) for each in _texts(entry, "tokens")]
        _add(tokens, hashes, caller)
        _add(certificates, _texts(entry, "certificates"), caller)
        accounts[caller.name] = Account(caller, frozenset(hashes), _password(entry))
    return Callers(tokens, certificates, accounts)


def _password(entry: Mapping[str, Any]) -> str:
    """The hash of a password, or nothing."""
    text = entry.get("password")
    if text is None:
        return ""
    try:
        passwords.check(str(text))
    except ValueError as fault:
        raise ValueError(f"the password of the caller {entry['name']!r} {fault}") from None
    return str(text)


def _caller(entry: object) -> Caller:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise ValueError("a caller has no name")
    name, role = entry["name"], entry.get("role")
    if unknown := sorted(entry.keys() - set(KEYS)):
        raise ValueError(f"the caller {name!r} has {unknown[0]!r}: known are {', '.join(KEYS)}")
    if not isinstance(role, str) or role not in ROLES:
        raise ValueError(f"the caller {name!r} needs a role: {', '.join(ROLES)}")
    limits = Limits(frozenset(_texts(entry, "types")), frozenset(_texts(entry, "creators")))
    return Caller(name, ROLES[role], limits if limits.types or limits.creators else None)


def _texts(entry: Mapping[str, Any], key: str) -> Sequence[str]:
    """A list of texts. An empty one would mean all, or nothing: it is refused."""
    values = entry.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise ValueError(f"{key} of the caller {entry['name']!r} is not a list of texts")
    return values


def _checked_hash(caller: Caller, text: str) -> str:
    if not _HASH.fullmatch(text):
        raise ValueError(
            f"a token of the caller {caller.name!r} is not a SHA-256 hash in hexadecimal digits:"
            " 'scheduling-srv token' makes a token and its hash"
        )
    return text


def _add(known: dict[str, Caller], keys: Sequence[str], caller: Caller) -> None:
    for key in keys:
        other = known.setdefault(key, caller)
        if other is not caller:
            raise ValueError(
                f"the callers {other.name!r} and {caller.name!r} have the same credentials"
            )
