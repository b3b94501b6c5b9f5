"""JSON into dataclasses, enums, dates and the like, by their annotations.

No value is in an error.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from scheduling_client.worker.errors import PayloadError

_TEXTS: Mapping[Any, Callable[[str], object]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
}
_JSON_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def convert(value: object, wanted: Any, place: str = "payload") -> Any:  # noqa: ANN401
    """`value`, as JSON gave it, as an object of the annotation `wanted`.

    Raises `PayloadError` with the place, such as `payload.items[3].price`.
    """
    if wanted in (Any, object):
        return value
    if wanted is None:
        wanted = type(None)
    origin = get_origin(wanted)
    if origin is not None:
        return _generic(value, wanted, origin, place)
    if dataclasses.is_dataclass(wanted):
        return _dataclass(value, typing.cast("type", wanted), place)
    return _plain(value, wanted, place)


def _plain(value: object, wanted: Any, place: str) -> Any:  # noqa: ANN401
    if wanted in _TEXTS or wanted is Decimal or _is_enum(wanted):
        return _parsed(value, wanted, place)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is tuple and isinstance(value, list):
        return tuple(value)
    if wanted not in _JSON_NAMES:
        raise PayloadError(f"{place}: the worker cannot make a {_name(wanted)} of JSON.")
    if type(value) is not wanted:
        raise _unlike(place, _JSON_NAMES[wanted])
    return value


def _is_enum(wanted: Any) -> bool:  # noqa: ANN401
    return isinstance(wanted, type) and issubclass(wanted, Enum)


def _parsed(value: object, wanted: Any, place: str) -> Any:  # noqa: ANN401
    make: Callable[[Any], object] = _TEXTS.get(wanted, wanted)
    if wanted is Decimal:
        value = str(value) if type(value) in (str, int, float) else None
    elif wanted in _TEXTS and not isinstance(value, str):
        value = None
    try:
        if value is not None:
            return make(value)
    except (ValueError, ArithmeticError):
        pass
    raise _unlike(place, f"a {_name(wanted)}")


def _generic(value: object, wanted: Any, origin: Any, place: str) -> Any:  # noqa: ANN401
    parts = get_args(wanted)
    if origin is Literal:
        if value not in parts:
            raise _unlike(place, f"one of {len(parts)} given values")
        return value
    if origin in (Union, types.UnionType):
        return _union(value, parts, place)
    if origin is typing.Annotated:
        return convert(value, parts[0], place)
    if origin in (dict, Mapping) or origin is typing.get_origin(typing.Mapping):
        if not isinstance(value, dict):
            raise _unlike(place, "an object")
        return {key: convert(each, parts[1], f"{place}.{key}") for key, each in value.items()}
    if origin in (list, set, frozenset, Sequence):
        return _items(value, parts[0], origin, place)
    if origin is tuple:
        return _tuple(value, parts, place)
    raise PayloadError(f"{place}: the worker cannot make a {_name(wanted)} of JSON.")


def _items(value: object, part: Any, origin: Any, place: str) -> Any:  # noqa: ANN401
    if not isinstance(value, list):
        raise _unlike(place, "a list")
    made = [convert(each, part, f"{place}[{n}]") for n, each in enumerate(value)]
    try:
        return made if origin is Sequence else origin(made)
    except TypeError:  # a set of lists
        raise _unlike(place, f"a {_name(origin)} of values that can be compared") from None


def _tuple(value: object, parts: tuple[Any, ...], place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _unlike(place, "a list")
    if parts[-1:] == (Ellipsis,):
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise _unlike(place, f"a list of {len(parts)}")
    pairs = zip(value, parts, strict=True)
    return tuple(convert(each, part, f"{place}[{n}]") for n, (each, part) in enumerate(pairs))


def _union(value: object, parts: tuple[Any, ...], place: str) -> Any:  # noqa: ANN401
    if value is None and type(None) in parts:
        return None
    faults = []
    for part in parts:
        try:
            return convert(value, part, place)
        except PayloadError as fault:
            faults.append(fault)
    named = [fault for part, fault in zip(parts, faults, strict=True) if part is not type(None)]
    raise named[0] if len(named) == 1 else _unlike(place, "any of its types")


def _dataclass(value: object, wanted: type, place: str) -> object:
    if not isinstance(value, dict):
        raise _unlike(place, "an object")
    given = {}
    for name, (annotation, needed) in _fields(wanted).items():
        if name in value:
            given[name] = convert(value[name], annotation, f"{place}.{name}")
        elif needed:
            raise PayloadError(f"{place}.{name} is missing.")
    try:
        return wanted(**given)
    except Exception as fault:  # noqa: BLE001 - of its __post_init__
        raise PayloadError(
            f"{place}: {_name(wanted)} refuses it ({type(fault).__name__})."
        ) from None


@lru_cache(maxsize=1024)
def _fields(wanted: type) -> dict[str, tuple[Any, bool]]:
    """Name -> annotation, and whether it must be given. Further keys of the JSON are ignored."""
    hints = typing.get_type_hints(wanted, include_extras=True)
    return {
        field.name: (
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(wanted)
        if field.init
    }


def _unlike(place: str, expected: str) -> PayloadError:
    return PayloadError(f"{place} is not {expected}.")


def _name(wanted: Any) -> str:  # noqa: ANN401
    return str(getattr(wanted, "__name__", wanted))
