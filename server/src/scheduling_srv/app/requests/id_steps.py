"""The steps of a bulk call over ids.

A token says how many ids are done, and of which list. The list comes again with each step, so a
token of another list is refused.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.domain.errors import InvalidRequest, Violation

IDS_A_STEP = 250
DIGEST_BYTES, PLACE_BYTES = 8, 4
NOT_OURS = "The page token belongs to another request."


class Step(NamedTuple):
    """What one step does."""

    ids: Sequence[str]
    token: str
    """For the next step; empty: this is the last one."""


def next_step(ids: Sequence[str], token: str) -> Step:
    """The step that a token names; an empty one names the first. Raises `InvalidRequest`."""
    digest = hashlib.sha256("\0".join(ids).encode()).digest()[:DIGEST_BYTES]
    start = _place_in(token, digest) if token else 0
    if start >= len(ids):
        raise _refused()
    end = start + IDS_A_STEP
    return Step(ids[start:end], _token(digest, end) if end < len(ids) else "")


def _token(digest: bytes, place: int) -> str:
    return base64.urlsafe_b64encode(digest + place.to_bytes(PLACE_BYTES)).decode()


def _place_in(token: str, digest: bytes) -> int:
    try:
        raw = base64.urlsafe_b64decode(token)
    except ValueError:
        raise _refused() from None
    if len(raw) != DIGEST_BYTES + PLACE_BYTES or raw[:DIGEST_BYTES] != digest:
        raise _refused()
    return int.from_bytes(raw[DIGEST_BYTES:])


def _refused() -> InvalidRequest:
    return InvalidRequest(NOT_OURS, [Violation("page_token", NOT_OURS)])
