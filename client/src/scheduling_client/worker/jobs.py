"""The jobs that a worker knows: functions, their bounds, and how they are called."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scheduling_client.worker.errors import WorkerError
from scheduling_client.worker.payloads import Read, reader
from scheduling_client.worker.runs import Run

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
Handler = Callable[..., Any]
Arguments = Callable[[Run], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Job:
    """A type of jobs and the function that does its runs."""

    type: str
    function: Handler
    arguments: Arguments
    """The positional arguments for a run. Raises `PayloadError`."""
    concurrency: int
    timeout_seconds: float
    is_async: bool
    in_process: bool


def is_asynchronous(function: Handler, name: str) -> bool:
    """Whether a call makes a coroutine, as far as the function tells.

    An object tells it by its `__call__`. Raises `WorkerError` for generators.
    """
    called = (function, getattr(function, "__call__", None))  # noqa: B004 - the method, to look at
    if any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in called
    ):
        raise WorkerError(f"{name} is a generator: a call of it does no work. Return instead.")
    return any(inspect.iscoroutinefunction(each) for each in called)


def check_result(result: object) -> None:
    """Raises `WorkerError` for a generator: its function has done no work yet."""
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise WorkerError("The function returned a generator, and has done no work.")


def arguments_of(function: Handler) -> Arguments:
    """Which of payload and run a function takes, by its annotations. Raises `WorkerError`.

    `Run`, or an unannotated parameter of the name `run`, is the run. The other parameter is the
    payload; without an annotation it is decoded JSON.
    """
    name = getattr(function, "__qualname__", repr(function))
    makers: list[Read | None] = []
    for parameter, hint in _parameters(function, name):
        if hint is Run or (hint is inspect.Parameter.empty and parameter.name == "run"):
            makers.append(None)
        else:
            makers.append(reader(Any if hint is inspect.Parameter.empty else hint))
    if len(makers) - makers.count(None) > 1:
        raise WorkerError(f"{name} takes more than a payload and a Run.")
    if not makers:
        return lambda _: ()
    if makers == [None]:
        return lambda run: (run,)
    return lambda run: tuple([run if make is None else make(run.payload) for make in makers])


def _annotated(function: Handler) -> Any:  # noqa: ANN401
    """Which object has the annotations of a function, a `partial` or an object with `__call__`."""
    if isinstance(function, functools.partial):
        return _annotated(function.func)
    own = getattr(function, "__dict__", ())
    if inspect.isroutine(function) or inspect.isclass(function) or "__annotations__" in own:
        return function
    return type(function).__call__


def _parameters(function: Handler, name: str) -> list[tuple[inspect.Parameter, Any]]:
    """The positional parameters without a default, and their annotations."""
    try:
        hints = typing.get_type_hints(_annotated(function), include_extras=True)
    except NameError as fault:
        raise WorkerError(
            f"{name}: {fault}. The worker reads annotations when it starts."
        ) from None
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty or parameter.kind in _VARIABLE:
            continue
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise WorkerError(f"{name}: the worker cannot give {parameter.name!r}.")
        found.append((parameter, hints.get(parameter.name, parameter.empty)))
    return found
