"""Credentials that are almost right, and metadata that is too large, for calls of the fuzzer."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.tokens import AUDIENCE, ISSUER, Issuer, write_callers

HEADER = b"authorization"
TOKEN = "fuzz"  # noqa: S105 - it opens the service that is fuzzed
YEAR_SECONDS = 31_536_000
_issuer = Issuer()
RIGHT = _issuer.token("me", "admin", exp=int(time.time()) + YEAR_SECONDS)
"""A signed token that the service accepts."""
_foreign = Issuer()
_foreign.key_id, _foreign.keys = _issuer.key_id, {_issuer.key_id: _foreign.keys[_foreign.key_id]}


def credentials(directory: Path) -> dict[str, str]:
    """The settings of a service that knows `TOKEN`, and the keys of signed tokens."""
    callers, keys = directory / "callers.toml", directory / "keys.json"
    known = hashlib.sha256(TOKEN.encode()).hexdigest()
    write_callers(callers, {"name": "fuzz", "role": "admin", "tokens": [known]})
    keys.write_text(_issuer.jwks)
    return {
        "SCHEDULING_CALLERS": str(callers),
        "SCHEDULING_JWT_KEYS": str(keys),
        "SCHEDULING_JWT_ISSUER": ISSUER,
        "SCHEDULING_JWT_AUDIENCE": AUDIENCE,
    }


def _part(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _claims(**changed: Any) -> dict[str, Any]:
    return {
        "sub": "me",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": int(time.time()) + YEAR_SECONDS,
        "scheduling_role": "admin",
        **changed,
    }


def _unsigned(head: object, claims: object, signature: str = "") -> str:
    return f"{_part(head)}.{_part(claims)}.{signature}"


def _wrong_tokens() -> Iterator[str]:
    """Each could open a service that looks at less than all of it."""
    key: ec.EllipticCurvePrivateKey = _issuer.keys[_issuer.key_id]
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    names = {"kid": _issuer.key_id, "typ": "JWT"}
    for none in ("none", "None", "nOnE", ""):
        yield _unsigned({"alg": none, **names}, _claims())
        yield _unsigned({"alg": none}, _claims(), "AA")
    # The public key is no secret: a signature by it proves nothing.
    shared = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signed = f"{_part({'alg': 'HS256', **names})}.{_part(_claims())}"
    mac = base64.urlsafe_b64encode(shared.sign(signed.encode(), public)).rstrip(b"=").decode()
    yield f"{signed}.{mac}"
    yield _foreign.token("me", "admin")
    changes: tuple[dict[str, Any], ...] = (
        {"aud": "other"},
        {"aud": [["scheduling"]]},
        {"aud": None},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"sub": None},
        {"exp": None},
        {"exp": 0},
        {"exp": -(10**30)},
        {"nbf": int(time.time()) + YEAR_SECONDS},
        {"scheduling_role": "root"},
        {"scheduling_role": {"admin": True}},
        {"scheduling_role": None},
    )
    yield from (_issuer.token("me", "admin", **each) for each in changes)
    head, claims, signature = RIGHT.split(".")
    yield f"{head}.{claims}."
    yield f"{head}.{claims}"
    yield f"{head}.{claims}.{signature}.{signature}"
    yield f"{head}.{_part(_claims(sub='other'))}.{signature}"
    yield _unsigned({"alg": "ES256", "kid": "../../../etc/passwd"}, _claims(), signature)
    yield _unsigned({"alg": ["ES256"], "kid": 7}, _claims(), signature)
    yield _unsigned("[" * 2_000, _claims(), signature)
    yield _unsigned({"alg": "ES256", "kid": _issuer.key_id, "crit": ["x"]}, "[]", signature)
    yield _unsigned({"alg": "ES256", "kid": _issuer.key_id, "jwk": {}}, "null", "A" * 86)
    yield "a.b.c"
    yield TOKEN[:-1]
    yield f"{TOKEN} {TOKEN}"
    yield "x" * 7_000


WRONG = (
    b"",
    b"Bearer",
    b"Bearer ",
    b"Basic ZnV6ejpmdXp6",
    TOKEN.encode(),
    *(f"Bearer {each}".encode() for each in _wrong_tokens()),
)
"""Values of the header that the service must refuse."""
LARGE = ((HEADER, b"Bearer " + b"x" * 40_000), (b"x-large", b"x" * 40_000))
"""Metadata that gRPC itself refuses."""
