"""Hashes of passwords for the file of callers: `scrypt:N:r:p:salt:hash`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

KIND = "scrypt"
COST, BLOCK, PARALLEL = 2**15, 8, 1
"""32 MB and some 0.1 s for each attempt."""
MOST_COST, MOST_BLOCK, MOST_PARALLEL = 2**18, 16, 4
"""Of a hash in a file."""
MOST_BYTES = 2**29
SALT_BYTES, HASH_BYTES = 16, 32
LONGEST = 1_024
"""Characters of a password."""


def made(password: str) -> str:
    """The text that stands in the file instead of the password."""
    salt = secrets.token_bytes(SALT_BYTES)
    found = _hash(password, salt, COST, BLOCK, PARALLEL)
    parts = (KIND, str(COST), str(BLOCK), str(PARALLEL), _text(salt), _text(found))
    return ":".join(parts)


def is_right(password: str, text: str) -> bool:
    """Whether it is the password of a hash that `check` has accepted. It takes 0.1 s."""
    _, cost, block, parallel, salt, wanted = text.split(":")
    found = _hash(password, _bytes(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, _bytes(wanted))


def check(text: str) -> None:
    """Raise ValueError with a sentence's end for a text that is no hash of a password."""
    try:
        kind, cost, block, parallel, salt, wanted = text.split(":")
        numbers = int(cost), int(block), int(parallel)
        lengths = len(_bytes(salt)), len(_bytes(wanted))
    except (ValueError, binascii.Error):
        kind, numbers, lengths = "", (0, 0, 0), (0, 0)
    most = (MOST_COST, MOST_BLOCK, MOST_PARALLEL)
    fits = all(1 <= number <= limit for number, limit in zip(numbers, most, strict=True))
    if kind != KIND or not fits or numbers[0] & (numbers[0] - 1) or min(lengths) < SALT_BYTES:
        raise ValueError("is not a hash of a password: 'scheduling-srv password' makes one")


def _hash(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=cost,
        r=block,
        p=parallel,
        maxmem=MOST_BYTES,
        dklen=HASH_BYTES,
    )


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
