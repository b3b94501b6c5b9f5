"""The W3C trace context of a call or a record, as jobs keep it: two lines (docs/contract.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from scheduling_srv.formats import job_record
from scheduling_srv.formats.layouts import CREATE, NEW_NOW, QUEUES
from scheduling_srv.formats.outbox_entries import CREATED, QUEUED

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


def trace_of_record(stored: bytes, at: int = 0) -> bytes:
    """The trace context of a job, or empty. Its record lasts from `at` to the end of `stored`."""
    _, _, size = job_record.sizes_of(stored, at)
    return stored[len(stored) - size :]


def traces_of_entries(entries: Iterable[bytes]) -> Iterator[bytes]:
    """The trace contexts of the runs and the new jobs among entries of the outbox."""
    for entry in entries:
        if entry[0] in QUEUES:
            *_, id_size, trace_size, type_size, data_size = QUEUED.unpack_from(entry)
            at = QUEUED.size + id_size + type_size + data_size
            trace = entry[at : at + trace_size]
        elif entry[0] in {CREATE, NEW_NOW}:
            _, id_size = CREATED.unpack_from(entry)
            trace = trace_of_record(entry, CREATED.size + id_size)
        else:
            continue
        if trace:
            yield trace


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
