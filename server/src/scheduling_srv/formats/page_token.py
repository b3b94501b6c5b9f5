"""Page tokens: where a list goes on, for the request that the page before answered.

A token is base64 of JSON: version, digest of the request, walk, and the place of each shard. It is
not sealed. A place is that of the last row that was looked at, so a limited caller may learn from
it the id, the due time or the creation number of a job of others (docs/security.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.domain.errors import InvalidRequest, Violation

VERSION = "v1"
LONGEST = 64_000
"""Characters. A place holds an id of at most 4,096 bytes."""
FOREIGN = "The page token belongs to another request: repeat the request that returned it."


class PageToken(NamedTuple):
    """Where the next page begins."""

    digest: str
    """Of the request: see `digest_of`."""
    walk: str
    """The index that the list is read by."""
    cursors: Sequence[str]
    """The place in each shard."""

    def pack(self) -> str:
        """As clients send it back."""
        text = json.dumps([VERSION, self.digest, self.walk, *self.cursors], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def digest_of(*parts: object) -> str:
    """Tells requests apart."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def unpack(token: str, digest: str, shards: int, walks: Sequence[str]) -> PageToken:
    """Raises `InvalidRequest` for a text that is no token of a request with this digest."""
    parts = _parts(token)
    valid = len(parts) == shards + 3 and parts[:2] == [VERSION, digest] and parts[2] in walks
    if not valid or not all(isinstance(part, str) for part in parts):
        raise foreign()
    return PageToken(digest, parts[2], parts[3:])


def foreign() -> InvalidRequest:
    """The error for a text that is no token of the request."""
    return InvalidRequest(FOREIGN, [Violation("page_token", FOREIGN)])


def _parts(token: str) -> list[str]:
    if len(token) > LONGEST:
        return []
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = json.loads(text)
    except (binascii.Error, ValueError):
        return []
    return found if isinstance(found, list) else []
