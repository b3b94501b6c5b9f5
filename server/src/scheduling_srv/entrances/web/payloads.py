"""Payloads for people: JSON and known messages in lines, texts as they are, other bytes in hex."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson, SerializeToJsonError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from scheduling_client.api.jobs import Payload
from scheduling_srv.domain.errors import StartError

SETTING = "SCHEDULING_PAGES_DESCRIPTORS"
LONGEST_DECODED = 262_144
"""Bytes of a message that is decoded for a page."""

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
    """`JSON`, `protobuf`, `text`, `bytes` or `empty`."""
    text: str
    cut: bool


class Payloads:
    """Shows payloads. Those of protobuf need the descriptors of their messages."""

    def __init__(self, pool: DescriptorPool | None = None) -> None:
        self._pool = pool

    @classmethod
    def of_file(cls, path: Path | None) -> Payloads:
        """With the `FileDescriptorSet` of a file. Raises `StartError` if it cannot be read."""
        if path is None:
            return cls()
        try:
            found = FileDescriptorSet.FromString(path.read_bytes())
            pool = DescriptorPool()
            for each in found.file:
                pool.Add(each)
            for each in found.file:
                pool.FindFileByName(each.name)
        except OSError as fault:
            raise StartError(f"Cannot read {path} ({SETTING}): {fault.strerror}.") from fault
        except (DecodeError, KeyError, TypeError) as fault:
            raise StartError(
                f"{path} ({SETTING}) is no FileDescriptorSet with all imports: make it with"
                " protoc --include_imports --descriptor_set_out, or buf build."
            ) from fault
        return cls(pool)

    def shown(self, payloads: Sequence[Payload]) -> list[Shown]:
        """All payloads of a job."""
        return [self._shown(each) for each in payloads]

    def _shown(self, payload: Payload) -> Shown:
        size = len(payload.value)
        if not size:
            return Shown(payload.type_url, size, "empty", "", cut=False)
        kind, text, cut = self._decoded(payload) or _text_of(payload.value)
        return Shown(
            payload.type_url, size, kind, text[:LONGEST_SHOWN], cut or len(text) > LONGEST_SHOWN
        )

    def _decoded(self, payload: Payload) -> tuple[str, str, bool] | None:
        """As JSON; None: it is no message that is known, or too large to show."""
        if self._pool is None or len(payload.value) > LONGEST_DECODED:
            return None
        try:
            kind = self._pool.FindMessageTypeByName(payload.type_url.rpartition("/")[2])
            message = GetMessageClass(kind).FromString(payload.value)
            text = MessageToJson(
                message, preserving_proto_field_name=True, descriptor_pool=self._pool
            )
        except (KeyError, DecodeError, SerializeToJsonError, TypeError, ValueError, RecursionError):
            return None  # it is shown as the bytes that it is
        return "protobuf", text, False


def shown_value(value: bytes) -> Shown:
    """Bytes of no known type."""
    return Payloads().shown([Payload(value, "")])[0]


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
