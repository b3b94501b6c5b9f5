"""Payloads for people: JSON in lines, other texts as they are, other bytes in hexadecimal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scheduling_client.api.jobs import Payload

LONGEST_SHOWN = 16_384
"""Characters."""
MOST_HEX_BYTES = 2_048
_ROW_BYTES = 16


class Shown(NamedTuple):
    """A payload as a page shows it."""

    type_url: str
    size: int
    """Bytes."""
    kind: str
    """`JSON`, `text`, `bytes` or `empty`."""
    text: str
    cut: bool


def shown(payloads: Sequence[Payload]) -> list[Shown]:
    """All payloads of a job."""
    return [_shown(each) for each in payloads]


def _shown(payload: Payload) -> Shown:
    size = len(payload.value)
    if not size:
        return Shown(payload.type_url, size, "empty", "", cut=False)
    kind, text, cut = _text_of(payload.value)
    return Shown(
        payload.type_url, size, kind, text[:LONGEST_SHOWN], cut or len(text) > LONGEST_SHOWN
    )


def _text_of(value: bytes) -> tuple[str, str, bool]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "bytes", "\n".join(_rows(value[:MOST_HEX_BYTES])), len(value) > MOST_HEX_BYTES
    if len(text) <= LONGEST_SHOWN and (pretty := as_json(text)):
        return "JSON", pretty, False
    if text.isprintable() or all(each.isprintable() or each in "\n\r\t" for each in text[:1_000]):
        return "text", text, False
    return "bytes", "\n".join(_rows(value[:MOST_HEX_BYTES])), len(value) > MOST_HEX_BYTES


def as_json(text: str) -> str:
    """The JSON in lines; empty if it is none."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return ""


def _rows(value: bytes) -> Iterator[str]:
    for start in range(0, len(value), _ROW_BYTES):
        row = value[start : start + _ROW_BYTES]
        ascii_ = "".join(chr(each) if 32 <= each < 127 else "." for each in row)  # noqa: PLR2004 - printable ASCII
        yield f"{start:06x}  {row.hex(' '):<47}  {ascii_}"
