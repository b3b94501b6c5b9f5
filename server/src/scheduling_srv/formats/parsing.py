"""Parses protobuf strictly.

protobuf takes a known field with a wrong wire type for a field of the future, and ignores it. Here
such a message is an `InvalidRequest`.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from scheduling_srv.domain.errors import InvalidRequest, Violation

_NONE = frozenset[int]()

M = TypeVar("M", bound=Message)


def parse(kind: type[M], raw: bytes) -> M:
    """The message. Raises `InvalidRequest`, also for a wrong wire type at its top level."""
    message = decode(kind, raw)
    check_wire_types(message)
    return message


def decode(kind: type[M], raw: bytes) -> M:
    """The message as protobuf reads it. Raises `InvalidRequest`."""
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InvalidRequest(
            f"The message cannot be read as {kind.DESCRIPTOR.full_name}."
        ) from error


def parse_whole(kind: type[M], raw: bytes) -> M:
    """As `parse`, but the wire types of all messages in it are checked."""
    message = decode(kind, raw)
    check_all(message)
    return message


def check_all(message: Message) -> None:
    """Raises `InvalidRequest` for a wrong wire type in the message or in one within it."""
    check_wire_types(message)
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else (value,):
            check_all(each)


def check_wire_types(message: Message) -> None:
    """Raises `InvalidRequest` for a known field of the message with a wrong wire type."""
    strange = misfits(message)
    if strange:
        kind = message.DESCRIPTOR
        name = kind.fields_by_number[min(strange)].name
        sentence = f"Field {name} of {kind.full_name} has a wrong wire type."
        raise InvalidRequest(sentence, [Violation(name, sentence)])


def misfits(message: Message) -> frozenset[int]:
    """Numbers of known fields that came with a wrong wire type."""
    strange = UnknownFieldSet(message)
    if not len(strange):
        return _NONE
    known = message.DESCRIPTOR.fields_by_number
    numbers = frozenset(strange[index].field_number for index in range(len(strange)))
    return numbers.intersection(known)
