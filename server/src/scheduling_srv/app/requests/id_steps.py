"""The steps of a bulk call over ids.

A token says how many ids are done, and of which list. The list comes again with each step, so a
token of another list is refused.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from scheduling_srv.domain.bulk import BulkCall
from scheduling_srv.domain.errors import InvalidRequest, Violation

IDS_A_STEP = 250
DIGEST_BYTES, PLACE_BYTES = 8, 4
NOT_OURS = "The page token belongs to another request."


class Step(NamedTuple):
    """What one step does."""

    ids: Sequence[str]
    token: str
    """For the next step; empty: this is the last one."""


def next_step(call: BulkCall) -> Step:
    """The step that the call asks for. Raises `InvalidRequest`."""
    digest = hashlib.sha256("\0".join(call.ids).encode()).digest()[:DIGEST_BYTES]
    start = _place_in(call.token, digest) if call.token else 0
    if start >= len(call.ids):
        raise _refused()
    end = start + IDS_A_STEP
    more = end < len(call.ids)
    return Step(call.ids[start:end], _token(digest, end) if more else "")


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
