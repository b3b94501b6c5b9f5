"""Consumed records, and their content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from scheduling_srv.app.ports import WriteMode
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import Answer, JobRequest
from scheduling_srv.formats.positions import Place


class JobList(NamedTuple):
    """A list of jobs, unchecked."""

    mode: WriteMode
    requests: Sequence[JobRequest]


class Deletion(NamedTuple):
    """Which jobs are to be deleted."""

    ids: Sequence[str]
    everything: bool


class Command(NamedTuple):
    """A command, or an event that has the key of one."""

    key: str
    name: str = ""
    payload: bytes | None = None
    fault: str = ""
    """Why the event is no CommandRequest."""


Content: TypeAlias = Answer | JobList | Deletion | Command | RequestError
"""The content of a record, or the reason why it cannot be read."""


class Consumed(NamedTuple):
    """A record as the consumer hands it over."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0
    """Epoch ms; 0: it has none."""
    content: Content | None = None
    """If it was read already, to find out its shard."""

    @property
    def place(self) -> Place:
        """Its partition."""
        return Place(self.topic, self.partition)

    @property
    def name(self) -> str:
        """`topic:partition@offset`."""
        return f"{self.place.name}@{self.offset}"


class End(NamedTuple):
    """The end of the records of a partition that were read."""

    offset: int
    """Of the next record."""
    stamp: int
    """Time stamp of the last one, in epoch ms; 0: it has none."""
