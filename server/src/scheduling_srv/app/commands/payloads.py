"""Payloads of commands: JSON objects, and the request in that of `restore` (docs/contract.md)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from scheduling_client.schedules.texts import shown
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.json_objects import RepeatedName, without_repeats

Json = dict[str, object]

LARGEST_OFFSET = 2**63 - 1
"""Kafka's offsets are signed 64-bit numbers."""

MOST_IGNORED = 10_000
"""Offsets that a restore may leave out."""
LONGEST_PAYLOAD_BYTES = 500_000
"""Bytes: reading them holds up the event loop for some milliseconds."""

_DIGITS = len(str(LARGEST_OFFSET))
_RESOURCE = "jobs"
_USAGE = 'give the command restore a payload such as {"jobs": {"offset": 0, "ignore_offset": []}}'


class RestoreRequest(NamedTuple):
    """Which events to put jobs back from."""

    topic: str
    """Name of the topic that holds jobsCreated and jobsDeleted."""
    offset: int
    """The first record to read."""
    ignore: frozenset[int]
    """Offsets of records to skip."""


def parse_payload(raw: bytes | None) -> Json:
    """The JSON object in `raw`: as it is, or in base64. Nothing and `null` are `{}`.

    Raises `InvalidRequest`.
    """
    if raw is not None and len(raw) > LONGEST_PAYLOAD_BYTES:
        _fail("payload", f"The command's payload is larger than {LONGEST_PAYLOAD_BYTES} bytes.")
    value = {} if raw is None or not raw.strip() else _json(raw)
    if not isinstance(value, dict):
        _fail("payload", "The command's payload is not a JSON object.")
    return value


def parse_restore(payload: Json, topic: str) -> RestoreRequest:
    """The request to restore from `topic`, in any of the three shapes.

    Entries for other resources and topics are left to the services that have them. Raises
    `InvalidRequest` if there is none for us, more than one, or a number is not an offset.
    """
    found = list(_entries(payload, topic))
    if len(found) != 1:
        sentence = f"{'Nothing' if not found else 'More than one entry'} for {topic}"
        _fail("payload", f"{sentence}: {_USAGE}.")
    ((path, entry),) = found
    return RestoreRequest(topic, _first(path, entry), _ignored(path, entry))


def _entries(payload: Json, topic: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Path and content of each entry for our resource, or for the topic that it is announced on."""
    if _RESOURCE in payload:
        yield _RESOURCE, _object(_RESOURCE, payload[_RESOURCE])
    for path, entry in _listed(payload, "topics"):
        if entry.get("topic") == topic:
            yield path, entry
    for path, entry in _listed(payload, "data"):
        if entry.get("entity") == _RESOURCE:
            yield path, entry


def _listed(payload: Json, key: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    for index, entry in enumerate(_list(key, payload.get(key))):
        path = f"{key}[{index}]"
        yield path, _object(path, entry)


def _first(path: str, entry: Mapping[str, object]) -> int:
    """`offset` and `base_offset` are the same; 0 without either."""
    given = [name for name in ("offset", "base_offset") if entry.get(name) is not None]
    return _offset(f"{path}.{given[0]}", entry[given[0]]) if given else 0


def _ignored(path: str, entry: Mapping[str, object]) -> frozenset[int]:
    path = f"{path}.ignore_offset"
    found = _list(path, entry.get("ignore_offset"))
    if len(found) > MOST_IGNORED:
        _fail(f"payload.{path}", f"{path} has {len(found)} offsets; the limit is {MOST_IGNORED}.")
    return frozenset(_offset(path, each) for each in found)


def _offset(path: str, value: object) -> int:
    """A number, or its decimal digits: JSON writers for 64-bit numbers make texts of them."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _DIGITS:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_OFFSET:
        _fail(f"payload.{path}", f"{path} {shown(str(value))} is not an offset: 0, 1, 2 and so on.")
    return value


def _object(path: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        _fail(f"payload.{path}", f"{path} is not a JSON object: {_USAGE}.")
    return value


def _list(path: str, value: object) -> Sequence[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        _fail(f"payload.{path}", f"{path} is not a JSON list: {_USAGE}.")
    return value


def _json(raw: bytes) -> object:
    """The object, else None; `null` means that there is no payload."""
    for reading in (bytes, _unbase64):
        try:
            value = json.loads(
                reading(raw).decode("utf-8-sig"),
                parse_constant=_no_constant,
                object_pairs_hook=without_repeats,
            )
        except RepeatedName as fault:
            _fail("payload", f"The command's payload {fault}.")
        except (ValueError, RecursionError):
            continue
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
    return None


def _unbase64(raw: bytes) -> bytes:
    return base64.b64decode(b"".join(raw.split()), validate=True)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _fail(field: str, sentence: str) -> NoReturn:
    sentence = sentence[0].upper() + sentence[1:]
    raise InvalidRequest(sentence, [Violation(field, sentence)])
