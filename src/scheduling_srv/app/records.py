"""Records on Kafka: those to be produced, those read back, and the position record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from scheduling_srv.app.positions import InputPosition


class Topic(StrEnum):
    """Where a record goes; the names are settings."""

    JOBS = "jobs"
    RESOURCES = "resources"
    COMMANDS = "commands"
    DEAD_LETTER = "dead_letter"
    JOURNAL = "journal"
    POSITION = "position"


Headers = list[tuple[str, bytes]]


class Record(NamedTuple):
    """A record to be produced."""

    topic: Topic
    key: bytes
    value: bytes | None
    headers: Headers
    route: bytes
    """Records with the same route stay in one partition."""


class Refusal(NamedTuple):
    """A record that Kafka refuses."""

    record: int
    """Its place among those that were to be published, from 0."""
    topic: Topic
    reason: str
    of_topic: bool
    """The topic cannot be used at all: not the record is at fault."""
    too_large: bool = False


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


class Extent(NamedTuple):
    """Offsets of one partition, from `first` up to, but not including, `end`."""

    partition: int
    first: int
    end: int


class LogRecord(NamedTuple):
    """A record read back from a topic."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
