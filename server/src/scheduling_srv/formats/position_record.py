"""The position record: how far the outbox is on Kafka, and what a rebuild needs to know.

Markers in the outbox move it (docs/decisions/0001).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from scheduling_srv.formats.kafka_records import DEPLOYMENT
from scheduling_srv.formats.layouts import MARK
from scheduling_srv.formats.positions import InputPosition

MARKED = ("replay_from", "seq", "instance", "reset", "cleared")
"""Numbers that each marker holds."""
MOVES, GOES = b'"inputs":', b'"gone":'
"""In markers that say something of partitions."""


@dataclass(frozen=True, slots=True)
class Position:
    """The position record: how far the outbox is on Kafka, and what a rebuild needs to know."""

    number: int
    incarnation: str
    at: int = 0
    """When it was written."""
    replay_from: int = 0
    """See docs/decisions/0001: nothing before this instant is open."""
    seq: int = 0
    instance: int = 0
    reset: int = 0
    """Jobs and runs up to this creation number are void."""
    cleared: int = 0
    """Resources up to this creation number are void, and their removal is to be announced."""
    inputs: Mapping[str, int] = field(default_factory=dict)
    """`topic:partition` -> next offset of the listener."""
    lineage: str = ""
    """Of the store, where runs may be on Kafka before their position is (docs/decisions/0005)."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Packed `InputPosition` of each of `inputs` whose topic is known (docs/decisions/0008)."""
    deployment: str = ""
    """Which service has written it (docs/decisions/0019); empty: an older version."""
    format: int = 0
    """Of the data that the store may hold (docs/decisions/0024); 0: an older version."""
    runs: Mapping[int, int] = field(default_factory=dict)
    """With `lineage`: partition of the jobs topic -> first offset of runs that are after it."""
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Fields that another version has written; they are kept."""

    def positions(self) -> dict[str, InputPosition]:
        """The listener's positions."""
        return {
            name: InputPosition.of(offset, self.origins.get(name))
            for name, offset in self.inputs.items()
        }


def with_inputs(position: Position, inputs: Mapping[str, InputPosition]) -> Position:
    """The same with these positions of the listener."""
    return replace(
        position,
        inputs={name: at.next for name, at in inputs.items()},
        origins={name: at.pack() for name, at in inputs.items() if at.stamp or at.topic_id},
    )


POSITION_KEY = b"position"
ORIGINS, FORMAT, RUNS = "origins", "format", "runs"
"""The headers that hold the fields of `Position` with these names."""
POSITION_FIELDS = tuple(
    each.name
    for each in fields(Position)
    if each.name not in {ORIGINS, FORMAT, RUNS, DEPLOYMENT, "unknown"}
)
LARGEST_PLAIN = 4_000
"""Bytes from which that header is compressed: with thousands of partitions it is long and alike."""


def advance(position: Position, entries: Sequence[bytes], after: int) -> Position:
    """The position behind `entries`: their last marker, and the inputs of all of them."""
    number = after + len(entries)
    marks = [entry for entry in entries if entry[0] == MARK]
    if not marks:
        return replace(position, number=number)
    inputs, origins = dict(position.inputs), dict(position.origins)
    last: dict[str, Any] = {}
    for entry in marks:
        if entry is marks[-1] or MOVES in entry or GOES in entry:
            last = json.loads(entry[1:])
            inputs |= {name: int(at) for name, at in last.get("inputs", {}).items()}
            origins |= last.get("origins", {})
            for name in last.get("gone", ()):
                inputs.pop(name, None)
                origins.pop(name, None)
    known: dict[str, Any] = {name: int(last[name]) for name in MARKED if name in last}
    return replace(position, number=number, inputs=inputs, origins=origins, **known)


def dump_position(position: Position) -> bytes:
    """The value of the position record; `position_headers` has the rest.

    Versions before decision 8 crash over fields that they do not know.
    """
    known = {name: getattr(position, name) for name in POSITION_FIELDS}
    return json.dumps({**position.unknown, **known}).encode()


def position_headers(position: Position) -> list[tuple[str, bytes]]:
    """What the record holds beside its value."""
    headers = [(DEPLOYMENT, position.deployment.encode())] if position.deployment else []
    if position.format:
        headers.append((FORMAT, str(position.format).encode()))
    for name, table in ((ORIGINS, position.origins), (RUNS, position.runs)):
        if table:
            headers.append((name, _dump_table(table)))
    return headers


def _dump_table(table: Mapping[Any, Any]) -> bytes:
    text = json.dumps(table).encode()
    return zlib.compress(text, 1) if len(text) > LARGEST_PLAIN else text


def _load_table(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text if text.startswith(b"{") else zlib.decompress(text))
    return found


def parse_position(value: bytes, headers: Mapping[str, bytes] | None = None) -> Position:
    """The position record (docs/decisions/0001). Fields of other versions are kept."""
    found = json.loads(value)
    known = {name: found.pop(name) for name in POSITION_FIELDS if name in found}
    known = {"number": 0, "incarnation": "", **known}
    headers = headers or {}
    deployment = headers.get(DEPLOYMENT, b"").decode(errors="replace")
    runs = _load_table(headers.get(RUNS) or b"{}")
    return Position(
        **known,
        origins=_load_table(headers.get(ORIGINS) or b"{}"),
        deployment=deployment,
        format=int(headers.get(FORMAT, b"0")),
        runs={int(partition): at for partition, at in runs.items()},
        unknown=found,
    )
