"""Makes the payload of a run into the object that its handler asks for."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any, Union, get_args, get_origin

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from scheduling_client.worker.errors import PayloadError
from scheduling_client.worker.json_objects import convert
from scheduling_client.worker.runs import Item

Decode = Callable[[Item], Any]
Read = Callable[[Sequence[Item]], Any]


def reader(wanted: Any) -> Read:  # noqa: ANN401 - any annotation
    """Reads all payload items as `wanted`.

    `list[T]` takes any number of items, `T | None` none or one, and `T` exactly one. If a list is
    the content of the only item, annotate `list[list[T]]`. The result raises `PayloadError`.
    """
    if get_origin(wanted) is list:
        each = decoder(get_args(wanted)[0])
        return lambda items: [each(item) for item in items]
    parts = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else ()
    if type(None) in parts:
        rest = [part for part in parts if part is not type(None)]
        optional = decoder(rest[0] if len(rest) == 1 else wanted)
        return lambda items: optional(_only(items)) if items else None
    one = decoder(wanted)
    return lambda items: one(_only(items))


def _only(items: Sequence[Item]) -> Item:
    if len(items) != 1:
        raise PayloadError(f"The job has {len(items)} payload items; its handler takes one.")
    return items[0]


def decoder(wanted: Any) -> Decode:  # noqa: ANN401
    """Makes one item into an object of this type. Raises `PayloadError`, without any value."""
    plain = _PLAIN.get(wanted) if isinstance(wanted, type) else None
    if plain is not None:
        return plain
    if isinstance(wanted, type) and issubclass(wanted, Message):
        return _of_protobuf(wanted)
    if hasattr(wanted, "model_validate_json"):
        return _of_pydantic(wanted)
    if hasattr(wanted, "__struct_fields__") and "msgspec" in sys.modules:
        return _of_msgspec(wanted)
    return lambda item: convert(_json(item), wanted)


def _any(item: Item) -> AnyMessage:
    return AnyMessage(type_url=item.type_url, value=item.value)


def _value(item: Item) -> bytes:
    return item.value


def _itself(item: Item) -> Item:
    return item


def _text(item: Item) -> str:
    try:
        return item.value.decode()
    except UnicodeDecodeError:
        raise PayloadError("payload is not UTF-8.") from None


_PLAIN: dict[type, Decode] = {bytes: _value, str: _text, Item: _itself, AnyMessage: _any}


def _json(item: Item) -> object:
    try:
        return json.loads(item.value)
    except ValueError:
        raise PayloadError("payload is not JSON.") from None
    except RecursionError:
        raise PayloadError("payload is nested too deeply.") from None


def _of_protobuf(wanted: type[Message]) -> Decode:
    def decode(item: Item) -> Message:
        try:
            return wanted.FromString(item.value)
        except DecodeError:
            raise PayloadError(f"payload is not a {wanted.DESCRIPTOR.full_name}.") from None

    return decode


def _of_pydantic(wanted: Any) -> Decode:  # noqa: ANN401
    from pydantic import ValidationError  # noqa: PLC0415 - the user's class brings it

    def decode(item: Item) -> object:
        try:
            return wanted.model_validate_json(item.value)
        except ValidationError as fault:
            found = fault.errors(include_input=False, include_url=False, include_context=False)
            first = found[0]
            place = ".".join(map(str, ("payload", *first["loc"])))
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            raise PayloadError(f"{place}: {first['type']}{more}.") from None

    return decode


def _of_msgspec(wanted: Any) -> Decode:  # noqa: ANN401
    import msgspec  # noqa: PLC0415 - the user's class brings it

    made = msgspec.json.Decoder(wanted)

    def decode(item: Item) -> object:
        try:
            return made.decode(item.value)
        except msgspec.MsgspecError as fault:
            place = str(fault).rpartition("`$")[2].rstrip("`")
            raise PayloadError(f"payload{place} does not fit {wanted.__name__}.") from None

    return decode
