"""Events of 2018 as JSON, for people who look at a record. Payloads are not decoded."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from scheduling_client.wire import commandinterface_pb2 as commands
from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire import resourcebase_pb2 as resources
from scheduling_srv.runtime.time_slice import SharedSlice

EVENTS: Mapping[bytes, type[Message]] = {
    b"createJobs": jobs.JobList,
    b"modifyJobs": jobs.JobList,
    b"deleteJobs": resources.DeleteRequest,
    b"jobDone": jobs.JobDone,
    b"jobFailed": jobs.JobFailed,
    b"healthCheckCommand": commands.CommandRequest,
    b"versionCommand": commands.CommandRequest,
    b"restoreCommand": commands.CommandRequest,
    b"resetCommand": commands.CommandRequest,
}
"""Key of a record -> the message in its value."""


async def write_json(event: bytes, value: bytes) -> str:
    """The message as a JSON object; empty: the event is not known, or the value is another one.

    A record may have thousands of jobs: it gives the event loop back between them.
    """
    kind = EVENTS.get(event)
    if kind is None:
        return ""
    try:
        return await _written(kind.FromString(value))
    except (DecodeError, UnicodeDecodeError):
        return ""


async def _written(message: Message) -> str:
    members, time_slice = list[str](), SharedSlice()
    for field, value in message.ListFields():
        if not field.is_repeated:
            members.append(f"{_text(field.name)}: {_text(_single(field, value))}")
            continue
        items = list[str]()
        for each in value:
            items.append(_text(_single(field, each)))
            await time_slice.yield_if_used()
        members.append(f"{_text(field.name)}: [{', '.join(items)}]")
    return f"{{{', '.join(members)}}}"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _object(message: Message) -> dict[str, Any]:
    if isinstance(message, AnyMessage):
        return {"type_url": message.type_url, "value": base64.b64encode(message.value).decode()}
    return {field.name: _field(field, value) for field, value in message.ListFields()}


def _field(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - as protobuf has it
    if field.is_repeated:
        return [_single(field, each) for each in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401
    if field.message_type is not None:
        return _object(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
