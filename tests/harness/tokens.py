"""An issuer of signed tokens, and the file of callers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.test", "scheduling"


class Issuer:
    """Signs tokens with the newest of its keys; `jwks` has the public ones."""

    def __init__(self, *, kind: str = "ES256") -> None:
        self.kind = kind
        self.keys: dict[str, Any] = {}
        self.rotate()

    def rotate(self, *, forget: bool = False) -> None:
        """Sign with a new key from now on."""
        if forget:
            self.keys.clear()
        made: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if self.kind == "ES256"
            else rsa.generate_private_key(65_537, 2048)
        )
        self.key_id = f"key-{time.monotonic_ns()}"
        self.keys[self.key_id] = made

    @property
    def jwks(self) -> str:
        to_jwk = ECAlgorithm.to_jwk if self.kind == "ES256" else RSAAlgorithm.to_jwk
        keys = [
            {**to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}
            for name, key in self.keys.items()
        ]
        return json.dumps({"keys": keys})

    def token(self, name: str, role: str, **claims: Any) -> str:
        """A token that is valid for a minute, unless the claims say otherwise; None leaves out."""
        content = {
            "sub": name,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": int(time.time()),
            "exp": int(time.time()) + 60,
            "scheduling_role": role,
            **claims,
        }
        content = {claim: value for claim, value in content.items() if value is not None}
        headers = {"kid": self.key_id}
        return jwt.encode(content, self.keys[self.key_id], algorithm=self.kind, headers=headers)


def write_callers(path: Path, *entries: dict[str, Any]) -> None:
    """A file of callers; it replaces the one before in one step."""
    lines = []
    for entry in entries:
        lines.append("[[callers]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(path)
