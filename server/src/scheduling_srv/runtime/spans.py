"""Puts spans around the calls of a port, so that no code that uses the port names them.

`spanned` returns the port itself unless the service traces: spans cost nothing then. Nothing here
imports OpenTelemetry; `adapters/telemetry.py` records the spans (docs/decisions/0033).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeVar, cast

Port = TypeVar("Port")


class Relation(Enum):
    """How a span is related to others."""

    CHILD = "child"
    """Of the span under way; without one there is no span."""
    SERVES = "serves"
    """A child of the only trace that it works for, or linked to several; none without any."""
    LINKED = "linked"
    """In a trace of its own, with links to the traces that it works for."""


class Kind(Enum):
    """Which side of a server it stands on; the names are those of OpenTelemetry."""

    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(NamedTuple):
    """What is known of a span when it begins."""

    name: str
    kind: Kind
    relation: Relation = Relation.CHILD
    traces: Iterable[bytes] = ()
    """Trace contexts as `formats/trace.py` has them; the same one may come several times."""
    attributes: Mapping[str, str | int] = {}


class Recorder(Protocol):
    """Records spans."""

    def around(self, span: Span) -> AbstractContextManager[object]:
        """The span lasts as long as the context. A fault that passes it is noted."""


Table = Mapping[str, Callable[..., Span | None]]
"""Name of a method -> the span of a call with its arguments; None: it has none."""

_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Ports that are made from now on have spans; with None they have none."""
    global _recorder  # noqa: PLW0603 - a switch of the process, as that of failpoints
    _recorder = recorder


def spanned(port: Port, table: Table) -> Port:
    """`port` with spans around its methods, if the service traces."""
    return cast("Port", _Wrapped(port, table, _recorder)) if _recorder else port


class _Wrapped:
    """All that `port` has; the methods of the table, which are awaited, have spans."""

    def __init__(self, port: object, table: Table, recorder: Recorder) -> None:
        self._port = port
        self._table = table
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._port, name)
        if (make := self._table.get(name)) is None:
            return found

        async def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401
            if (span := make(*args, **named)) is None:
                return await found(*args, **named)
            with self._recorder.around(span):
                return await found(*args, **named)

        return call
