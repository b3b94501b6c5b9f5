"""Payloads for people: JSON and known messages in lines, texts as they are, other bytes in hex.

They are made in a thread, one after the other: the loop that emits runs must not wait for them.
"""

from __future__ import annotations

import asyncio
import json
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson, SerializeToJsonError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from scheduling_client.api.jobs import Payload
from scheduling_srv.domain.errors import StartError

SETTING = "SCHEDULING_PAGES_DESCRIPTORS"
LONGEST_READ = 32_768
"""Bytes of all payloads of a page that are looked at. A message over that is not decoded."""
LONGEST_SHOWN = 16_384
"""Characters of one payload."""
MOST_SHOWN = 20
"""Payloads of a page."""
MOST_HEX_BYTES = 2_048
_ROW_BYTES = 16
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="payloads")
Given = ParamSpec("Given")
Made = TypeVar("Made")


async def in_thread(make: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs) -> Made:
    """The result of a function that works on payloads."""
    return await asyncio.wrap_future(_THREAD.submit(make, *args, **kwargs))


class Shown(NamedTuple):
    """A payload as a page shows it."""

    type_url: str
    size: int
    """Bytes."""
    kind: str
    """`JSON`, `protobuf`, `text`, `bytes`, `empty` or `not shown`."""
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

    async def shown(self, payloads: Sequence[Payload]) -> list[Shown]:
        """Those of a job; of many the first ones."""
        return await in_thread(self._all_shown, payloads[:MOST_SHOWN])

    def _all_shown(self, payloads: Sequence[Payload]) -> list[Shown]:
        room, found = LONGEST_READ, list[Shown]()
        for each in payloads:
            found.append(self._shown(each, room))
            room = max(0, room - len(each.value))
        return found

    def _shown(self, payload: Payload, room: int) -> Shown:
        """`room`: bytes that may be looked at."""
        size = len(payload.value)
        if not size:
            return Shown(payload.type_url, size, "empty", "", cut=False)
        if not room:
            return Shown(payload.type_url, size, "not shown", "", cut=True)
        kind, text, cut = self._decoded(payload, room) or _text_of(payload.value, room)
        return Shown(
            payload.type_url, size, kind, text[:LONGEST_SHOWN], cut or len(text) > LONGEST_SHOWN
        )

    def _decoded(self, payload: Payload, room: int) -> tuple[str, str, bool] | None:
        """As JSON; None: it is no message that is known, or too large to show."""
        if self._pool is None or len(payload.value) > room:
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


def _text_of(value: bytes, room: int) -> tuple[str, str, bool]:
    cut = len(value) > room
    try:
        text = getincrementaldecoder("utf-8")().decode(value[:room], not cut)
    except UnicodeDecodeError:
        return "bytes", "\n".join(_rows(value[:MOST_HEX_BYTES])), len(value) > MOST_HEX_BYTES
    if not cut and (pretty := as_json(text)):
        return "JSON", pretty, False
    if text.isprintable() or all(each.isprintable() or each in "\n\r\t" for each in text[:1_000]):
        return "text", text, cut
    return "bytes", "\n".join(_rows(value[:MOST_HEX_BYTES])), len(value) > MOST_HEX_BYTES


def as_json(text: str) -> str:
    """The JSON in lines; empty if it is none, or long."""
    if len(text) > LONGEST_SHOWN:
        return ""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return ""


def _rows(value: bytes) -> Iterator[str]:
    for start in range(0, len(value), _ROW_BYTES):
        row = value[start : start + _ROW_BYTES]
        ascii_ = "".join(chr(each) if 32 <= each < 127 else "." for each in row)  # noqa: PLR2004 - printable ASCII
        yield f"{start:06x}  {row.hex(' '):<47}  {ascii_}"
