"""The W3C trace context of a call or a record, as jobs keep it: two lines (docs/contract.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(rb"[\x20-\x7e\t]{1,512}")


def trace_from_headers(headers: Iterable[tuple[str, str | bytes | None]]) -> bytes:
    """`traceparent` and `tracestate`, separated by a line feed; empty without a valid parent.

    A malformed one is left out, as the W3C recommendation asks: tracing never fails a call.
    """
    parent = state = b""
    for key, value in headers:
        if key.lower() == "traceparent":
            parent = _bytes(value)
        elif key.lower() == "tracestate":
            state = _bytes(value)
    if not _PARENT.fullmatch(parent):
        return b""
    return parent + b"\n" + state if _STATE.fullmatch(state) else parent


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
