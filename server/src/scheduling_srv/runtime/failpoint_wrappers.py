"""Puts failpoints around the calls of a port, so that no code that uses the port names them.

`around` returns the port itself unless failpoints are switched on: they cost nothing then.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar, cast

from scheduling_srv.runtime import failpoints
from scheduling_srv.runtime.failpoints import reached
from scheduling_srv.runtime.points import Point

Port = TypeVar("Port")


def always(*_: object, **__: object) -> bool:
    """Every call, or every result."""
    return True


class Around(NamedTuple):
    """Points before and after the calls of a method, or before and after a stream of pieces."""

    before: Point | None = None
    after: Point | None = None
    """After a result. A call that raises has none."""
    calls: Callable[..., bool] = always
    """Given the arguments of a call: whether it passes the points."""
    results: Callable[[Any], bool] = always
    """Given a result: whether it passes the point after the call."""


Table = Mapping[str, Around | tuple[Around, ...]]
"""Name of a method -> the points around it."""


def around(port: Port, table: Table) -> Port:
    """`port` with failpoints around its methods, if failpoints are switched on."""
    return cast("Port", _Wrapped(port, table)) if failpoints.are_enabled() else port


class _Wrapped:
    """All that `port` has; the methods of the table pass their points."""

    def __init__(self, port: object, table: Table) -> None:
        self._port = port
        self._table = table

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._port, name)
        if (wanted := self._table.get(name)) is None:
            return found
        points = (wanted,) if isinstance(wanted, Around) else wanted
        wrap = _stream if inspect.isasyncgenfunction(found) else _call
        return lambda *args, **named: wrap(found, points, *args, **named)


async def _call(
    method: Callable[..., Any],
    points: tuple[Around, ...],
    *args: Any,  # noqa: ANN401
    **named: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    concerned = await _pass_before(points, *args, **named)
    result = await method(*args, **named)
    for each in concerned:
        if each.after and each.results(result):
            await reached(each.after)
    return result


async def _stream(
    method: Callable[..., AsyncGenerator[Any]],
    points: tuple[Around, ...],
    *args: Any,  # noqa: ANN401
    **named: Any,  # noqa: ANN401
) -> AsyncGenerator[Any]:
    concerned = await _pass_before(points, *args, **named)
    async with aclosing(method(*args, **named)) as pieces:
        async for piece in pieces:
            yield piece
    for each in concerned:
        if each.after:
            await reached(each.after)


async def _pass_before(points: tuple[Around, ...], *args: object, **named: object) -> list[Around]:
    concerned = [each for each in points if each.calls(*args, **named)]
    for each in concerned:
        if each.before:
            await reached(each.before)
    return concerned
